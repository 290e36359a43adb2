"""Reading speech: any sound PyAV decodes, or an array, as float32 at the rate asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from lipglance.containers import (
    PathLike,
    Restarts,
    decoded,
    existing_file,
    open_media,
    opened,
    promised_duration,
    time_zero,
    video_stream,
)
from lipglance.errors import InputError
from lipglance.sound_conversion import as_float, planar
from lipglance.sound_intake import Intake, channel_names

FloatArray = NDArray[np.float32]

_EXPECTED = "a sound or video file such as wav, flac, mp3, m4a, ogg, mp4, mov or webm"

# The shortest speech: one video frame at 25 fps.
_SHORTEST = Fraction(1, 25)
# Stamps that differ from the running count by less (s) are rounding; by more, a gap to be filled.
_SLACK = 0.02
# No recording pauses for longer (s) than this: such stamps are damaged and are not believed.
_LONGEST_GAP = 60.0
# Samples of padding that an encoder may add at the end.
_PADDING = 4096
# Samples mixed and resampled at once.
_BLOCK = 8192


@dataclass(frozen=True)
class Recording:
    """Sound in memory: ``samples`` (channels, n) float32 in [-1, 1] at ``rate`` Hz."""

    samples: FloatArray
    rate: int


Speech = PathLike | NDArray[Any] | tuple[NDArray[Any], int] | Recording


@dataclass(frozen=True)
class AudioInfo:
    """What a sound says of itself: ``rate`` in Hz, ``channels``, ``duration`` in s or None."""

    rate: int
    channels: int
    duration: float | None


def as_speech(speech: Speech, rate: int = 16000) -> Path | Recording:
    """A path that exists, or a checked recording, from whatever a caller may give as speech.

    Accepted: a path; an array (n,) or (channels, n), float in [-1, 1] or integer at full scale,
    sampled at ``rate``; a pair (array, rate); a Recording. Raises InputError for anything else.
    """
    if isinstance(speech, Recording):
        return speech
    if isinstance(speech, str | os.PathLike):
        return existing_file(speech, _EXPECTED)
    if isinstance(speech, tuple) and len(speech) == 2:
        speech, rate = speech
    return as_recording(speech, rate)


def as_recording(speech: Any, rate: int) -> Recording:
    """Samples (n,) or (channels, n) in an array, checked; InputError as of `as_speech`."""
    if not isinstance(speech, np.ndarray):
        raise InputError(
            f"got speech of type {type(speech).__name__}; expected a path, an array of samples or "
            "a pair (samples, rate)"
        )
    if not 1000 <= rate <= 768000:
        raise InputError(f"got speech at {rate} Hz; expected a sample rate from 1000 to 768000 Hz")
    samples = speech[None] if speech.ndim == 1 else speech
    if samples.ndim != 2 or samples.shape[0] > 16:
        raise InputError(
            f"got speech of shape {speech.shape}; expected (n,) or (channels, n) with at most 16 "
            "channels"
        )
    return Recording(as_float(samples), int(rate))


def audio_info(speech: Speech) -> AudioInfo:
    """Rate, channels and length of a sound. InputError where there is none."""
    source = as_speech(speech)
    if isinstance(source, Recording):
        channels, count = source.samples.shape
        return AudioInfo(source.rate, channels, count / source.rate)
    with opened(source, _EXPECTED) as container:
        stream = _needed_stream(container, source)
        promised = promised_duration(container, stream)
        return AudioInfo(stream.rate, stream.channels, promised)


def read_audio(speech: Speech, rate: int = 16000) -> FloatArray:
    """A whole sound as mono, (n,) float32 in [-1, 1] at ``rate`` Hz; see ``iter_audio``."""
    return np.concatenate([piece[0] for piece in iter_audio(speech, rate)])


def iter_audio(speech: Speech, rate: int, channels: int = 1) -> Iterator[FloatArray]:
    """A sound in pieces (channels, n), float32 in [-1, 1] at ``rate`` Hz, in constant memory.

    Sample 0 is heard at the moment the file's first picture is shown (in a file without pictures,
    where its sound begins): a sound that starts late is preceded by silence, one that starts early
    is cut, gaps are silence. Encoder padding is removed as far as the file declares it.
    ``channels`` is 1 (mixed down, in surround sound mostly from the centre) or 2.
    Damage, samples that are no numbers (heard as silence), clipping and silence are logged as
    warnings. Raises InputError for a missing file or one without sound at the call, for less than
    one video frame (40 ms) of sound while reading.
    """
    if channels not in (1, 2):
        raise InputError(f"asked for {channels} channels; expected 1 or 2")
    return hear(speech, Intake(rate, channels))


def hear(speech: Speech, intake: Intake) -> Iterator[FloatArray]:
    """`iter_audio` through an intake of the caller's, who can then ask it how long the sound is."""
    source = as_speech(speech)
    if isinstance(source, Recording):
        blocks = _recorded(source)
        return _finished(blocks, "the speech given", source.rate, intake)
    container = open_media(source, _EXPECTED)
    try:
        stream = _needed_stream(container, source)
    except InputError:
        container.close()
        raise
    return _finished(_placed(container, stream, source), str(source), stream.rate, intake)


def _finished(
    blocks: Iterator[tuple[FloatArray, tuple[str, ...], int]],
    name: str,
    source_rate: int,
    intake: Intake,
) -> Iterator[FloatArray]:
    """Blocks through the intake; an error where there are too few samples in all."""
    early: list[FloatArray] = []
    heard = 0
    shortest = _SHORTEST * source_rate
    for samples, layout, block_rate in blocks:
        heard += samples.shape[1]
        early.extend(intake.feed(samples, layout, block_rate))
        if heard >= shortest:
            yield from early
            early = []
    if heard < shortest:
        # Rounded down: it must not look like what is expected.
        tenths = 10_000 * heard // source_rate
        raise InputError(
            f"{name} holds {heard} samples of sound ({tenths / 10:g} ms); "
            "expected at least one video frame (40 ms); give a longer recording"
        )
    yield from intake.finish()
    intake.report(name)


def _recorded(recording: Recording) -> Iterator[tuple[FloatArray, tuple[str, ...], int]]:
    names = channel_names(recording.samples.shape[0])
    for first in range(0, recording.samples.shape[1], _BLOCK):
        yield recording.samples[:, first : first + _BLOCK], names, recording.rate


def _placed(
    container: InputContainer, stream: AudioStream, path: Path
) -> Iterator[tuple[FloatArray, tuple[str, ...], int]]:
    """Blocks (channels, n) of a file's sound from its time zero on, with channel names and rate."""
    try:
        place = _Placing(path, time_zero(container), _declared_end(container, stream))
        held: list[FloatArray] = []
        key: tuple[tuple[str, ...], int] | None = None
        for frame in decoded(container, stream, path):
            names = tuple(channel.name for channel in frame.layout.channels)
            stamp = None if frame.pts is None else float(frame.pts * frame.time_base)
            samples = place(planar(frame), stamp, frame.sample_rate)
            changed = key != (names, frame.sample_rate)
            if held and key and (changed or sum(part.shape[1] for part in held) >= _BLOCK):
                yield np.concatenate(held, axis=1), *key
                held = []
            key = names, frame.sample_rate
            held.append(samples)
        if held and key:
            yield np.concatenate(held, axis=1), *key
    finally:
        container.close()


class _Placing:
    """Puts decoded samples where their time stamps want them, by silence added or samples cut."""

    def __init__(self, path: Path, zero: float | None, end: float | None) -> None:
        self._restarts = Restarts(path)
        self._zero = zero
        self._end = end
        self._begun = False
        self.elapsed = 0.0  # s of sound given out

    def __call__(self, samples: FloatArray, stamp: float | None, rate: int) -> FloatArray:
        if stamp is not None:
            zero = stamp if self._zero is None else self._zero
            self._zero = self._restarts(stamp, zero, self.elapsed)
            late = stamp - self._zero - self.elapsed
            if abs(late) > _LONGEST_GAP:
                self._zero += late
            elif abs(late) > _SLACK or not self._begun:
                shift = round(late * rate)
                if shift > 0:
                    samples = np.pad(samples, ((0, 0), (shift, 0)))
                else:
                    samples = samples[:, -shift:]
            if self._end is not None:
                # Only what an encoder fills up its last blocks with, never more.
                room = round((self._end - self._zero - self.elapsed) * rate)
                if 0 <= room < samples.shape[1] <= room + _PADDING:
                    samples = samples[:, :room]
        self._begun = self._begun or samples.shape[1] > 0
        self.elapsed += samples.shape[1] / rate
        return samples


def _declared_end(container: InputContainer, stream: AudioStream) -> float | None:
    """Where the sound ends (s) by the edit list of an mp4; other files do not say it so exactly."""
    if "mp4" not in container.format.name or stream.duration is None or stream.time_base is None:
        return None
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base)


def _needed_stream(container: InputContainer, path: PathLike) -> AudioStream:
    for stream in container.streams.audio:
        if stream.codec_context is not None and stream.rate:
            return stream
    what = "a video without sound" if video_stream(container) else "no sound"
    raise InputError(f"{path} holds {what}; expected {_EXPECTED}; give a recording of speech")
