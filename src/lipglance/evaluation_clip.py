"""A test clip as an evaluation needs it: stored crops, landmarks, sound, and its own pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipglance import metrics
from lipglance.crop import CropConfig, picture_crop, video_crops
from lipglance.errors import InputError
from lipglance.geometry import Floats, Image, apply, crop_image, in_turn, invert
from lipglance.media import iter_video, read_audio
from lipglance.shards import AUDIO_RATE, FPS, Sample


@dataclass(frozen=True)
class Clip:
    """A test clip: a prepared sample and its original file at `path`."""

    sample: Sample
    path: Path

    @property
    def frames(self) -> int:
        """Number of frames T at 25 fps."""
        return self.sample.frames

    @cached_property
    def crop(self) -> CropConfig:
        """How the sample's crops were cut."""
        return CropConfig(**self.sample.meta["crop"])

    @property
    def words(self) -> Sequence[Sequence[float | str]]:
        """Start, end (seconds) and word of each word that is said, where the corpus tells."""
        found: Sequence[Sequence[float | str]] = self.sample.meta.get("words", ())
        return found

    def pictures(self) -> Iterator[Image]:
        """The T frames as they are, each (H, W, 3) uint8 RGB, decoded anew at every call.

        InputError where the file gives fewer.
        """
        count, expected = 0, self.sample.frames
        for picture in islice(iter_video(self.path, fps=FPS), expected):
            count += 1
            yield picture
        if count < expected:
            raise InputError(
                f"{self.sample.key}: {count} frames decoded, {expected} expected; prepare again"
            )

    def crops(self) -> NDArray[np.uint8]:
        """The prepared lip crops, (T, S, S, 3) RGB."""
        return self.sample.crops()

    def landmarks(self) -> NDArray[np.float32]:
        """Mesh points in the crops, (T, 468, 2) px, NaN in frames without a face."""
        return self.sample.landmarks()

    def audio(self, rate: int) -> NDArray[np.float32]:
        """The clip's sound, mono at `rate` Hz: (n,) float32, no longer than the T frames."""
        return read_audio(self.path, rate)[: round(self.sample.frames * rate / FPS)]

    def spoken(self, rate: int) -> NDArray[np.float32]:
        """What is said, undisturbed: what judges hear. As `audio`, which is what rows hear."""
        return self.audio(rate)

    def silent(self) -> NDArray[np.bool_]:
        """Frames during which nothing is said for certain, (T,); see `metrics.silent_frames`."""
        heard = self.spoken(AUDIO_RATE)
        return metrics.silent_frames(heard, AUDIO_RATE, self.frames, words=self.words)

    def transforms(self, crop: CropConfig | None = None) -> Floats:
        """Similarities (T, 2, 3), px of the frames to px of the crops (None: the sample's own)."""
        own = self.sample.transforms().astype(np.float64)
        if crop is None or crop == self.crop:
            return own
        points = apply(invert(own), self.sample.landmarks()).astype(np.float32)
        return np.asarray(video_crops(points, crop), np.float64)

    def carried(self, crop: CropConfig | None = None) -> Floats:
        """The first frame's crop, cut as a photo's is, and where the head carries it: (T, 2, 3).

        `transforms` know how the mouth moves later on; a crop of one picture cannot. Where the
        first frame has no face, theirs must do.
        """
        moving, points = self.transforms(crop), self.face_points()
        if points is None:
            return moving
        own = picture_crop(points, crop or self.crop)
        return in_turn(moving, in_turn(invert(moving[0]), own))

    def identity(self, crop: CropConfig | None = None) -> Image:
        """The lip crop of the first frame, cut as a photo's is, (S, S, 3) uint8 RGB."""
        config = crop or self.crop
        return crop_image(next(self.pictures()), self.carried(config)[0], config.size)

    def identity_points(self, crop: CropConfig | None = None) -> Floats | None:
        """The mesh points in `identity`, (468, 2) px of it; None where it has no face."""
        points = self.face_points()
        return None if points is None else apply(self.carried(crop)[0], points)

    def face_points(self) -> Floats | None:
        """The first frame's mesh points, (468, 2) px of the frame; None where it has no face."""
        back = invert(self.sample.transforms()[0].astype(np.float64))
        points = apply(back, self.sample.landmarks()[0])
        return points if np.isfinite(points).all() else None


def stored_clip(sample: Sample, path: Path) -> Clip:
    """Write the original file of `sample` to `path` and its own suffix; InputError without one."""
    data = sample.clip_bytes()
    if data is None:
        raise InputError(
            f"{sample.key}: its shard holds no original clip; prepare the split whole, or take a "
            "test split"
        )
    file = path.with_suffix(sample.meta["clip_suffix"])
    file.write_bytes(data)
    return Clip(sample, file)


@contextmanager
def opened(sample: Sample) -> Iterator[Clip]:
    """A sample with its original file, which is gone again afterwards.

    Raises InputError where the shard holds none, as those of the train split.
    """
    with tempfile.TemporaryDirectory(prefix="lipglance-") as folder:
        yield stored_clip(sample, Path(folder) / "clip")
