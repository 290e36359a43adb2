"""What can be wrong with samples: no numbers, clipping, silence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipglance.containers import log

FloatArray = NDArray[np.float32]

# Below this peak (-80 dB of full scale) there is nothing to hear.
_SILENCE = 1e-4
# A run of equal samples this close to full scale is a wave cut off. Loud but whole speech has
# hardly any; a share above the second figure is worth telling.
_CEILING = 0.98
_CLIPPED_SHARE = 1e-3


class SoundCheck:
    """Cleans the blocks of one sound and logs at the end, once, what was wrong with it."""

    def __init__(self) -> None:
        self._samples = 0
        self._broken = 0
        self._clipped = 0
        self._peak = self._heard = 0.0

    def clean(self, samples: FloatArray) -> FloatArray:
        """Samples (channels, n) with NaN and infinity silenced and all others in [-1, 1]."""
        finite = np.isfinite(samples)
        if not finite.all():
            self._broken += int(finite.size - finite.sum())
            samples = np.where(finite, samples, np.float32(0.0))
        samples = np.clip(samples, -1.0, 1.0)
        loud = np.abs(samples) >= _CEILING
        if loud.any():
            same = samples[:, 1:] == samples[:, :-1]
            self._clipped += int((same[:, 1:] & same[:, :-1] & loud[:, 2:]).sum())
        self._samples += samples.size
        self._peak = max(self._peak, float(np.abs(samples).max(initial=0.0)))
        return samples

    def hear(self, samples: FloatArray) -> None:
        """Look at samples (channels, n) as they are heard, their channels mixed."""
        self._heard = max(self._heard, float(np.abs(samples).max(initial=0.0)))

    def report(self, name: str) -> None:
        """Log one warning for each thing found in the sound called `name`."""
        if self._broken:
            log.warning(
                "%s: %d samples are no numbers (NaN or infinity) and are heard as silence",
                name, self._broken,
            )  # fmt: skip
        if self._samples and self._clipped > _CLIPPED_SHARE * self._samples:
            log.warning(
                "%s is clipped (%.1f %% of its samples are cut off at full scale): record it more "
                "softly for better lips",
                name, 100 * self._clipped / self._samples,
            )  # fmt: skip
        if self._peak < _SILENCE:
            log.warning("%s is silent: the lips will hardly move", name)
        elif self._heard < _SILENCE:
            log.warning(
                "%s is silent when its channels are mixed, one is the other upside down: the lips "
                "will hardly move; give one channel alone",
                name,
            )
