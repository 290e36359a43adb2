"""The one way from sound as it comes to sound as it is heard, for whole files and for streams."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipglance.audio import frames_for
from lipglance.sound_checks import SoundCheck
from lipglance.sound_conversion import Resampler, mixed

FloatArray = NDArray[np.float32]


class Intake:
    """Blocks of sound, checked, mixed down and brought to one rate.

    However a sound is cut into blocks, what comes out, put together, is the same to the bit.

    rate: wanted, Hz. channels: wanted, 1 or 2.
    """

    def __init__(self, rate: int, channels: int = 1) -> None:
        self.rate = rate
        self.channels = channels
        self.seconds = Fraction(0)
        """How much sound came in, exactly."""
        self._check = SoundCheck()
        self._resampler = Resampler(rate, channels)

    def feed(self, samples: FloatArray, names: tuple[str, ...], rate: int) -> Iterator[FloatArray]:
        """Take samples (C, n) at `rate` Hz whose channels have `names`; give what is ready.

        Yields (channels, m) in [-1, 1]. What is no number is heard as silence.
        """
        self.seconds += Fraction(samples.shape[1], rate)
        clean = self._check.clean(samples)
        heard = mixed(clean, names, self.channels)
        self._check.hear(heard)
        yield from self._resampler.feed(heard, rate)

    def finish(self) -> Iterator[FloatArray]:
        """Give what is left, to the nearest sample of the sound's length."""
        yield from self._resampler.finish()

    def video_frames(self, fps: float) -> int:
        """Frames that go with the sound that came in: ``round(duration * fps)``, at least one."""
        # By the sound as it came: that at `rate` has been rounded once already.
        return frames_for(self.seconds.numerator, self.seconds.denominator, fps)

    def report(self, name: str) -> None:
        """Log what was wrong with the sound, one warning for each thing; call it `name`."""
        self._check.report(name)


def channel_names(channels: int) -> tuple[str, ...]:
    """The names of the channels of a sound of which nothing but their number is known."""
    return ("FL", "FR") if channels == 2 else ()
