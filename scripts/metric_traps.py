"""Measure rows that fool a metric each, on real clips: the tables of traps in docs/METRICS.md.

    python scripts/metric_traps.py --data SHARDS --split test_seen --limit 20

A trap takes the clip's real lips, or its landmarks, and spoils or flatters them in one known way.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
import zlib
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from lipglance.dlib68 import Dlib68
from lipglance.errors import InputError
from lipglance.evaluate import spread
from lipglance.evaluation_clip import Clip, stored_clip
from lipglance.geometry import Floats
from lipglance.measure import measure_clip
from lipglance.metrics import psnr, psnr_u8
from lipglance.progress_bar import progress_bar
from lipglance.results import markdown, markdown_table, summarise
from lipglance.rows import Mismatched, Pasted, Real, Row, Still, moved_mouth
from lipglance.shards import AUDIO_PER_FRAME, Sample, ShardDataset
from lipglance.sync import SyncExpert, packaged_expert

#: Standard deviations of the noise in `Noisy`, grey levels, and in `Shaking`, mouth widths.
GRAIN, SHAKE = 8.0, 0.03
#: Frames by which `Late` is late.
DELAY = 3
# The lower lip, without the corners, among the 20 mouth points; the inner lip's middles of the
# mesh in the shards.
_LOWER = (7, 8, 9, 10, 11, 17, 18, 19)
_MESH_INNER = (13, 14)

Lips = NDArray[np.uint8]


def _random(clip: Clip) -> np.random.Generator:
    """A generator of the clip's own, so that the figures do not depend on the other clips."""
    return np.random.default_rng(zlib.crc32(clip.sample.key.encode()))


class Sharpened(Pasted):
    """The real lips through an unsharp mask: CPBD."""

    name = "sharpened"

    def lips(self, clip: Clip) -> Lips:
        sharp = [
            cv2.addWeighted(crop, 2.5, cv2.GaussianBlur(crop, (0, 0), 1.0), -1.5, 0)
            for crop in super().lips(clip)
        ]
        return np.asarray(np.stack(sharp), np.uint8)


class Noisy(Pasted):
    """The real lips under grain: CPBD."""

    name = "noisy"

    def lips(self, clip: Clip) -> Lips:
        real = super().lips(clip)
        grain = _random(clip).normal(0, GRAIN, real.shape)
        return np.clip(np.round(real + grain), 0, 255).astype(np.uint8)


class Late(Pasted):
    """The real lips some frames late: LMD, SSIM and PSNR hardly tell what the expert sees."""

    name = "late"

    def lips(self, clip: Clip) -> Lips:
        real = super().lips(clip)
        return np.concatenate([real[:1].repeat(DELAY, 0), real])[: clip.frames]


class Shut(Pasted):
    """The real lips of the frame in which they are most closed, all the time: silence leak."""

    name = "shut"

    def lips(self, clip: Clip) -> Lips:
        top, bottom = (clip.sample.landmarks()[:, point] for point in _MESH_INNER)
        gap = np.linalg.norm(top - bottom, axis=1)
        closed = int(np.nanargmin(gap)) if np.isfinite(gap).any() else 0
        return super().lips(clip)[closed : closed + 1].repeat(clip.frames, 0)


class Shaking(Real):
    """The first frame's mouth points under white noise: articulation."""

    name = "shaking"

    def points(self, clip: Clip, real: Floats) -> Floats:
        return moved_mouth(clip, real, _random(clip).normal(0, SHAKE, (clip.frames, 20, 2)))


class Flapping(Real):
    """The lower lip goes down as far as the sound is loud, whatever is said: aperture r."""

    name = "flapping"

    def points(self, clip: Clip, real: Floats) -> Floats:
        told = np.zeros((clip.frames, 20, 2))
        told[:, _LOWER, 1] = 0.2 * loudness(clip)[:, None]
        return moved_mouth(clip, real, told)


def loudness(clip: Clip) -> Floats:
    """Root mean square of each frame's sound over the loudest one's, (T,) 0..1."""
    sound = clip.sample.audio()[: clip.frames * AUDIO_PER_FRAME].astype(np.float64)
    level = np.sqrt(np.square(sound).reshape(clip.frames, -1).mean(1))
    return np.asarray(level / max(level.max(), 1e-9), np.float64)


TRAPS = (Real, Pasted, Still, Mismatched, Late, Sharpened, Noisy, Shut, Shaking, Flapping)


@lru_cache(maxsize=1)
def _detector() -> Dlib68:
    return Dlib68()


@lru_cache(maxsize=1)
def _expert(folder: Path) -> SyncExpert:
    return SyncExpert(folder, threads=1)


def measured(sample: Sample, expert: Path | None) -> list[dict[str, Any]]:
    """Records of all traps for one clip."""
    cv2.setNumThreads(1)
    entry = sample.entry
    head = {"key": entry.key, "corpus": entry.corpus, "frames": entry.frames}
    rows: list[Row] = [trap() for trap in TRAPS]
    with tempfile.TemporaryDirectory(prefix="lipglance-") as folder:
        clip = stored_clip(sample, Path(folder) / "clip")
        judge = None if expert is None else _expert(expert)
        made = measure_clip(clip, rows, _detector(), expert=judge)
    return [head | {"row": row.name} | made[row.name] for row in rows]


def traps(
    data: list[Path], split: str, limit: int | None, workers: int, progress: bool = False
) -> dict[str, Any]:
    """Results as `lipglance.results` shows them: a row for each trap, `limit` clips a corpus."""
    chosen = spread(ShardDataset(data, split), limit)
    measure = partial(measured, expert=packaged_expert())
    records: list[dict[str, Any]] = []

    def gather(made: Iterable[list[dict[str, Any]]]) -> None:
        with progress_bar("measuring traps", len(chosen), shown=progress) as tell:
            for count, found in enumerate(made, 1):
                records.extend(found)
                tell(count)

    if workers == 1:
        gather(map(measure, chosen))
    else:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            gather(pool.map(measure, chosen))
    rows = []
    for trap in TRAPS:
        clips = [record for record in records if record["row"] == trap.name]
        rows.append({"name": trap.name, "groups": summarise(clips), "clips": clips})
    return {"split": split, "view": "lips", "rows": rows}


def wrapped() -> str:
    """PSNR and its wrapped form of pictures that have nothing in common, as a Markdown table."""
    random = np.random.default_rng(0)
    one, two = random.integers(0, 256, (2, 256, 256), np.uint8)
    black, white = np.zeros((64, 64), np.uint8), np.full((64, 64), 255, np.uint8)
    pairs = {"noise, other noise": (one, two), "black, white": (black, white)}
    rows = [[name, f"{psnr(a, b):.1f}", f"{psnr_u8(a, b):.1f}"] for name, (a, b) in pairs.items()]
    return markdown_table(["pictures", "PSNR, dB", "PSNR-u8, dB"], rows)


def main(
    data: Annotated[list[Path], typer.Option(help="shard folder; may be repeated")],
    split: Annotated[str, typer.Option(help="val, test_seen or test_unseen")] = "test_seen",
    limit: Annotated[int | None, typer.Option(min=1, help="clips of each corpus")] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes")] = 2,
) -> None:
    """Measure rows that fool a metric each and print the tables as Markdown."""
    try:
        found = traps(data, split, limit, workers, progress=sys.stderr.isatty())
    except InputError as error:
        print("error:", error, file=sys.stderr)
        raise typer.Exit(2) from None
    command = shlex.join(["python", "scripts/metric_traps.py", *sys.argv[1:]])
    print(markdown(found | {"command": command}) + "\n\n" + wrapped())


if __name__ == "__main__":
    typer.run(main)
