"""Test clips whose sound is made harder to hear: the option ``--voice`` of an evaluation.

The rows hear the changed sound; what they make is compared with the real frames as ever, and where
a judge needs to know what was said or when nobody spoke, it hears the clip's own sound. Haste is
another matter: of a clip said 1.3 times as fast the real mouth must be as fast, see `FastClip`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipglance import metrics
from lipglance.crop import CropConfig
from lipglance.errors import InputError
from lipglance.evaluation_clip import Clip
from lipglance.geometry import Floats, Image
from lipglance.media import read_audio
from lipglance.shards import AUDIO_RATE, FPS, Sample
from lipglance.voice_changes import (
    BABBLERS,
    TEMPO,
    Sound,
    at_tempo,
    babble,
    in_another_voice,
    seed_of,
    synthesiser_version,
    telephone,
    white_noise,
    with_noise,
)

VOICES = ("clean", "white", "babble", "telephone", "fast", "synthetic")

FAST_LEAVES_OUT = ("ssim", "psnr", "psnr_u8", "jitter")
"""What nothing can be compared with where the real mouth lies between two frames."""


@dataclass(frozen=True)
class VoicedClip(Clip):
    """A clip heard in another way; `babblers` are who speaks behind it."""

    voice: str
    babblers: tuple[Sample, ...] = ()

    def audio(self, rate: int) -> NDArray[np.float32]:
        """The changed sound, mono at `rate` Hz: (n,) float32; of one band, 8 kHz, at every rate."""
        heard = self._heard
        return heard if rate == AUDIO_RATE else read_audio((heard, AUDIO_RATE), rate)

    def spoken(self, rate: int) -> NDArray[np.float32]:
        """The clip's own sound, unchanged."""
        return super().audio(rate)

    @cached_property
    def _heard(self) -> Sound:
        sound = self.spoken(AUDIO_RATE)
        if self.voice == "telephone":
            return telephone(sound)
        if self.voice == "synthetic":
            return in_another_voice(sound, self.words)
        seed = _seed(self.sample, self.voice)
        if self.voice == "babble":
            noise = babble([other.audio() for other in self.babblers], len(sound), seed)
        else:
            noise = white_noise(len(sound), seed)
        return with_noise(sound, noise, self.words)


@dataclass(frozen=True)
class FastClip(Clip):
    """A clip said 1.3 times as fast, by sound and by face.

    Frame t is at the time 1.3 t of `whole`, mostly between two frames of it. The pictures are the
    nearest frames; `between` gives what was at the very time, and that is what lips are compared
    with (`lipglance.reference.filmed`).
    """

    @property
    def whole(self) -> Clip:
        """The clip at its own pace."""
        return Clip(self.sample, self.path)

    @property
    def frames(self) -> int:
        """Number of frames at 25 fps whose time lies inside the clip."""
        return int((self.sample.frames - 1) / TEMPO) + 1

    @property
    def words(self) -> Sequence[Sequence[float | str]]:
        """The words at their new times."""
        pace = float(TEMPO)
        return [
            (float(start) / pace, float(end) / pace, word) for start, end, word in super().words
        ]

    @property
    def nearest(self) -> NDArray[np.intp]:
        """Frame of the whole clip that is nearest to each frame's time, (T,)."""
        return np.floor(self._times + 0.5).astype(np.intp)

    @property
    def _times(self) -> Floats:
        """Times of the T frames in frames of the whole clip."""
        # Of whole numbers, so that a frame's time is a frame's exactly where it is one.
        return np.arange(self.frames) * TEMPO.numerator / TEMPO.denominator

    def between(self, track: NDArray[np.floating[Any]]) -> Floats:
        """A track of the whole clip, one value a frame, at this clip's times: (T, ...).

        Linear between two frames; NaN where either is.
        """
        before = np.floor(self._times).astype(np.intp)
        after = np.minimum(before + 1, len(track) - 1)
        share = (self._times - before).reshape(-1, *[1] * (track.ndim - 1))
        mixed = (1 - share) * track[before] + share * track[after]
        return np.where(share == 0, track[before], mixed)

    def pictures(self) -> Iterator[Image]:
        """The nearest frames, each (H, W, 3) uint8 RGB."""
        wanted = self.nearest
        shown = 0
        for t, picture in enumerate(super().pictures()):
            if shown < len(wanted) and wanted[shown] == t:
                shown += 1
                yield picture

    def crops(self) -> NDArray[np.uint8]:
        """The lip crops of the nearest frames."""
        return super().crops()[self.nearest]

    def landmarks(self) -> NDArray[np.float32]:
        """Mesh points at the frames' times."""
        return self.between(super().landmarks()).astype(np.float32)

    def audio(self, rate: int) -> NDArray[np.float32]:
        """The sound, 1.3 times as fast at its own pitch, no longer than the frames."""
        sound = self._fast
        sound = sound if rate == AUDIO_RATE else read_audio((sound, AUDIO_RATE), rate)
        return sound[: round(self.frames * rate / FPS)]

    @cached_property
    def _fast(self) -> Sound:
        return at_tempo(self.whole.audio(AUDIO_RATE), float(TEMPO))

    def silent(self) -> NDArray[np.bool_]:
        """Frames in which the whole clip says nothing."""
        whole = self.whole
        return metrics.silent_frames(
            whole.audio(AUDIO_RATE), AUDIO_RATE, self.frames, FPS / float(TEMPO), whole.words
        )

    def transforms(self, crop: CropConfig | None = None) -> Floats:
        """Similarities (T, 2, 3) of the nearest frames."""
        return super().transforms(crop)[self.nearest]


def check_voice(voice: str) -> dict[str, Any]:
    """What tells one `voice` from another in results; InputError where it cannot be had."""
    if voice not in VOICES:
        raise InputError(f"voice {voice!r}; expected one of {', '.join(VOICES)}")
    if voice == "synthetic":
        return {"voice": voice, "synthesiser": synthesiser_version()}
    return {"voice": voice}


def voiced(clip: Clip, voice: str, babblers: Sequence[Sample] = ()) -> Clip:
    """`clip` as it is heard in `voice`, one of `VOICES`; babblers: of `babblers_of`."""
    if voice == "clean":
        return clip
    if voice == "fast":
        return FastClip(clip.sample, clip.path)
    return VoicedClip(clip.sample, clip.path, voice, tuple(babblers))


def babblers_of(sample: Sample, pool: Sequence[Sample]) -> list[Sample]:
    """Choose whose clips are heard behind `sample`: four samples of `pool` of the same split.

    Other speakers of the corpus, then those of other corpora, one clip of each; where they are
    fewer than four, other clips of the same speaker. Drawn by the sample's name and the pool alone.
    InputError where the split has no four other clips.
    """
    own = sample.entry
    others = [
        other
        for other in pool
        if other.entry.split == own.split
        and (other.entry.corpus, other.entry.key) != (own.corpus, own.key)
    ]
    others.sort(key=lambda other: (other.entry.corpus, other.entry.key))
    order = np.random.default_rng(_seed(sample, "babble")).permutation(len(others))
    firsts: list[tuple[int, int]] = []
    met: set[tuple[str, str]] = set()
    for place, index in enumerate(order):
        other = others[index]
        who = other.entry.corpus, other.speaker
        elsewhere = other.entry.corpus != own.corpus
        again = who in met or who == (own.corpus, own.speaker)
        met.add(who)
        firsts.append((2 * again + elsewhere, place))
    chosen = [others[order[place]] for _, place in sorted(firsts)[:BABBLERS]]
    if len(chosen) < BABBLERS:
        raise InputError(
            f"{own.corpus} {own.key}: {len(others)} other clips in {own.split}; babble needs "
            f"{BABBLERS}: add shards with --data"
        )
    return chosen


def _seed(sample: Sample, voice: str) -> int:
    return seed_of(voice, sample.entry.corpus, sample.entry.split, sample.entry.key)
