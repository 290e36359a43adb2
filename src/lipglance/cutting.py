"""One clip of a corpus made into samples: landmarks, aligned crops, sound and words.

A clip is read once from end to end with two readers of its pictures, the second one a segment
behind the first: the landmarks of a whole segment are known before its first crop is cut, and
memory does not grow with the pictures' size or the clip's length.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipglance.clip_source import ClipSource, Word, read_words
from lipglance.crop import CropConfig, video_crops
from lipglance.errors import InputError
from lipglance.face import N_POINTS, FaceFinder, Landmarks
from lipglance.geometry import Image, apply, crop_image
from lipglance.media import iter_audio, iter_video, video_info
from lipglance.shard_writer import JPEG_MAX_ROWS, ShardWriter
from lipglance.shards import AUDIO_PER_FRAME, AUDIO_RATE, FPS

log = logging.getLogger("lipglance")

SILENCE = 1e-4
"""Sound that never gets above this amplitude (-80 dB) is none."""
FLAT = 0.6
"""Contrast of a crop over the median of its clip's below which the picture is taken for damaged."""
MAX_PADDING = 0.25
"""Seconds by which the sound may end before the picture; more, and lips would move to nothing."""


@dataclass(frozen=True)
class CutConfig:
    """How clips are cut.

    ``crop`` the aligned crop; ``max_seconds`` the longest sample, longer clips become several;
    ``min_frames`` the shortest one, the paper's window; ``max_missing`` the share of frames
    without a face above which a sample is dropped.
    """

    crop: CropConfig = field(default_factory=CropConfig)
    max_seconds: float = 10.0
    min_frames: int = 16
    max_missing: float = 0.2

    @property
    def max_frames(self) -> int:
        """Frames of the longest sample: what ``max_seconds`` and one JPEG allow."""
        size: int = self.crop.size
        return min(round(self.max_seconds * FPS), JPEG_MAX_ROWS // size)


class UnusableError(Exception):
    """A clip or a part of one that makes no sample.

    ``reason`` is one of a few words, ``detail`` says more, ``start`` is in seconds of the file.
    """

    def __init__(self, reason: str, detail: str, start: float = 0.0) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.start = start


@dataclass(frozen=True)
class Segment:
    """A sample that is not yet written, shapes as in `ShardWriter.add`."""

    meta: dict[str, Any]
    crops: NDArray[np.uint8]
    audio: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    transforms: NDArray[np.float32]
    clip: bytes | None

    def write(self, writer: ShardWriter) -> None:
        """Add the sample to a shard."""
        writer.add(
            self.meta, self.crops, self.audio, self.landmarks, self.transforms, clip=self.clip
        )


def cut_clip(
    clip: ClipSource,
    config: CutConfig,
    finder: FaceFinder,
    proceed: Callable[[], None] = lambda: None,
) -> Iterator[Segment | UnusableError]:
    """Cut a clip into samples of at most ``config.max_frames`` frames of equal length.

    Parts that make no sample are yielded as `UnusableError`. ``proceed`` is called at every frame
    and may raise to stop. Raises `UnusableError` or InputError where the clip cannot be read on.
    """
    info = video_info(clip.path)
    if not info.has_audio:
        raise UnusableError("no sound", "the file has no audio stream")
    at = round(clip.start * FPS)
    stop = None if clip.end is None else round(clip.end * FPS)
    expected = (ceil(info.duration * FPS) if stop is None else stop) - at
    parts = max(1, ceil(expected / config.max_frames))
    length = config.max_frames if parts == 1 else ceil(expected / parts)
    words = _words(clip)

    def pictures(first: int = at) -> Iterator[Image]:
        return islice(iter_video(clip.path, fps=FPS), first, stop)

    def watched() -> Iterator[Image]:
        for picture in pictures():
            proceed()
            yield picture

    tracked = finder.track(watched())
    behind = pictures()
    sound = _Sound(clip, at * AUDIO_PER_FRAME)
    number = 0
    while found := list(islice(tracked, length)):
        frames = len(found)
        audio = sound.take(frames * AUDIO_PER_FRAME)
        begin, at = at / FPS, at + frames
        # A file longer than its container says would go on in a second sample.
        whole = parts == 1 and number == 0 and (frames < length or frames == expected)
        stretch = _Stretch(
            key=clip.key if parts == 1 and number == 0 else f"{clip.key}-p{number:04d}",
            start=begin,
            found=found,
            audio=audio,
            store=whole and clip.start == 0.0 and clip.end is None and clip.split != "train",
        )
        try:
            if sound.padded > MAX_PADDING * AUDIO_RATE:
                raise UnusableError("sound ends early", f"{sound.padded / AUDIO_RATE:.2f} s")
            segment = _segment(clip, config, stretch, islice(behind, frames))
            segment.meta["source_fps"] = round(info.fps, 4)
            if words:
                seconds = len(segment.crops) / FPS
                segment.meta["words"] = _words_within(words, segment.meta["start"], seconds)
            yield segment
        except UnusableError as problem:
            problem.start = begin
            yield problem
        number += 1
    if number == 0:
        raise UnusableError("too short", "no frames")
    if stop is None:
        sound.finish()


@dataclass(frozen=True)
class _Stretch:
    """What is known of a segment before its pictures are cut."""

    key: str
    start: float
    found: list[Landmarks | None]
    audio: NDArray[np.float32]
    store: bool


def _segment(
    clip: ClipSource, config: CutConfig, stretch: _Stretch, pictures: Iterator[Image]
) -> Segment:
    """Cut one segment; takes all of ``pictures``, whatever becomes of it."""
    try:
        points = _points(stretch.found, config)
        if np.abs(stretch.audio).max() < SILENCE:
            raise UnusableError("silent", "nothing to hear in its sound")
        transforms = video_crops(points, config.crop)
        crops, contrast, size = _crops(pictures, transforms, config.crop.size)
    finally:
        for _ in pictures:
            pass
    # A frame that is all but flat was not decoded, whatever the mesh sees in it.
    points[contrast < FLAT * np.median(contrast)] = np.nan
    shown = np.isfinite(points[:, 0, 0])
    first, last = 0, len(shown)
    if clip.split == "train":
        # Nothing is to be learnt from the faceless ends of a clip; evaluation takes it as it is.
        first, last = int(shown.argmax()), last - int(shown[::-1].argmax())
    _check(shown[first:last], config)
    kept = slice(first, last)
    meta = {
        "key": stretch.key,
        "corpus": clip.corpus,
        "speaker": clip.speaker,
        "utterance": clip.utterance,
        "split": clip.split,
        "source": clip.source,
        "source_size": size,
        "start": round(stretch.start + first / FPS, 4),
        "crop": asdict(config.crop),
        "missing": np.flatnonzero(~shown[kept]).tolist(),
    }
    stored = None
    if stretch.store:
        stored = clip.path.read_bytes()
        meta["clip_suffix"] = clip.path.suffix.lower()
    return Segment(
        meta,
        crops[kept],
        stretch.audio[first * AUDIO_PER_FRAME : last * AUDIO_PER_FRAME],
        apply(transforms, points)[kept].astype(np.float32),
        transforms[kept].astype(np.float32),
        stored,
    )


class _Sound:
    """Hands out the sound of a clip piece by piece; silence, counted in padded, after its end."""

    def __init__(self, clip: ClipSource, skip: int) -> None:
        self._chunks = iter_audio(clip.path, AUDIO_RATE)
        self._rest = np.zeros(0, np.float32)
        self.padded = 0
        self.take(skip)

    def take(self, samples: int) -> NDArray[np.float32]:
        parts = [self._rest]
        have = len(self._rest)
        while have < samples:
            chunk = next(self._chunks, None)
            if chunk is None:
                parts.append(np.zeros(samples - have, np.float32))
                self.padded += samples - have
                break
            parts.append(chunk[0])
            have += chunk.shape[1]
        joined = np.concatenate(parts)
        self._rest = joined[samples:].copy()
        return joined[:samples]

    def finish(self) -> None:
        """Read to the end, which is where the reader says what was wrong with the sound."""
        for _ in self._chunks:
            pass


def _points(found: list[Landmarks | None], config: CutConfig) -> NDArray[np.float32]:
    points = np.full((len(found), N_POINTS, 2), np.nan, np.float32)
    for frame, face in enumerate(found):
        if face is not None:
            points[frame] = face.points
    _check(np.isfinite(points[:, 0, 0]), config)
    return points


def _check(shown: NDArray[np.bool_], config: CutConfig) -> None:
    """Raise UnusableError unless enough frames (T,) show a face."""
    frames, missing = len(shown), int((~shown).sum())
    if frames < config.min_frames:
        raise UnusableError("too short", f"{frames} frames, expected {config.min_frames} or more")
    if missing > config.max_missing * frames:
        raise UnusableError("no face", f"in {missing} of {frames} frames")


def _crops(
    pictures: Iterator[Image], transforms: NDArray[np.floating[Any]], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64], list[int]]:
    """Crops (T, S, S, 3), their contrast (T,) and the width and height of the source."""
    crops = np.empty((len(transforms), size, size, 3), np.uint8)
    contrast = np.empty(len(transforms))
    shape = [0, 0]
    for frame, (picture, matrix) in enumerate(zip(pictures, transforms, strict=True)):
        crops[frame] = crop_image(picture, matrix, size)
        contrast[frame] = crops[frame].std(axis=(0, 1)).mean()
        shape = [picture.shape[1], picture.shape[0]]
    return crops, contrast, shape


def _words(clip: ClipSource) -> list[Word]:
    try:
        return read_words(clip)
    except InputError as error:
        log.warning("%s; the clip goes without", error)
        return []


def _words_within(words: list[Word], start: float, seconds: float) -> list[list[float | str]]:
    """Words of a segment in seconds from its start."""
    return [
        [round(max(t0 - start, 0.0), 4), round(min(t1 - start, seconds), 4), word]
        for t0, t1, word in words
        if t1 > start and t0 < start + seconds
    ]
