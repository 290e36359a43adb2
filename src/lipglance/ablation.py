"""What a part of a model is worth: each row of an ablation against the full model, clip by clip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .metrics import bootstrap
from .results import TITLES, markdown_table, short_names
from .rows import BUILT_IN

METRICS = ("lmd", "aperture_r", "articulation", "ssim", "cpbd", "lse_c")
_DIGITS = {"ssim": 3, "cpbd": 3}


def differences(results: Mapping[str, Any], full: str = "e", seed: str = "e-again") -> str:
    """A Markdown table of how far each trained row is from the full model, in the mean over clips.

    Args:
        results: of `lipglance.evaluate.evaluate`.
        full: name of the full model's row.
        seed: name of the row that is the full model from another seed: it shows what chance does.

    Returns:
        The table with paired 95 % bootstrap intervals over clips (both rows on the same clips); a
        difference is bold where its interval leaves out 0 and it is larger than that of the other
        seed. Empty where there is no full row.
    """
    rows = dict(zip(short_names(results), map(_values, results["rows"]), strict=True))
    if full not in rows:
        return ""
    chance = {
        name: abs(_apart(rows[seed], rows[full], name)[0]) if seed in rows else 0.0
        for name in METRICS
    }
    lines = []
    names = [name for name in rows if name != full and name not in BUILT_IN]
    for row in sorted(names, key=lambda name: name != seed):
        cells = []
        for name in METRICS:
            mean, low, high = _apart(rows[row], rows[full], name)
            digits = _DIGITS.get(name, 2)
            text = f"{mean:+.{digits}f} ± {(high - low) / 2:.{digits}f}"
            sure = (low > 0 or high < 0) and abs(mean) > chance[name] and row != seed
            sure = sure and round(mean, digits) != 0
            cells.append(f"**{text}**" if sure else text)
        lines.append([row, *cells])
    note = (
        f"Less `{full}`, the full model, clip by clip (mean, half the 95 % interval). `{seed}` is "
        "the same model from another seed: a difference is **bold** where its interval leaves out "
        "0 and it is larger than that seed's, the rest may be chance."
    )
    titles = ["row less the full model", *(TITLES[name] for name in METRICS)]
    return f"{note}\n\n{markdown_table(titles, lines)}"


def _values(row: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, float | None]]:
    return {(c["corpus"], c["key"]): c["values"] for c in row.get("clips", ()) if "values" in c}


def _apart(
    one: Mapping[tuple[str, str], Mapping[str, float | None]],
    other: Mapping[tuple[str, str], Mapping[str, float | None]],
    metric: str,
) -> tuple[float, float, float]:
    """Mean of the clips' differences, and its interval; 0 where no clip has both values."""
    both = [(one[key].get(metric), other[key].get(metric)) for key in one if key in other]
    found = bootstrap([a - b for a, b in both if a is not None and b is not None])
    if found.mean is None or found.low is None or found.high is None:
        return 0.0, 0.0, 0.0
    return found.mean, found.low, found.high
