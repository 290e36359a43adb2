"""From sound to the log-mel spectrogram the models hear: one path for training and inference.

Each video frame is heard as ``frames_per_video_frame`` spectrogram rows. Row ``i`` is centred at
``(i + 0.5) * hop`` samples, so that with four rows a video frame all four lie inside the frame's
own 40 ms. The paper's code works at 44.1 kHz up to 16 kHz; the defaults here are 16 kHz up to
8 kHz, because corpora and users' telephones differ above 8 kHz.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lipglance.errors import InputError

FloatArray = NDArray[np.float32]

# Video frames analysed at once: bounds the memory (about 3 MB) whatever the length of the speech.
_BLOCK = 64


@dataclass(frozen=True)
class AudioConfig:
    """What a model hears; stored with the model, because weights are worth nothing without it.

    ``sample_rate`` in Hz; ``window`` (Hann), ``n_fft`` and ``hop`` in samples; ``mels`` bands from
    ``fmin`` to ``fmax`` Hz; ``floor_db`` is the level (dB below a full-scale sine) mapped to -1.
    """

    sample_rate: int = 16000
    window: int = 512
    n_fft: int = 1024
    hop: int = 160
    mels: int = 128
    fmin: float = 0.0
    fmax: float = 8000.0
    floor_db: float = -100.0
    frames_per_video_frame: int = 4

    def __post_init__(self) -> None:
        if min(self.sample_rate, self.window, self.hop, self.mels, self.frames_per_video_frame) < 1:
            raise InputError(f"{self}: sizes must be positive; correct the audio settings")
        if self.window > self.n_fft:
            raise InputError(
                f"window {self.window} is longer than n_fft {self.n_fft}; give n_fft >= window"
            )
        if not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise InputError(
                f"mel bands from {self.fmin:g} to {self.fmax:g} Hz do not fit sound of "
                f"{self.sample_rate} Hz; expected 0 <= fmin < fmax <= {self.sample_rate / 2:g}"
            )
        if self.floor_db >= 0:
            raise InputError(f"floor_db is {self.floor_db:g}; expected a level below 0 dB")

    @property
    def samples_per_video_frame(self) -> int:
        """Samples heard in one video frame (640 by default: 40 ms at 16 kHz)."""
        return self.hop * self.frames_per_video_frame

    @property
    def video_fps(self) -> float:
        """Video frames a second (25 by default)."""
        return self.sample_rate / self.samples_per_video_frame


def frames_for(samples: int, rate: int, fps: float = 25.0) -> int:
    """Video frames that go with ``samples`` of sound at ``rate`` Hz.

    ``round(duration * fps)`` in exact arithmetic (ties to the even number, as Python rounds), and
    at least one.
    """
    return max(1, round(Fraction(samples, rate) * Fraction(fps).limit_denominator(1001)))


def mel_filters(config: AudioConfig) -> FloatArray:
    """Triangles of peak 1 on Slaney's mel scale, ``(n_fft // 2 + 1, mels)``.

    Slaney (1998, Auditory Toolbox): linear below 1 kHz (200/3 Hz a mel), logarithmic above (27 mels
    for a factor of 6.4). Equals ``librosa.filters.mel(norm=None)``.
    """
    step, knee = 200.0 / 3.0, 1000.0
    log_step = np.log(6.4) / 27.0

    def to_mel(hz: float) -> float:
        return hz / step if hz < knee else knee / step + float(np.log(hz / knee)) / log_step

    mel = np.linspace(to_mel(config.fmin), to_mel(config.fmax), config.mels + 2)
    hz = np.where(mel < knee / step, mel * step, knee * np.exp(log_step * (mel - knee / step)))
    bins = np.arange(config.n_fft // 2 + 1)[:, None] * (config.sample_rate / config.n_fft)
    rising = (bins - hz[:-2]) / (hz[1:-1] - hz[:-2])
    falling = (hz[2:] - bins) / (hz[2:] - hz[1:-1])
    filters: FloatArray = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    return filters


@lru_cache(maxsize=8)
def _tables(config: AudioConfig) -> tuple[FloatArray, FloatArray]:
    """The scaled window ``(window,)`` and the mel filters of a config."""
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(config.window) / config.window)
    # 2 / sum: a sine of amplitude 1 has magnitude 1 in its bin, that is 0 dB.
    scaled = (window * (2.0 / window.sum())).astype(np.float32)
    filters = mel_filters(config)
    scaled.setflags(write=False)
    filters.setflags(write=False)
    return scaled, filters


class LogMelStream:
    """Log-mel rows of a sound that arrives in pieces.

    The rows of all ``feed`` calls and of ``finish``, one after the other, are bit for bit those of
    ``log_mel`` on the whole sound, however it was cut. Rows come in whole video frames; the sound
    is held only as far as rows to come need it (look-ahead: 11 ms by default).
    """

    def __init__(self, config: AudioConfig | None = None) -> None:
        self.config = config or AudioConfig()
        self._window, self._filters = _tables(self.config)
        # The first window starts before the sound does: that part is silence.
        lead = self.config.window // 2 - self.config.hop // 2
        self._held: FloatArray = np.zeros(max(lead, 0), np.float32)
        self._skip = max(-lead, 0)
        self._samples = 0
        self._done = 0
        self._finished = False

    def feed(self, samples: FloatArray) -> FloatArray:
        """Take ``(n,)`` float32 samples in [-1, 1]; return the rows now certain.

        Returns ``(k * frames_per_video_frame, mels)`` float32 in [-1, 1]; k may be 0.
        """
        if self._finished:
            raise ValueError("the stream is finished; make a new one for another sound")
        samples = np.asarray(samples, np.float32)
        if samples.ndim != 1:
            raise InputError(
                f"got sound of shape {samples.shape}; expected (n,): mix the channels down first"
            )
        self._samples += samples.size
        return self._advance(samples)

    def finish(self, video_frames: int | None = None) -> FloatArray:
        """Return the rows still missing, with silence after the sound's end.

        ``video_frames`` is how many video frames there are in all; by default
        ``frames_for(samples fed)``. InputError where more have been returned already.
        """
        if self._finished:
            raise ValueError("the stream is finished; make a new one for another sound")
        self._finished = True
        config = self.config
        if video_frames is None:
            video_frames = frames_for(self._samples, config.sample_rate, config.video_fps)
        if video_frames < self._done:
            raise InputError(
                f"asked to finish after {video_frames} video frames, but {self._done} are out "
                "already; expected at least as many"
            )
        wanted = (video_frames - self._done) * config.samples_per_video_frame
        wanted += max(0, config.window - config.hop)
        missing = max(0, wanted + self._skip - self._held.size)
        rows = self._advance(np.zeros(missing, np.float32), limit=video_frames)
        self._held = np.zeros(0, np.float32)
        return rows

    def _advance(self, samples: FloatArray, limit: int | None = None) -> FloatArray:
        skipped = min(self._skip, samples.size)
        self._skip -= skipped
        self._held = np.concatenate([self._held, samples[skipped:]])
        step = self.config.samples_per_video_frame
        needed = step - self.config.hop + self.config.window
        ready = max(0, (self._held.size - needed) // step + 1)
        if limit is not None:
            ready = min(ready, limit - self._done)
        parts = [
            self._analyse(self._held[first * step :], min(_BLOCK, ready - first))
            for first in range(0, ready, _BLOCK)
        ]
        # A copy: a view would keep the whole block alive.
        self._held = self._held[ready * step :].copy()
        self._done += ready
        return np.concatenate(parts) if parts else np.zeros((0, self.config.mels), np.float32)

    def _analyse(self, samples: FloatArray, video_frames: int) -> FloatArray:
        config = self.config
        rows = video_frames * config.frames_per_video_frame
        windows = np.lib.stride_tricks.sliding_window_view(samples, config.window)
        windows = windows[: (rows - 1) * config.hop + 1 : config.hop]
        spectrum = np.fft.rfft(windows * self._window, config.n_fft)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        # One product per video frame, always of the same shape: the order in which BLAS adds
        # depends on the shape, and streaming must give the same bits as the whole.
        grouped = power.reshape(video_frames, config.frames_per_video_frame, -1)
        mel = np.matmul(grouped, self._filters).reshape(rows, config.mels)
        floor = np.float32(10.0 ** (config.floor_db / 10.0))
        level = 10.0 * np.log10(np.clip(mel, floor, np.float32(1.0)))
        scaled = level * np.float32(-2.0 / config.floor_db) + np.float32(1.0)
        rows_out: FloatArray = np.clip(scaled, -1.0, 1.0).astype(np.float32)
        return rows_out


def log_mel(
    samples: FloatArray, config: AudioConfig | None = None, video_frames: int | None = None
) -> FloatArray:
    """Log-mel spectrogram of a whole sound.

    Parameters: ``samples`` (n,) float32 in [-1, 1] at ``config.sample_rate``; ``video_frames`` T,
    by default ``round(duration * 25)``, at least 1: the sound is cut or continued by silence.
    Returns ``(frames_per_video_frame * T, mels)`` float32: power in mel bands in dB of a full-scale
    sine, clipped to [floor_db, 0] and mapped linearly to [-1, 1].
    Raises InputError where the sound is not one-dimensional.
    """
    stream = LogMelStream(config)
    samples = np.asarray(samples, np.float32)
    if samples.ndim == 1 and video_frames is not None:
        # What lies beyond the last row's window cannot matter and would give rows too many.
        config = stream.config
        reach = video_frames * config.samples_per_video_frame + config.window
        samples = samples[:reach]
    rows = stream.feed(samples)
    if video_frames is not None:
        wanted = video_frames * stream.config.frames_per_video_frame
        if len(rows) >= wanted:
            return rows[:wanted].copy()
    return np.concatenate([rows, stream.finish(video_frames)])
