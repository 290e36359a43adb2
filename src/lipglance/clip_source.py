"""What a corpus says of one clip, and what every adapter needs to say it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lipglance.errors import InputError

GRID_UNITS = 25_000
"""GRID's word times count samples of its 25 kHz audio."""
LRW_SECONDS = 29 / 25
"""Length of every LRW clip; the word lies in its middle."""

Word = tuple[float, float, str]


@dataclass(frozen=True)
class ClipSource:
    """One clip of a corpus before it is cut.

    ``source`` is the path below the corpus' root, ``alignment`` the file with the word times (a
    GRID ``.align`` or an LRW ``.txt``), ``start`` and ``end`` the part of the file to use, in
    seconds (``end`` None = to the end).
    """

    path: Path
    source: str
    key: str
    corpus: str
    speaker: str
    utterance: str
    split: str
    alignment: Path | None = None
    start: float = 0.0
    end: float | None = None


def read_words(clip: ClipSource) -> list[Word]:
    """Word times of a clip, ``(from, to, word)`` in seconds of the file; [] if none are known.

    Raises InputError where the alignment file is not what it should be.
    """
    if clip.alignment is None:
        return []
    try:
        text = clip.alignment.read_text(encoding="utf-8")
        if clip.alignment.suffix == ".txt":
            return [_lrw_word(text, clip.utterance.rpartition("_")[0])]
        words = []
        for line in text.splitlines():
            if line.strip():
                start, end, word = line.split(maxsplit=2)
                words.append((int(start) / GRID_UNITS, int(end) / GRID_UNITS, word.strip()))
    except (OSError, ValueError) as error:
        raise InputError(f"{clip.alignment}: not readable as word times: {error}") from None
    return words


def _lrw_word(text: str, word: str) -> Word:
    found = re.search(r"^Duration:\s*([0-9.]+)", text, re.MULTILINE)
    if found is None:
        raise ValueError("no line 'Duration: S seconds'")
    half = float(found[1]) / 2
    return (LRW_SECONDS / 2 - half, LRW_SECONDS / 2 + half, word)


def hashed_split(utterance: str) -> str:
    """Split of a sentence: 5 % val, 5 % test_seen, else train, by a hash of its name alone.

    The same sentence of two speakers falls into the same split, and adding clips moves none.
    """
    bucket = int.from_bytes(hashlib.sha1(utterance.lower().encode()).digest()[:4], "big") % 100
    return "val" if bucket < 5 else "test_seen" if bucket < 10 else "train"


def clean_name(name: str) -> str:
    """A name that can be part of a key: letters, digits, `_` and `-`."""
    # A dot would end the key in webdataset, a slash would make folders in the tar.
    return re.sub(r"[^\w-]+", "_", name)


def files_below(root: Path, suffixes: Iterable[str]) -> list[Path]:
    """Files of these kinds below a folder, sorted, links followed, hidden ones left out."""
    wanted = set(suffixes)
    found, seen = [], set()
    for here, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:  # a link back up the tree
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(here) / name
            for name in sorted(names)
            if Path(name).suffix.lower() in wanted and not name.startswith(".")
        ]
    return found
