"""``lipglance report``: results as one HTML page that needs nothing else, and as LaTeX tables.

Reads the JSONs that `lipglance evaluate` writes. For every corpus and split: the table, a bar for
each metric and row with its interval, the opening of the mouth over time for each model's best,
median and worst clip, and, where the shards are at hand, strips of those clips' frames.
"""

from __future__ import annotations

import base64
import html
import io
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .errors import InputError
from .geometry import Image
from .results import TITLES, corpora_of, head, heading, row_lines, shown_metrics
from .rows import Clip, make_row
from .shards import ShardDataset

STYLE = """
body{font:16px/1.5 Georgia,serif;color:#222;max-width:1200px;margin:3em auto;padding:0 1.5em}
h1,h2,h3{font-weight:normal;line-height:1.2} h1{font-size:2.2em} h2{margin-top:2.5em;
border-bottom:1px solid #ccc} table{border-collapse:collapse;font:12px/1.4 sans-serif;width:100%}
th,td{padding:.35em .4em;text-align:right;border-bottom:1px solid #eee}
td{white-space:nowrap} thead th{vertical-align:bottom}
th:first-child,td:first-child{text-align:left} thead th{border-bottom:2px solid #444}
.wide{overflow-x:auto} img{width:100%} svg{max-width:100%;height:auto} figure{margin:1.5em 0}
figcaption,.small{font:13px/1.4 sans-serif;color:#555} code{font-size:13px;background:#f4f4f4;
padding:.1em .3em}
"""

_INK, _GREY = "#1b4965", "#9a9a9a"
_NOT_MODELS = ("real", "pasted", "still", "mismatched", "linear")
STRIP_FRAMES = 12


def report(
    results: Sequence[Path], output: Path, data: Sequence[Path] = (), *, force: bool = False
) -> None:
    """Write the page.

    Args:
        results: JSONs of evaluations.
        output: the page.
        data: shards the clips lie in, for strips of frames; none for a page without.
        force: replace a page that is there.

    Raises:
        InputError: a file that holds no results, or an output that is there.
    """
    if output.exists() and not force:
        raise InputError(f"{output} exists; give another name or --force to replace it")
    parts = []
    for path in results:
        parts += list(_section(read_results(path), data))
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8><title>lipglance: evaluation</title>"
        f"<style>{STYLE}</style><h1>lipglance: evaluation</h1>"
        "<p class=small>Means over clips; bars and ± are 95 % bootstrap intervals over clips. "
        "<i>real</i> is the clip itself, <i>still</i> its first frame's lips all the time, "
        "<i>mismatched</i> real lips of another clip.</p>" + "".join(parts) + "</html>"
    )
    part = output.with_name(f".{output.name}.part")
    part.write_text(page, encoding="utf-8")
    part.replace(output)


def read_results(path: Path) -> dict[str, Any]:
    """Read one evaluation's JSON; InputError where it is none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not {"rows", "split", "command", "hardware"} <= set(found):
            raise ValueError("keys are missing")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} holds no results ({error}); expected a JSON of lipglance evaluate"
        ) from error
    return found


def latex(results: Mapping[str, Any]) -> str:
    """The tables of an evaluation in LaTeX (booktabs)."""
    parts = []
    for corpus, clips in corpora_of(results):
        titles = ["", *head(results)[:-1]]
        rows = [line[:-1] for line in row_lines(results, corpus)]
        body = [" & ".join(map(_tex, row)) + r" \\" for row in rows]
        parts.append(
            "\n".join(
                [
                    r"\begin{table}\centering\small",
                    rf"\caption{{{_tex(heading(results, corpus, clips))}}}",
                    r"\begin{tabular}{l" + "r" * (len(titles) - 1) + "}",
                    r"\toprule",
                    " & ".join(map(_tex, titles)) + r" \\",
                    r"\midrule",
                    *body,
                    r"\bottomrule",
                    r"\end{tabular}\end{table}",
                ]
            )
        )
    return "\n\n".join(parts)


def _tex(text: str) -> str:
    signs = {"±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\to$"}
    for sign in "&%_#":
        text = text.replace(sign, "\\" + sign)
    for sign, command in signs.items():
        text = text.replace(sign, command)
    return text


def _section(results: Mapping[str, Any], data: Sequence[Path]) -> Iterator[str]:
    for corpus, clips in corpora_of(results):
        yield f"<h2>{html.escape(heading(results, corpus, clips))}</h2>"
        yield _table(results, corpus)
        yield _figure(bars(results, corpus), "Each metric by row; the line is the real clips'.")
        for row in results["rows"]:
            if Path(row["name"]).name not in _NOT_MODELS:
                yield from _examples(results, row, corpus, data)
    machine = results["hardware"]
    yield (
        f"<p class=small>{html.escape(machine['cpu'])}, {machine['cores']} cores, "
        f"{results['seconds']:.0f} s: <code>{html.escape(results['command'])}</code></p>"
    )


def _table(results: Mapping[str, Any], corpus: str) -> str:
    titles = "".join(f"<th>{html.escape(t)}" for t in ("", *head(results)))
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in line)
        for line in row_lines(results, corpus)
    )
    return f"<div class=wide><table><thead><tr>{titles}<tbody>{body}</table></div>"


def bars(results: Mapping[str, Any], corpus: str) -> Figure:
    """A small bar chart for each metric: rows with their intervals."""
    rows = [row for row in results["rows"] if corpus in row["groups"]]
    columns = 4
    shown = shown_metrics(results)
    lines = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(11, 2.4 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis, metric in zip(axes, shown, strict=False):
        _bar(axis, metric, [(Path(r["name"]).name, r["groups"][corpus]) for r in rows])
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    return figure


def _bar(axis: Axes, metric: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    names = [name for name, _ in rows]
    found = [group["metrics"].get(metric) or {"mean": None} for _, group in rows]
    for place, (name, summary) in enumerate(zip(names, found, strict=True)):
        if summary["mean"] is None:
            continue
        shade = _GREY if name in _NOT_MODELS else _INK
        axis.barh(place, summary["mean"], color=shade, height=0.65)
        if summary.get("low") is not None:
            axis.plot([summary["low"], summary["high"]], [place, place], color="black", lw=1.2)
        if name == "real":
            axis.axvline(summary["mean"], color=_GREY, lw=0.8, ls=":")
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_title(TITLES[metric], fontsize=9)
    axis.tick_params(axis="x", labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def _examples(
    results: Mapping[str, Any], row: Mapping[str, Any], corpus: str, data: Sequence[Path]
) -> Iterator[str]:
    """The best, the median and the worst clip of a model by LMD."""
    measured = [c for c in row["clips"] if c["corpus"] == corpus and "values" in c]
    measured = [c for c in measured if c["values"]["lmd"] is not None]
    if not measured:
        return
    measured.sort(key=lambda clip: float(clip["values"]["lmd"]))
    places = {"best": 0, "median": len(measured) // 2, "worst": len(measured) - 1}
    real = next((r for r in results["rows"] if r["name"] == "real"), None)
    truth = {c["key"]: c for c in (real["clips"] if real else ()) if c["corpus"] == corpus}
    yield f"<h3>{html.escape(Path(row['name']).name)}: best, median and worst clip by LMD</h3>"
    for name, place in places.items():
        clip = measured[place]
        values = clip["values"]
        shown_r = "-" if values["aperture_r"] is None else f"{values['aperture_r']:.2f}"
        caption = f"{name}: {clip['key']}, LMD {values['lmd']:.2f} px, aperture r {shown_r}"
        if "opening" in clip:
            yield _figure(track(clip, truth.get(clip["key"])), caption)
        strip = _strip(results["split"], clip["key"], row["name"], corpus, data)
        if strip is not None:
            yield f"<figure><img src='{_png(strip)}' alt=''><figcaption>real, generated</figure>"


def track(clip: Mapping[str, Any], real: Mapping[str, Any] | None) -> Figure:
    """The opening of the mouth over time, generated and real."""
    figure = Figure(figsize=(11, 1.8), layout="constrained")
    axis = figure.subplots()
    for found, shade, name in ((real, _GREY, "real"), (clip, _INK, "generated")):
        if found is not None and "opening" in found:
            values = np.array(found["opening"], np.float64)
            axis.plot(np.arange(len(values)) / 25, values, color=shade, lw=1.5, label=name)
    axis.set_xlabel("seconds", fontsize=8)
    axis.set_ylabel("opening, px of 64", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=8, frameon=False, loc="upper right")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def _strip(
    split: str, key: str, row: str, corpus: str, data: Sequence[Path]
) -> NDArray[np.uint8] | None:
    """Some frames of a clip's own lips over those a model makes; None without the shards."""
    if not data:
        return None
    clips = (s for s in ShardDataset(data, split=split, corpora=corpus) if s.key == key)
    sample = next(clips, None)
    stored = None if sample is None else sample.clip_bytes()
    if sample is None or stored is None:
        return None
    with tempfile.TemporaryDirectory(prefix="lipglance-") as folder:
        path = Path(folder) / f"clip{sample.meta['clip_suffix']}"
        path.write_bytes(stored)
        made = make_row(row).lips(Clip(sample, path))
    if made is None:
        return None
    real = sample.crops()
    chosen = np.linspace(0, len(real) - 1, STRIP_FRAMES).round().astype(int)
    size = real.shape[1]
    rows = [np.concatenate([_sized(video[t], size) for t in chosen], 1) for video in (real, made)]
    return np.concatenate(rows)


def _sized(image: Image, size: int) -> Image:
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def _figure(figure: Figure, caption: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    return f"<figure>{drawn}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _png(image: Image) -> str:
    done, data = cv2.imencode(".png", image[..., ::-1])
    if not done:
        raise RuntimeError("the strip could not be written as PNG")
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode()
