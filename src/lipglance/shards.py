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
import os
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipglance.errors import InputError
from lipglance.shard_index import (
    Entry,
    entry_of,
    find_shards,
    index_path,
    index_text,
    part_path,
    read_index,
    write_text,
)

FPS = 25
AUDIO_RATE = 16_000
AUDIO_PER_FRAME = AUDIO_RATE // FPS
JPEG_QUALITY = 95
JPEG_MAX_ROWS = 65_500
MISSING = np.iinfo(np.int16).min
"""Stored in place of the landmarks of a frame where no face was found."""

_BLOCK = 512


def landmark_scale(size: int) -> float:
    """Steps of the stored landmarks per crop px: 1/4096 of the crop's side, so 64 at 64 px.

    Tied to the size because int16 then reaches 8 crops to every side, which holds the whole face.
    """
    return 4096 / size


class ShardWriter:
    """Write samples to ``path``; the tar and its index appear when the ``with`` block ends well.

    The bytes depend on the samples alone: no times, owners or host names.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self._part = part_path(path)
        self._file: IO[bytes] | None = None

    def __enter__(self) -> ShardWriter:
        self._file = self._part.open("wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        file, self._file = self._handle, None
        try:
            if kind is None:
                file.write(bytes(2 * _BLOCK))
            file.close()
            if kind is None:
                self._part.replace(self.path)
                write_text(index_path(self.path), index_text(self.path, self.entries))
        finally:
            file.close()
            self._part.unlink(missing_ok=True)

    @property
    def _handle(self) -> IO[bytes]:
        if self._file is None:
            raise RuntimeError("ShardWriter is used outside its with block")
        return self._file

    def add(
        self,
        meta: dict[str, Any],
        crops: NDArray[np.uint8],
        audio: NDArray[np.float32],
        landmarks: NDArray[np.float32],
        transforms: NDArray[np.float32],
        clip: bytes | None = None,
    ) -> None:
        """Add one sample.

        ``meta`` holds at least ``key`` (no dot in it), ``corpus``, ``speaker`` and ``split``;
        ``frames``, ``size``, ``fps``, ``sample_rate`` and ``landmark_scale`` are added.
        ``crops`` (T, S, S, 3) RGB, ``audio`` (T*640,) in [-1, 1], ``landmarks`` (T, 468, 2) crop
        px with NaN where no face was found, ``transforms`` (T, 2, 3) source px -> crop px,
        ``clip`` the bytes of the original file.
        """
        frames, size = crops.shape[0], crops.shape[1]
        if frames * size > JPEG_MAX_ROWS:
            raise ValueError(f"{frames} crops of {size} px are more than one JPEG holds")
        if audio.shape != (frames * AUDIO_PER_FRAME,) or len(landmarks) != frames:
            raise ValueError(f"{meta['key']}: arrays of different lengths")
        scale = landmark_scale(size)
        meta = meta | {
            "fps": FPS,
            "frames": frames,
            "size": size,
            "sample_rate": AUDIO_RATE,
            "landmark_scale": scale,
        }
        members = {
            "json": json.dumps(meta, ensure_ascii=False, sort_keys=True).encode(),
            "jpg": _encode_jpeg(crops.reshape(frames * size, size, 3)),
            "audio.npy": _encode_npy(
                np.clip(np.round(audio * 32767), -32767, 32767).astype(np.int16)
            ),
            "landmarks.npy": _encode_npy(_pack_landmarks(landmarks, scale)),
            "crops.npy": _encode_npy(transforms.astype(np.float32)),
        }
        if clip is not None:
            members["clip"] = clip
        places = {suffix: self._member(meta["key"], suffix, d) for suffix, d in members.items()}
        self.entries.append(entry_of(meta, places))

    def append(self, shard: Path) -> None:
        """Add every sample of another shard by copying its bytes."""
        start = self._handle.tell()
        entries = read_index(shard)
        with shard.open("rb") as other:
            shutil.copyfileobj(other, self._handle)
        self._handle.seek(-2 * _BLOCK, os.SEEK_END)
        self._handle.truncate()
        for entry in entries:
            places = {s: (offset + start, n) for s, (offset, n) in entry.members.items()}
            self.entries.append(entry._replace(members=places))

    def _member(self, key: str, suffix: str, data: bytes) -> tuple[int, int]:
        info = tarfile.TarInfo(f"{key}.{suffix}")
        info.size, info.mode = len(data), 0o644
        self._handle.write(info.tobuf(tarfile.PAX_FORMAT))
        offset = self._handle.tell()
        self._handle.write(data)
        self._handle.write(bytes(-len(data) % _BLOCK))
        return offset, len(data)


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


def _encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    # 4:4:4 keeps the red of the lips at full resolution and every crop in blocks of its own.
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        JPEG_QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise RuntimeError("the crops could not be written as JPEG")
    return bytes(data)


def _encode_npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _pack_landmarks(points: NDArray[np.float32], scale: float) -> NDArray[np.int16]:
    packed = np.clip(np.round(points * scale), MISSING + 1, -(MISSING + 1))
    return np.where(np.isnan(packed), MISSING, packed).astype(np.int16)


def _names(names: str | Sequence[str] | None) -> set[str] | None:
    if names is None:
        return None
    return {names} if isinstance(names, str) else set(names)


def _shown(roots: str | Path | Sequence[str | Path]) -> str:
    return str(roots) if isinstance(roots, str | Path) else ", ".join(str(root) for root in roots)
