"""``lipglance report``: results as one HTML page that needs nothing else, and as LaTeX tables.

Reads the JSONs that `lipglance evaluate` writes. For every corpus and split: the table, a bar for
each metric and row with its interval, how many clips are in sync and how far off the others are,
the opening of the mouth over time for each model's best, median and worst clip, and, where the
shards are at hand, strips of those clips' frames.
"""

from __future__ import annotations

import base64
import html
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .cross_identity import CrossClip
from .errors import InputError
from .evaluation_clip import opened
from .geometry import Image
from .report_plots import NOT_MODELS, bars, offsets, track
from .results import CROSS_NOTE, corpora_of, crossed, head, heading, row_lines
from .rows import make_row
from .shard_index import check_place, write_text
from .shards import Sample, ShardDataset
from .voiced_clips import babblers_of, voiced

log = logging.getLogger("lipglance")

STYLE = """
body{font:16px/1.5 Georgia,serif;color:#222;max-width:1200px;margin:3em auto;padding:0 1.5em}
h1,h2,h3{font-weight:normal;line-height:1.2} h1{font-size:2.2em} h2{margin-top:2.5em;
border-bottom:1px solid #ccc} table{border-collapse:collapse;font:12px/1.4 sans-serif;width:100%}
th,td{padding:.35em .4em;text-align:right;border-bottom:1px solid #eee}
td{white-space:nowrap} thead th{vertical-align:bottom}
th:first-child,td:first-child{text-align:left} thead th{border-bottom:2px solid #444}
tr.model td{color:#1b4965;font-weight:bold} i.pm{display:block;font:10px sans-serif;color:#888}
.wide{overflow-x:auto} img{width:100%} svg{width:100%;height:auto} figure{margin:1.5em 0}
figcaption,.small{font:13px/1.4 sans-serif;color:#555} code{font-size:13px;background:#f4f4f4;
padding:.1em .3em}
"""

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
        InputError: a file that holds no results, or an output that is there or cannot be written.
    """
    check_place(output, force)
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
    try:
        write_text(output, page)
    except OSError as error:
        raise InputError(f"{output}: cannot write the page: {error.strerror}") from None


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
        titles, rows = ["", *head(results)], row_lines(results, corpus)
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
        if crossed(results):
            yield f"<p class=small>{html.escape(CROSS_NOTE)}</p>"
        yield _figure(bars(results, corpus), "Each metric by row; the line is the real clips'.")
        histogram = offsets(results, corpus)
        if histogram is not None:
            yield _figure(
                histogram,
                "Clips by the offset, in frames of 1/25 s, at which the sync expert finds lips and "
                "sound closest (below 0 the sound comes early). Dark: in sync, at most one frame "
                "off. Read it with LSE-C: lips that do not move can have their least distance at "
                "0 as well, but not a deep one.",
            )
        for row in results["rows"]:
            if Path(row["name"]).name not in NOT_MODELS:
                yield from _examples(results, row, corpus, data)
    machine = results["hardware"]
    yield (
        f"<p class=small>{html.escape(machine['cpu'])}, {machine['cores']} cores, "
        f"{results['seconds']:.0f} s: <code>{html.escape(results['command'])}</code></p>"
    )


def _table(results: Mapping[str, Any], corpus: str) -> str:
    titles = "".join(f"<th>{html.escape(t)}" for t in ("", *head(results)))
    body = "".join(
        f"<tr{'' if line[0] in NOT_MODELS else ' class=model'}>"
        + "".join(f"<td>{_cell(cell)}" for cell in line)
        for line in row_lines(results, corpus)
    )
    return f"<div class=wide><table><thead><tr>{titles}<tbody>{body}</table></div>"


def _cell(text: str) -> str:
    """A figure with its interval below it: beside it, fifteen columns would not fit a page."""
    value, sign, interval = html.escape(text).partition(" ± ")
    return f"{value}<i class=pm>± {interval}</i>" if sign else value


def _examples(
    results: Mapping[str, Any], row: Mapping[str, Any], corpus: str, data: Sequence[Path]
) -> Iterator[str]:
    """The best, the median and the worst clip of a model by LMD, else by aperture r."""
    by, name, worse = ("aperture_r", "aperture r", -1) if crossed(results) else ("lmd", "LMD", 1)
    measured = [c for c in row["clips"] if c["corpus"] == corpus and "values" in c]
    measured = [c for c in measured if c["values"][by] is not None]
    if not measured:
        return
    measured.sort(key=lambda clip: worse * float(clip["values"][by]))
    places = {"best": 0, "median": len(measured) // 2, "worst": len(measured) - 1}
    real = next((r for r in results["rows"] if r["name"] == "real"), None)
    truth = {c["key"]: c for c in (real["clips"] if real else ()) if c["corpus"] == corpus}
    of = "sound's own speaker" if crossed(results) else "real"
    yield f"<h3>{html.escape(Path(row['name']).name)}: best, median and worst clip by {name}</h3>"
    for place_name, place in places.items():
        clip = measured[place]
        if "opening" in clip:
            caption = f"{place_name}: {_told(clip)}"
            yield _figure(track(clip, truth.get(clip["key"]), of), caption)
        strip = _strip(results, clip, row["name"], data)
        if strip is not None:
            yield f"<figure><img src='{_png(strip)}' alt=''><figcaption>{of}, generated</figure>"


def _told(clip: Mapping[str, Any]) -> str:
    """A clip's name and its figures in a few words."""
    values, face = clip["values"], clip.get("face")
    parts = [clip["key"] + (f" said by {face['corpus']} {face['speaker']}" if face else "")]
    if values["lmd"] is not None:
        parts.append(f"LMD {values['lmd']:.2f} px")
    r = values["aperture_r"]
    parts.append("aperture r " + ("-" if r is None else f"{r:.2f}"))
    if clip.get("offset") is not None:
        parts.append(f"offset {clip['offset']:+d} frames")
    return ", ".join(parts)


def _strip(
    results: Mapping[str, Any], clip: Mapping[str, Any], row: str, data: Sequence[Path]
) -> NDArray[np.uint8] | None:
    """Some frames of a clip's own lips over those a model makes; None without the shards."""
    split, voice = results["split"], results.get("voice", "clean")
    sample = _sample(data, split, clip["corpus"], clip["key"])
    if sample is None:
        return None
    face = clip.get("face")
    other = _sample(data, face["split"], face["corpus"], face["key"]) if face else None
    if face and other is None:
        return None
    try:
        speaker = make_row(row)
        behind = babblers_of(sample, list(ShardDataset(data, split))) if voice == "babble" else ()
        with ExitStack() as files:
            job = said = voiced(files.enter_context(opened(sample)), voice, behind)
            if other is not None:
                shown = files.enter_context(opened(other))
                job = CrossClip(shown.sample, shown.path, said)
            made = speaker.lips(job)
    except InputError as error:  # such as a model or a voice that this machine does not have
        log.warning("%s, %s: no strip of frames: %s", clip["key"], row, error)
        return None
    if made is None:
        return None
    real = said.crops()
    chosen = np.linspace(0, len(real) - 1, STRIP_FRAMES).round().astype(int)
    size = real.shape[1]
    rows = [np.concatenate([_sized(video[t], size) for t in chosen], 1) for video in (real, made)]
    return np.concatenate(rows)


def _sample(data: Sequence[Path], split: str, corpus: str, key: str) -> Sample | None:
    """The sample of that name whose clip is stored; None without it."""
    try:
        found = (s for s in ShardDataset(data, split, corpus) if s.key == key) if data else iter(())
    except InputError:  # the shards at hand are of other splits or corpora
        return None
    sample = next(found, None)
    return sample if sample is not None and "clip" in sample.entry.members else None


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
