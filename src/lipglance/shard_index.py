"""Where the samples of a shard lie: member offsets, from the index beside a tar or its headers."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lipglance.errors import InputError

_SHARD_NAME = re.compile(r"(?P<split>.+)-\d{5,}\.tar")
_INDEX_VERSION = 1


class Entry(NamedTuple):
    """One sample of a shard, as much of it as choosing samples needs."""

    key: str
    corpus: str
    speaker: str
    split: str
    frames: int
    size: int
    members: dict[str, tuple[int, int]]
    """Suffix (``jpg``, ``audio.npy``, ...) -> (offset, length) in bytes."""


def part_path(path: Path) -> Path:
    """Where a file is written before it is renamed to ``path``."""
    return path.with_name(f".{path.name}.part")


def check_place(path: Path, force: bool = False, *, parents: bool = False) -> None:
    """InputError where `write_text` could not write, or may not for want of ``force``.

    parents: whether missing folders will be made.
    """
    if path.is_dir():
        raise InputError(f"{path} is a directory; expected a file; give another name")
    if not parents and not path.parent.is_dir():
        raise InputError(
            f"the directory {path.parent} does not exist; expected one for {path.name}; make it "
            "first"
        )
    if path.exists() and not force:
        raise InputError(f"{path} exists; give another name or --force to replace it")


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    part = part_path(path)
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def find_shards(
    roots: str | Path | Sequence[str | Path], splits: set[str] | None = None
) -> list[Path]:
    """The tars under ``roots`` in order, without those whose name says another split."""
    found: list[Path] = []
    for root in [roots] if isinstance(roots, str | Path) else roots:
        path = Path(root)
        if not path.exists():
            raise InputError(f"{path}: no such folder; expected shards of `lipglance prepare`")
        found += [path] if path.is_file() else sorted(path.glob("[!.]*.tar"))
    if splits is None:
        return found
    named = [(shard, _SHARD_NAME.fullmatch(shard.name)) for shard in found]
    return [shard for shard, name in named if name is None or name["split"] in splits]


def read_index(shard: Path) -> list[Entry]:
    """Samples of one tar in order, from the index beside it or, failing that, from its headers."""
    try:
        index = json.loads(index_path(shard).read_text(encoding="utf-8"))
        if index["version"] == _INDEX_VERSION and index["bytes"] == shard.stat().st_size:
            return [
                Entry(**(raw | {"members": {s: (p[0], p[1]) for s, p in raw["members"].items()}}))
                for raw in index["samples"]
            ]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no index, or one of another tar: the headers tell the same
    return _scan(shard)


def _scan(shard: Path) -> list[Entry]:
    places: dict[str, dict[str, tuple[int, int]]] = {}
    entries: list[Entry] = []
    try:
        with tarfile.open(shard, "r:") as tar:
            for info in tar:
                folder, slash, name = info.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                places.setdefault(folder + slash + stem, {})[suffix] = (info.offset_data, info.size)
            for key, members in places.items():
                offset, size = members["json"]
                if tar.fileobj is None:  # pragma: no cover (only for the type checker)
                    raise OSError("closed")
                tar.fileobj.seek(offset)
                meta = json.loads(tar.fileobj.read(size))
                entries.append(entry_of(meta | {"key": key}, members))
    except (tarfile.TarError, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{shard}: not a readable shard ({type(error).__name__}: {error}); "
            "expected a tar of `lipglance prepare`; prepare it again"
        ) from None
    return entries


def entry_of(meta: dict[str, Any], members: dict[str, tuple[int, int]]) -> Entry:
    """The entry of a sample with this JSON and these members."""
    return Entry(
        key=meta["key"],
        corpus=meta["corpus"],
        speaker=meta["speaker"],
        split=meta["split"],
        frames=meta["frames"],
        size=meta["size"],
        members=members,
    )


def index_path(shard: Path) -> Path:
    """Where the index of a shard lies."""
    return shard.with_name(f"{shard.name}.index.json")


def index_text(shard: Path, entries: list[Entry]) -> str:
    """The index of a shard that is written and in its place."""
    samples = [entry._asdict() for entry in entries]
    index = {"version": _INDEX_VERSION, "bytes": shard.stat().st_size, "samples": samples}
    return json.dumps(index, ensure_ascii=False)
