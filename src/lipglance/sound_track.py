"""The sound of a video that is written: pulled from its source, encoded without a gap."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from numpy.typing import NDArray

from lipglance.errors import InputError
from lipglance.sound_conversion import Resampler

FloatArray = NDArray[np.float32]

# AAC and Opus are at their best at this rate (Hz), and Opus knows no other but fractions of it.
TRACK_RATE = 48000


class SoundSource:
    """Sound pieces at any rate as samples at ``TRACK_RATE``, to be taken in any number."""

    def __init__(self, pieces: Iterator[FloatArray], rate: int) -> None:
        if not 1000 <= rate <= 768000:
            raise InputError(f"got sound at {rate} Hz; expected 1000 to 768000 Hz")
        self._pieces = pieces
        self._iterator = iter(pieces)
        self._rate = rate
        self._resampler: Resampler | None = None
        self._held: deque[FloatArray] = deque()
        self._count = 0
        self._channels = 0
        self._ended = False
        self.taken = 0

    def channels(self) -> int:
        """1 or 2, by the first piece; 1 where there is none."""
        self._fill(1)
        return self._channels or 1

    def take(self, count: int, fill: bool = False) -> FloatArray:
        """The next ``count`` samples, (channels, count); fewer at the end unless ``fill``."""
        self._fill(count)
        parts, there = [], 0
        while self._held and there < count:
            part = self._held.popleft()
            if there + part.shape[1] > count:
                self._held.appendleft(part[:, count - there :])
                part = part[:, : count - there]
            parts.append(part)
            there += part.shape[1]
        self._count -= there
        missing = count - there if fill else 0
        parts.append(np.zeros((self._channels or 1, missing), np.float32))
        self.taken += there + missing
        return np.concatenate(parts, axis=1)

    def close(self) -> None:
        """Let the source close its file, wherever it stands."""
        close: Any = getattr(self._iterator, "close", None)
        if close is not None:
            close()

    def _fill(self, count: int) -> None:
        while self._count < count and not self._ended:
            piece = next(self._iterator, None)
            if piece is None:
                self._ended = True
                new = [] if self._resampler is None else list(self._resampler.finish())
            else:
                piece = np.atleast_2d(np.asarray(piece, np.float32))
                if self._resampler is None:
                    self._channels = piece.shape[0]
                    self._resampler = Resampler(TRACK_RATE, self._channels)
                if piece.shape[0] != self._channels or self._channels > 2:
                    raise InputError(
                        f"got sound of {piece.shape[0]} channels; expected 1 or 2, always as many"
                    )
                new = list(self._resampler.feed(np.nan_to_num(piece), self._rate))
            self._held.extend(new)
            self._count += sum(part.shape[1] for part in new)


class SoundTrack:
    """The encoder of the sound: samples in, packets out, from time 0 without a gap."""

    def __init__(
        self, container: OutputContainer, codec: str, bit_rate: int, channels: int
    ) -> None:
        self._layout = "mono" if channels == 1 else "stereo"
        stream = container.add_stream(codec, rate=TRACK_RATE, layout=self._layout)
        assert isinstance(stream, AudioStream)
        stream.bit_rate = bit_rate * channels
        self._stream = stream
        stream.codec_context.open()
        self._fifo = AudioResampler(
            stream.codec_context.format.name,
            self._layout,
            TRACK_RATE,
            frame_size=stream.codec_context.frame_size,
        )
        self._count = 0

    def encode(self, samples: FloatArray) -> list[Packet[AudioStream]]:
        """Packets that are ready once ``samples`` (channels, n) have been added."""
        if not samples.shape[1]:
            return []
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(samples), format="fltp", layout=self._layout
        )
        frame.sample_rate = TRACK_RATE
        frame.pts = self._count
        frame.time_base = Fraction(1, TRACK_RATE)
        self._count += samples.shape[1]
        return [p for out in self._fifo.resample(frame) for p in self._stream.encode(out)]

    def finish(self) -> list[Packet[AudioStream]]:
        """The packets still in the encoder."""
        packets: list[Packet[AudioStream]] = []
        if self._count:
            packets = [p for out in self._fifo.resample(None) for p in self._stream.encode(out)]
        return packets + self._stream.encode(None)
