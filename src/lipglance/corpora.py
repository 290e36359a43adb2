"""Corpora of talking faces: which clips a folder holds, who speaks in them, and in which split.

Every adapter turns a folder into a list of `ClipSource`, sorted, without opening any video. The
layouts are described in ``docs/data.md``.
"""

from __future__ import annotations

import csv
import hashlib
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lipglance.clip_source import ClipSource, clean_name, files_below, hashed_split
from lipglance.errors import InputError

log = logging.getLogger("lipglance")

VIDEO_SUFFIXES = frozenset(
    (".mpg", ".mpeg", ".mp4", ".m4v", ".mkv", ".mov", ".avi", ".webm", ".mts", ".m2ts", ".ts")
)
SPLITS = ("train", "val", "test", "test_seen", "test_unseen")
UNKNOWN = "unknown"
"""Speaker of clips whose corpus does not say who speaks."""


def grid(root: Path, held_out: Sequence[str] = ("s33",)) -> list[ClipSource]:
    """GRID (Cooke et al. 2006): speaker folders ``s1`` .. ``s34`` of videos and ``.align`` files.

    The archives may be unpacked in any of the usual ways: what counts is that one folder above a
    file is called ``sN`` (``s3/x.mpg``, ``s3/video/mpg_6000/x.mpg``, ``align/s3/x.align``, ...).
    Where a sentence is there in several qualities, the largest file is used. ``held_out``
    speakers become test_unseen, s33 as in the authors' code; the other sentences are shared out by
    `hashed_split`.
    """
    times = {
        (speaker, path.stem): path
        for path in files_below(root, {".align"})
        if (speaker := _grid_speaker(path.relative_to(root)))
    }
    clips: dict[tuple[str, str], ClipSource] = {}
    for path in files_below(root, VIDEO_SUFFIXES):
        speaker = _grid_speaker(path.relative_to(root))
        if speaker is None:
            log.warning("%s: in no speaker folder (s1 .. s34); left out", path)
            continue
        # Some releases call the file id2_6000_swwp2s.mpg.
        utterance = path.stem.rpartition("_")[2]
        known = clips.get((speaker, utterance))
        if known is not None and known.path.stat().st_size >= path.stat().st_size:
            continue
        clips[speaker, utterance] = ClipSource(
            path=path,
            source=path.relative_to(root).as_posix(),
            key=f"grid-{speaker}-{utterance}",
            corpus="grid",
            speaker=speaker,
            utterance=utterance,
            split="test_unseen" if speaker in held_out else hashed_split(utterance),
            alignment=times.get((speaker, utterance)),
        )
    _check_held_out(clips.values(), held_out)
    return list(clips.values())


def _grid_speaker(path: Path) -> str | None:
    for part in reversed(path.parts[:-1]):
        found = re.fullmatch(r"(s[1-9]\d?)(?:[._-].*)?", part, re.IGNORECASE)
        if found:
            return found[1].lower()
    return None


def lrw(root: Path, held_out: Sequence[str] = ()) -> list[ClipSource]:
    """LRW (Chung and Zisserman 2016): ``WORD/{train,val,test}/WORD_00001.mp4`` with its ``.txt``.

    The splits are the corpus' own. It does not say who speaks: all speakers are ``unknown``.
    """
    if held_out:
        raise InputError("lrw has its own splits and names no speakers; leave out --held-out")
    clips = []
    for path in files_below(root, VIDEO_SUFFIXES):
        split = path.parent.name
        if split not in ("train", "val", "test"):
            log.warning("%s: not in WORD/{train,val,test}; left out", path)
            continue
        txt = path.with_suffix(".txt")
        clips.append(
            ClipSource(
                path=path,
                source=path.relative_to(root).as_posix(),
                # LRW numbers the clips of a word anew in every split.
                key=clean_name(f"lrw-{split}-{path.stem}"),
                corpus="lrw",
                speaker=UNKNOWN,
                utterance=path.stem,
                split=split,
                alignment=txt if txt.exists() else None,
            )
        )
    return clips


_LDC_SPEAKER = r"(?<![A-Za-z0-9])([FM])[_-]?(\d{1,2})(?!\d)"


def ldc(root: Path, held_out: Sequence[str] = ("F02", "M01")) -> list[ClipSource]:
    """LDC2009V01, the Audiovisual Database of Spoken American English (Richie et al. 2009).

    14 speakers reading syllables, words and sentences, long recordings among them. Known from the
    authors' code: ``data/video/F02/F02_....mov``; speakers ``F01`` .., ``M01`` .., of which F02
    and M01 are left out for the test. Found elsewhere, the speaker is read off the file's name,
    then off its folders; failing both it is the folder's name.
    """
    clips = []
    for path in files_below(root, VIDEO_SUFFIXES):
        relative = path.relative_to(root)
        speaker = _ldc_speaker(relative)
        clips.append(
            ClipSource(
                path=path,
                source=relative.as_posix(),
                key=clean_name(f"ldc-{speaker}-{path.stem}"),
                corpus="ldc",
                speaker=speaker,
                utterance=path.stem,
                split="test_unseen"
                if speaker in held_out
                # Of the item alone: what one speaker reads in training no other is tested with.
                else hashed_split(re.sub(rf"^{_LDC_SPEAKER}[_-]?", "", path.stem, flags=re.I)),
            )
        )
    _check_held_out(clips, held_out)
    return clips


def _ldc_speaker(path: Path) -> str:
    for part in (path.stem, *reversed(path.parts[:-1])):
        found = re.search(_LDC_SPEAKER, part, re.IGNORECASE)
        if found:
            return f"{found[1].upper()}{int(found[2]):02d}"
    return path.parent.name or UNKNOWN


def folder(root: Path, table: Path | None = None, held_out: Sequence[str] = ()) -> list[ClipSource]:
    """Any folder of talking-face videos, searched to its bottom.

    ``table`` is a CSV with a column ``path`` (below ``root``) and, as far as known, ``dataset``,
    ``speaker``, ``utterance``, ``split``, ``start``, ``end``; only its rows are used then. Without
    it (or for empty cells) the corpus is ``folder``, the speaker the folder that holds the file,
    the utterance the file's name and the split the highest folder named like one (train, val,
    test, test_seen, test_unseen), else train. ``held_out`` speakers become test_unseen.

    Word times are taken from ``x.align`` beside ``x.mp4``, or from ``align/SPEAKER/x.align`` or
    ``align/x.align`` in the file's folder or the one above it.
    """
    rows = (
        _table_rows(root, table) if table else [(p, {}) for p in files_below(root, VIDEO_SUFFIXES)]
    )
    stems = Counter(path.stem for path, _ in rows)
    clips = []
    for path, row in rows:
        relative = path.relative_to(root)
        above = relative.parts[:-1]
        speaker = row.get("speaker") or (above[-1] if above else UNKNOWN)
        split = row.get("split") or next((part for part in above if part in SPLITS), "train")
        clips.append(
            ClipSource(
                path=path,
                source=relative.as_posix(),
                key=clean_name("-".join(relative.with_suffix("").parts)),
                corpus=clean_name(row.get("dataset") or "folder").lower(),
                speaker=speaker,
                utterance=row.get("utterance") or path.stem,
                split="test_unseen" if speaker in held_out else clean_name(split),
                alignment=_alignment(path, speaker, unique=stems[path.stem] == 1),
                start=_seconds(row, "start", path) or 0.0,
                end=_seconds(row, "end", path),
            )
        )
    _check_held_out(clips, held_out)
    return clips


def _table_rows(root: Path, table: Path) -> list[tuple[Path, dict[str, str]]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if "path" not in (reader.fieldnames or ()):
                raise InputError(
                    f"{table}: columns {reader.fieldnames}; expected at least a column 'path'"
                )
            rows = [
                {name: (cell or "").strip() for name, cell in row.items() if name is not None}
                for row in reader
            ]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{table}: not readable as CSV: {error}") from None
    paths = [PurePosixPath(row["path"]) for row in rows]
    for number, path in enumerate(paths, start=2):
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise InputError(f"{table}, row {number}: path '{path}'; expected one below {root}")
    return [(root / path, row) for path, row in zip(paths, rows, strict=True)]


def _seconds(row: dict[str, str], name: str, path: Path) -> float | None:
    try:
        return float(row[name]) if row.get(name) else None
    except ValueError:
        raise InputError(f"{path}: {name} '{row[name]}' in the CSV; expected seconds") from None


def _alignment(path: Path, speaker: str, *, unique: bool) -> Path | None:
    name = f"{path.stem}.align"
    places = [path.with_name(name)]
    for folder_ in (path.parent, path.parent.parent):
        places.append(folder_ / "align" / speaker / name)
        # Without a speaker in its path, a file may be another speaker's same sentence.
        if unique:
            places.append(folder_ / "align" / name)
    return next((place for place in places if place.is_file()), None)


CORPORA: dict[str, Callable[..., list[ClipSource]]] = {
    "grid": grid,
    "lrw": lrw,
    "ldc": ldc,
    "folder": folder,
}


def list_clips(
    corpus: str,
    root: Path,
    table: Path | None = None,
    held_out: Sequence[str] | None = None,
) -> list[ClipSource]:
    """Clips of a corpus, sorted by split and path, each with a key of its own.

    ``held_out`` None = the adapter's default. Raises InputError for an unknown corpus, a folder
    that is not there and one without clips.
    """
    if corpus not in CORPORA:
        raise InputError(f"unknown corpus '{corpus}'; expected one of {', '.join(CORPORA)}")
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected the root of the {corpus} corpus")
    if table is not None and corpus != "folder":
        raise InputError(f"--csv goes with the corpus 'folder', not with '{corpus}'")
    options: dict[str, object] = {} if held_out is None else {"held_out": tuple(held_out)}
    if table is not None:
        options["table"] = table
    clips = CORPORA[corpus](root, **options)
    if not clips:
        raise InputError(
            f"{root}: no clips in the layout of '{corpus}'; see docs/data.md, or try 'folder'"
        )
    return _distinct(sorted(clips, key=lambda c: (c.split, c.source, c.start)))


def _check_held_out(clips: Iterable[ClipSource], held_out: Sequence[str]) -> None:
    speakers = {clip.speaker for clip in clips}
    for speaker in held_out:
        if speakers and speaker not in speakers:
            log.warning(
                "speaker %s, to be held out for the test, is not there (found: %s)",
                speaker,
                ", ".join(sorted(speakers)[:40]),
            )


def _distinct(clips: list[ClipSource]) -> list[ClipSource]:
    """Tell clips of one key apart by a hash of their path and start."""
    groups: dict[str, list[ClipSource]] = defaultdict(list)
    for clip in clips:
        groups[clip.key].append(clip)
    twins = {key for key, group in groups.items() if len(group) > 1}
    found: dict[str, ClipSource] = {}
    for clip in clips:
        key = clip.key
        if key in twins:
            mark = hashlib.sha1(f"{clip.source} {clip.start}".encode()).hexdigest()[:8]
            key = f"{key}-{mark}"
        if key in found:
            raise InputError(f"{clip.source}: listed twice; expected every clip once")
        found[key] = replace(clip, key=key)
    return list(found.values())
