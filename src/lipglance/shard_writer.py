"""Writing shards: a tar and its index that appear together when all samples are in."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .shard_index import Entry, entry_of, index_path, index_text, part_path, read_index, write_text
from .shards import AUDIO_PER_FRAME, AUDIO_RATE, FPS, MISSING

JPEG_QUALITY = 95
JPEG_MAX_ROWS = 65_500

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
