"""Write docs/results.md from the JSONs of `lipglance evaluate`: results_page.py JSON...

Chapters, and rows of the budgets, that no JSON is given for stay as the page has them: what ships
is measured more often than the paper's tables, whose runs take hours.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from product_targets import targets

from lipglance.ablation import differences
from lipglance.reproduce import published
from lipglance.results import budgets, corpora_of, crossed, markdown

PAGE = Path(__file__).resolve().parents[1] / "docs" / "results.md"

HEAD = """# Results

Made by `python scripts/results_page.py R.json ...` from the JSONs of the commands under each table.
*real* is the ceiling, *still* the first frame's lips repeated, *mismatched* real lips of another
clip of the speaker, *linear* a ridge regression on the sound (landmarks alone); what each metric
means and how it can be fooled: `METRICS.md`. *true-motion=glance* paints with the product's
renderer what the face really did, *heard-motion=glance* is what it hears, unpainted.

Asked of the paper's model on GRID test_seen: LMD below *still*, aperture r of 0.75 or more.
"""

KINDS = {
    "table1": "Table 1: the ablation",
    "table2": "Table 2: the rivals",
    "shipped": "The models that are shipped",
}
"""Chapters by how a JSON's name begins."""

BUDGET = "Budgets"
BUDGETS = f"""## {BUDGET}

Steps of each part of each run, hours in all (with those of the runs that it began with), hardware.
Rows of one table that begin with the same lessons have the same figures there."""


def main(paths: list[str]) -> None:
    """Write the page; one argument for each JSON, in the order of the page."""
    if not paths:
        raise SystemExit("error: no JSON given; expected files written by lipglance evaluate -o")
    found = [(Path(path), json.loads(Path(path).read_text())) for path in paths]
    kept = read_chapters(PAGE.read_text()) if PAGE.exists() else {}
    chapters: dict[str, list[str]] = {}
    printed: set[str] = set()
    for path, results in found:
        title = KINDS.get(path.stem.partition("-")[0], path.stem)
        title += ", another speaker's face" if crossed(results) else ""
        if title not in chapters:
            chapters[title] = []
            if path.stem.startswith("shipped") and (table := targets(r for _, r in found)):
                chapters[title].append(table)
        machine = results["hardware"]
        where = f"{machine['cpu']}, {machine['cores']} cores, {results['seconds']:.0f} s."
        parts = chapters[title]
        parts += [part for part in (markdown(results), differences(results), where) if part]
        if path.stem.startswith("table2"):
            corpora = [corpus for corpus, _ in corpora_of(results) if corpus not in printed]
            parts += [text for corpus in corpora if (text := published(corpus))]
            printed.update(corpora)
    told = budgets(results for _, results in found)
    last = [BUDGETS, with_rows_of(told, kept.pop(BUDGET, ""))]
    made = {title: "\n\n".join(parts) for title, parts in chapters.items()}
    page = [f"## {title}\n\n{text}" for title, text in (kept | made).items()]
    PAGE.write_text("\n\n".join([HEAD.rstrip(), *page, *last]) + "\n")


def read_chapters(page: str) -> dict[str, str]:
    """Texts of a page's chapters by their titles, in the page's order."""
    parts = [part.partition("\n") for part in f"\n{page}".split("\n## ")[1:]]
    return {title.strip(): text.strip() for title, _, text in parts}


def with_rows_of(table: str, before: str) -> str:
    """A Markdown table, and below it the rows of an older text whose first cell it has not."""
    rows = [line for line in before.splitlines() if line.startswith("| ")]
    known = {_first(line) for line in table.splitlines()}
    return "\n".join([table, *(row for row in rows if _first(row) not in known)])


def _first(row: str) -> str:
    return row.strip("|").partition("|")[0].strip()


if __name__ == "__main__":
    main(sys.argv[1:])
