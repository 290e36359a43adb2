"""Shards: the prepared clips on disk, plain tars that webdataset reads as they are.

A sample is a handful of tar members that share one key (``docs/data.md`` has the table)::

    <key>.json            meta: corpus, speaker, utterance, split, source, start, words, crop, ...
    <key>.jpg             (T*S, S, 3) the T aligned crops, one under the other, JPEG 4:4:4
    <key>.audio.npy       (T*640,) int16, mono, 16 kHz
    <key>.landmarks.npy   (T, 468, 2) int16, crop px times ``landmark_scale``
    <key>.crops.npy       (T, 2, 3) float32, source px -> crop px
    <key>.clip            the original file (splits other than train)

Reading is random access: the members' offsets are read once, from the ``.index.json`` beside the
tar or from the tar's headers, and every array is then one ``seek`` and ``read`` away.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipglance.errors import InputError
from lipglance.shard_index import Entry, find_shards, read_index

FPS = 25
AUDIO_RATE = 16_000
AUDIO_PER_FRAME = AUDIO_RATE // FPS
MISSING = np.iinfo(np.int16).min
"""Stored in place of the landmarks of a frame where no face was found."""


@dataclass(frozen=True)
class Sample:
    """One prepared clip (or segment of a long one). Arrays are read when they are asked for."""

    shard: Path
    entry: Entry

    @property
    def key(self) -> str:
        """Name of the sample, unique in its shards."""
        return self.entry.key

    @property
    def speaker(self) -> str:
        """Speaker as the corpus names it."""
        return self.entry.speaker

    @property
    def frames(self) -> int:
        """Number of frames T at 25 fps."""
        return self.entry.frames

    @cached_property
    def meta(self) -> dict[str, Any]:
        """The sample's JSON: where it comes from and how it was cut."""
        meta: dict[str, Any] = json.loads(self._read("json"))
        return meta

    def crops(self) -> NDArray[np.uint8]:
        """Aligned crops, (T, S, S, 3) RGB."""
        data = np.frombuffer(self._read("jpg"), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise InputError(f"{self.shard}: the picture of {self.key} is damaged; prepare again")
        size = self.entry.size
        return np.asarray(image, np.uint8).reshape(-1, size, size, 3)

    def audio(self) -> NDArray[np.float32]:
        """Speech of exactly the T frames, (T*640,) float32 in [-1, 1], mono at 16 kHz."""
        return self._array("audio.npy").astype(np.float32) / np.float32(32767)

    def landmarks(self) -> NDArray[np.float32]:
        """Mesh points, (T, 468, 2) float32 crop px; NaN in frames where no face was found."""
        packed = self._array("landmarks.npy")
        points = packed.astype(np.float32) / np.float32(self.meta["landmark_scale"])
        points[packed == MISSING] = np.nan
        return points

    def transforms(self) -> NDArray[np.float32]:
        """Similarities that take a source pixel to a crop pixel, (T, 2, 3) float32."""
        return self._array("crops.npy")

    def clip_bytes(self) -> bytes | None:
        """The original file as it was (its type is ``meta["clip_suffix"]``), if it is stored."""
        return self._read("clip") if "clip" in self.entry.members else None

    def _array(self, suffix: str) -> NDArray[Any]:
        array: NDArray[Any] = np.load(io.BytesIO(self._read(suffix)), allow_pickle=False)
        return array

    def _read(self, suffix: str) -> bytes:
        # Opened for each read: no handle is shared by threads or goes through a fork.
        try:
            offset, size = self.entry.members[suffix]
            with self.shard.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except (OSError, KeyError) as error:
            raise InputError(f"{self.shard}: cannot read {self.key}.{suffix}: {error}") from None
        if len(data) != size:
            raise InputError(f"{self.shard}: cut short inside {self.key}.{suffix}; prepare again")
        return data


class ShardDataset(Sequence[Sample]):
    """The samples of one or several shard folders, in a fixed order; picklable and light.

    ``roots``: folders of tars, or tars. The filters keep samples of the given splits, corpora and
    speakers; ``None`` keeps all. Raises InputError where nothing is left or the crops differ in
    size.
    """

    def __init__(
        self,
        roots: str | Path | Sequence[str | Path],
        split: str | Sequence[str] | None = None,
        corpora: str | Sequence[str] | None = None,
        speakers: Sequence[str] | None = None,
    ) -> None:
        splits, wanted = _names(split), _names(corpora)
        self._samples: list[Sample] = []
        for shard in find_shards(roots, splits):
            for entry in read_index(shard):
                if (
                    (splits is None or entry.split in splits)
                    and (wanted is None or entry.corpus in wanted)
                    and (speakers is None or entry.speaker in speakers)
                ):
                    self._samples.append(Sample(shard, entry))
        if not self._samples:
            raise InputError(
                f"{_shown(roots)}: no samples of split {split or 'any'}, "
                f"corpus {corpora or 'any'}; make them with `lipglance prepare`"
            )
        sizes = sorted({sample.entry.size for sample in self._samples})
        if len(sizes) > 1:
            raise InputError(f"{_shown(roots)}: crops of sizes {sizes}, expected one size for all")
        self.size: int = sizes[0]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        return self._samples[index]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples)

    def meta(self, index: int) -> dict[str, Any]:
        """The JSON of one sample."""
        return self._samples[index].meta

    @property
    def speakers(self) -> list[str]:
        """Speakers of the samples as ``corpus/speaker``, sorted."""
        return sorted({f"{s.entry.corpus}/{s.entry.speaker}" for s in self._samples})


def _names(names: str | Sequence[str] | None) -> set[str] | None:
    if names is None:
        return None
    return {names} if isinstance(names, str) else set(names)


def _shown(roots: str | Path | Sequence[str | Path]) -> str:
    return str(roots) if isinstance(roots, str | Path) else ", ".join(str(root) for root in roots)
