"""Write docs/results.md from the JSONs of `lipglance evaluate`: results_page.py JSON..."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lipglance.results import markdown

HEAD = """# Results

Made by `python scripts/results_page.py R.json ...` from the JSONs of the commands under each table.
*real* is the ceiling, *still* the first frame's lips repeated, *mismatched* real lips of another
clip of the speaker, *linear* a ridge regression on the sound (landmarks alone); what each metric
means and how it can be fooled: `METRICS.md`. What a model is and how long it was trained says its
card.

Asked of the paper's model on GRID test_seen: LMD below *still*, aperture r of 0.75 or more.
"""


def main(paths: list[str]) -> None:
    if not paths:
        raise SystemExit("error: no JSON given; expected files written by lipglance evaluate -o")
    parts = [HEAD.rstrip()]
    for path in paths:
        result = json.loads(Path(path).read_text())
        machine = result["hardware"]
        where = f"{machine['cpu']}, {machine['cores']} cores, {result['seconds']:.0f} s."
        parts += [markdown(result), where]
    page = Path(__file__).resolve().parents[1] / "docs" / "results.md"
    page.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
