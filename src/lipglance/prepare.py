"""A corpus made into shards by several processes, resumable.

The sorted clips of a split are dealt out in fixed lots, one lot a shard, so that the result does
not depend on the number of processes and a finished shard never has to be looked at again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from lipglance.clip_source import ClipSource
from lipglance.corpora import SPLITS, list_clips
from lipglance.crew import Crew
from lipglance.crop import CropConfig
from lipglance.cutting import CutConfig
from lipglance.errors import InputError
from lipglance.progress_bar import progress_bar
from lipglance.runtime import cpu_count
from lipglance.shard_index import find_shards, index_path, write_text
from lipglance.shard_summary import shard_report, summarise
from lipglance.shard_writer import JPEG_QUALITY, ShardWriter
from lipglance.shards import AUDIO_RATE, FPS

try:
    import fcntl
except ImportError:  # Windows, where two jobs in one folder are the user's to avoid
    fcntl = None  # type: ignore[assignment]

FORMAT = 1
"""Raised when shards of an earlier version no longer mean the same."""
CLIPS_PER_SHARD = 64


@dataclass(frozen=True)
class _Shard:
    """A lot of clips and the shard they become."""

    name: str
    clips: list[ClipSource]
    fingerprint: str


def prepare(
    corpus: str,
    root: Path,
    out: Path,
    *,
    table: Path | None = None,
    size: int = 64,
    region: str = "lips",
    half_side: float | None = None,
    workers: int | None = None,
    max_seconds: float = 10.0,
    limit: int | None = None,
    splits: Sequence[str] | None = None,
    held_out: Sequence[str] | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Make shards of the corpus under ``root`` in the folder ``out``; return the summary.

    ``table`` the CSV of a ``folder`` corpus; ``size`` side of the crops in px, a multiple of 8;
    ``region`` "lips" or "face" and ``half_side`` as in `CropConfig` (None = the region's usual);
    ``workers`` processes (None = one a core); ``max_seconds`` the longest sample; ``limit`` clips
    of every split, spread over it; ``splits`` to make (None = all); ``held_out`` test speakers
    (None = the corpus' usual); ``progress`` a bar on stderr.

    Shards that are there already are kept. Clips that cannot be used are listed in the summary
    (``out/summary.json``) with the reason. Raises InputError for options that make no sense, a
    root without clips, and an ``out`` with shards made in another way.
    """
    config = _config(size, region, half_side, max_seconds)
    for name, number in (("--workers", workers), ("--limit", limit)):
        if number is not None and number < 1:
            raise InputError(f"{name} {number}; expected 1 or more")
    clips = _chosen(list_clips(corpus, root, table, held_out), splits, limit)
    settings = _settings(config)
    shards = _plan(clips, settings)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _locked(out):
            _check_folder(out, shards, settings)
            missing = [shard for shard in shards if not _is_done(out, shard)]
            _make(out, missing, settings, config, workers or cpu_count(), progress)
            summary = summarise(out)
            text = json.dumps(summary, indent=1, ensure_ascii=False)
            write_text(out / "summary.json", text + "\n")
    except OSError as error:
        raise InputError(f"{out}: cannot write the shards: {error}") from None
    return summary


def _config(size: int, region: str, half_side: float | None, max_seconds: float) -> CutConfig:
    if size < 16 or size % 8 or size > 1024:
        raise InputError(f"--size {size}; expected a multiple of 8 from 16 to 1024")
    if region not in ("lips", "face"):
        raise InputError(f"--region {region}; expected lips or face")
    crop = CropConfig(size) if region == "lips" else CropConfig.face(size)
    if half_side is not None:
        if not 0.3 <= half_side <= 10:
            raise InputError(f"--half-side {half_side}; expected 0.3 to 10")
        crop = replace(crop, half_side=half_side)
    config = CutConfig(crop=crop, max_seconds=max_seconds)
    if not isfinite(max_seconds * FPS) or config.max_frames < config.min_frames:
        least = config.min_frames / FPS
        raise InputError(f"--max-seconds {max_seconds}; expected {least} or more, as 10")
    return config


def _settings(config: CutConfig) -> dict[str, Any]:
    """All that decides what a sample of a given clip looks like."""
    settings = {
        "format": FORMAT,
        "fps": FPS,
        "sample_rate": AUDIO_RATE,
        "jpeg_quality": JPEG_QUALITY,
        "clips_per_shard": CLIPS_PER_SHARD,
        **asdict(config),
    }
    read_back: dict[str, Any] = json.loads(json.dumps(settings))  # as reports give it
    return read_back


def _chosen(
    clips: list[ClipSource], splits: Sequence[str] | None, limit: int | None
) -> dict[str, list[ClipSource]]:
    """Clips by split, train first, each split in order."""
    found: dict[str, list[ClipSource]] = defaultdict(list)
    for clip in clips:
        found[clip.split].append(clip)
    unknown = sorted(set(splits or ()) - set(found))
    if unknown:
        raise InputError(f"no clips in split {unknown[0]}; found {', '.join(sorted(found))}")
    wanted = sorted(splits or found, key=lambda s: (SPLITS.index(s) if s in SPLITS else 9, s))
    return {split: _spread(found[split], limit) for split in wanted}


def _spread(clips: list[ClipSource], limit: int | None) -> list[ClipSource]:
    if limit is None or limit >= len(clips):
        return clips
    return [clips[i * len(clips) // limit] for i in range(limit)]


def _plan(clips: dict[str, list[ClipSource]], settings: dict[str, Any]) -> list[_Shard]:
    shards = []
    for split, members in clips.items():
        for number, first in enumerate(range(0, len(members), CLIPS_PER_SHARD)):
            lot = members[first : first + CLIPS_PER_SHARD]
            text = json.dumps([settings, [_identity(clip) for clip in lot]], sort_keys=True)
            digest = hashlib.sha256(text.encode()).hexdigest()
            shards.append(_Shard(f"{split}-{number:05d}", lot, digest))
    return shards


def _identity(clip: ClipSource) -> list[Any]:
    size = clip.path.stat().st_size if clip.path.exists() else None
    names = [clip.source, clip.key, clip.corpus, clip.speaker, clip.utterance]
    return [*names, clip.start, clip.end, clip.alignment is not None, size]


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep other jobs out of the folder; the lock goes with the process, however it ends."""
    path = out / ".lock"
    with path.open("w") as file:
        try:
            if fcntl is not None:
                # lockf and not flock: that one lives on in a worker that was just being started.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{out}: another `lipglance prepare` is at work there; wait for it, or use "
                "another folder for --out"
            ) from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _check_folder(out: Path, shards: list[_Shard], settings: dict[str, Any]) -> None:
    """Raise InputError if ``out`` holds shards that are not part of this job."""
    planned = {shard.name: shard for shard in shards}
    splits = {name.rpartition("-")[0] for name in planned}
    for tar in find_shards(out):
        report = shard_report(out, tar.stem)
        if report is None:
            continue
        advice = "use another folder for --out, or empty this one"
        before, now = _flat(report["settings"]), _flat(settings)
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                change = f"{name} {before.get(name)}, now {now.get(name)}"
                raise InputError(f"{tar}: made with {change}; {advice}")
        if tar.stem in planned and report["fingerprint"] != planned[tar.stem].fingerprint:
            raise InputError(f"{tar}: made from other clips than now; {advice}")
        if tar.stem not in planned and tar.stem.rpartition("-")[0] in splits:
            raise InputError(f"{tar}: belongs to a job of more clips; {advice}")


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    crop = {f"crop {name}": value for name, value in settings["crop"].items()}
    return {name: value for name, value in settings.items() if name != "crop"} | crop


def _is_done(out: Path, shard: _Shard) -> bool:
    return (out / f"{shard.name}.tar").exists() and shard_report(out, shard.name) is not None


def _make(
    out: Path,
    shards: list[_Shard],
    settings: dict[str, Any],
    config: CutConfig,
    workers: int,
    progress: bool,
) -> None:
    clips = [clip for shard in shards for clip in shard.clips]
    if not clips:
        return
    for left in out.glob(".spool-*"):  # of a job that was killed
        shutil.rmtree(left, ignore_errors=True)
    with ExitStack() as stack:
        spool = stack.enter_context(tempfile.TemporaryDirectory(prefix=".spool-", dir=out))
        tell = stack.enter_context(progress_bar("preparing", len(clips), shown=progress))
        crew = stack.enter_context(Crew(config, Path(spool), min(workers, len(clips))))
        results = crew.cut(clips)
        done = 0
        for shard in shards:
            rows = []
            with ShardWriter(out / f"{shard.name}.tar") as writer:
                for _ in shard.clips:
                    row, samples = next(results)
                    if samples is not None:
                        writer.append(samples)
                        samples.unlink()
                        index_path(samples).unlink()
                    rows.append(row)
                    done += 1
                    tell(done)
            report = {"fingerprint": shard.fingerprint, "settings": settings, "clips": rows}
            # Written last: a shard without its report is made again.
            write_text(out / f"{shard.name}.json", json.dumps(report, ensure_ascii=False))
