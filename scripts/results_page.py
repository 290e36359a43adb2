"""Write docs/results.md from the JSONs of `lipglance evaluate`: results_page.py JSON..."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NAMES = {
    "lmd": "LMD, px",
    "lmd_w": "LMD/w",
    "ssim": "SSIM",
    "psnr": "PSNR, dB",
    "aperture_r": "aperture r",
    "articulation": "articulation",
    "silence_leak": "silence leak",
    "jitter": "jitter",
}
HEAD = """# Results

Made by `python scripts/results_page.py R.json ...` from the JSONs of the commands under each table.
Mean over clips and 95 % bootstrap interval. *real* is the ceiling, *pasted* the clip's own lips cut
out at 64 px and put back, *still* the first frame's lips repeated; what each metric means and how
it can be fooled: `metrics.md`. What a model is and how long it was trained says its card.

Asked of the paper's model on GRID test_seen: LMD below *still*, aperture r of 0.75 or more.
"""


def cell(metric: dict[str, Any] | None) -> str:
    if not metric or metric["mean"] is None:
        return "-"
    digits = 4 if abs(metric["mean"]) < 0.1 else 2
    low, high = metric["low"], metric["high"]
    return f"{metric['mean']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def tables(result: dict[str, Any]) -> list[str]:
    lines = []
    for corpus, facts in result["data"]["corpora"].items():
        rows = [(row["name"], row["groups"][corpus]) for row in result["rows"]]
        lines += [f"## {corpus}, {result['split']}: {facts['clips']} clips", ""]
        lines += ["| row | " + " | ".join(NAMES.values()) + " | no landmarks |"]
        lines += ["| --- |" + " --- |" * (len(NAMES) + 1)]
        for name, group in rows:
            cells = [cell(group["metrics"].get(key)) for key in NAMES]
            missing = f"{group['missing_real']} + {group['missing_generated']}"
            lines.append(f"| {name} | {' | '.join(cells)} | {missing} of {group['frames']} |")
        lines += [""]
    machine = result["hardware"]
    lines += [f"`{result['command']}`", ""]
    lines += [f"{machine['cpu']}, {machine['cores']} cores, {result['seconds']:.0f} s.", ""]
    return lines


def main(paths: list[str]) -> None:
    if not paths:
        raise SystemExit("error: no JSON given; expected files written by lipglance evaluate -o")
    lines = [HEAD]
    for path in paths:
        lines += tables(json.loads(Path(path).read_text()))
    page = Path(__file__).resolve().parents[1] / "docs" / "results.md"
    page.write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
