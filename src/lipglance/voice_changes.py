"""Speech made harder to hear, as sound alone: noise, a telephone, haste, another voice.

All functions take and give mono float32 in [-1, 1] at 16 kHz and are pure: the same sound and the
same seed make the same samples (of `in_another_voice`: with the same espeak-ng).
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.audio.frame import AudioFrame
from av.error import EOFError as EndOfSound
from av.filter import Graph
from av.filter.context import FilterContext
from numpy.typing import NDArray

from lipglance.errors import InputError
from lipglance.media import read_audio
from lipglance.metrics import SILENT_WORDS

Sound = NDArray[np.float32]
Words = Sequence[Sequence[float | str]]
"""Start, end (seconds) and word."""

RATE = 16_000
SNR_DB = 10.0
BAND = (300.0, 3400.0)
"""Hz that a telephone lets through."""
TEMPO = Fraction(13, 10)
BABBLERS = 4

_TAPS = 513
_MU = 255.0
_BLOCK = RATE // 50
# A block this much (dB) below the loud ones is a pause.
_PAUSE_DB = 30.0
# Word times of which less (share of the clip) is known are of one word in a longer speech.
_TOLD = 0.8
# Of a spoken word's peak: what is below it at its ends is espeak-ng's pause.
_QUIET = 0.005
_WORDS_A_MINUTE = (80, 175, 450)
"""espeak-ng's slowest, own and fastest."""
_FADE = RATE // 200
_WINDOW = RATE // 10


class Speaker(NamedTuple):
    """A voice of espeak-ng: name, pitch (0 to 99), and steps of its pace, words a minute."""

    voice: str
    pitch: int
    steps: int = 1


OWN = Speaker("en-gb", 50)
"""Who says the evaluation's synthetic clips."""
SPEAKERS = (
    Speaker("en-us+m3", 35, 30),
    Speaker("en-gb-scotland+f2", 60, 30),
    Speaker("en-us+f4", 75, 30),
    Speaker("en-gb-x-rp+m7", 20, 30),
    Speaker("en-029+f3", 50, 30),
    Speaker("en-us", 85, 30),
)
"""Who speaks in training, `OWN` not among them."""


def seed_of(*names: str) -> int:
    """A seed for `numpy.random.default_rng` that is these names' own on every machine."""
    return int.from_bytes(hashlib.sha256("/".join(names).encode()).digest()[:8])


def told(words: Words, seconds: float) -> bool:
    """Whether `words` (pauses among them or not) tell what is said all through `seconds`."""
    return sum(float(end) - float(start) for start, end, _ in words) >= _TOLD * seconds


def said(words: Words) -> list[tuple[float, float, str]]:
    """The words that are said, without those that stand for silence."""
    return [
        (float(start), float(end), str(word))
        for start, end, word in words
        if str(word).lower() not in SILENT_WORDS
    ]


def spoken_part(sound: Sound, words: Words = ()) -> NDArray[np.bool_]:
    """Samples in which somebody speaks: (n,) bool.

    Where `words` tell the whole sound, those inside a word; else those in blocks of 20 ms that are
    less than 30 dB below the loud ones (95th percentile of the blocks' powers).
    """
    spoken = np.zeros(len(sound), np.bool_)
    if told(words, len(sound) / RATE):
        for start, end, _ in said(words):
            spoken[round(start * RATE) : round(end * RATE)] = True
        return spoken
    edges = np.arange(0, len(sound), _BLOCK)
    if not len(edges):
        return spoken
    sums = np.add.reduceat(sound.astype(np.float64) ** 2, edges)
    powers = sums / np.diff([*edges, len(sound)])
    loud = float(np.percentile(powers, 95))
    blocks = powers > max(loud * 10 ** (-_PAUSE_DB / 10), 1e-10)
    return np.repeat(blocks, _BLOCK)[: len(sound)]


def power(sound: Sound, part: NDArray[np.bool_]) -> float:
    """Mean square of the samples in `part`; 0 where there is none."""
    return float(np.mean(sound[part].astype(np.float64) ** 2)) if part.any() else 0.0


def with_noise(sound: Sound, noise: Sound, words: Words = (), snr_db: float = SNR_DB) -> Sound:
    """`sound` with `noise` of the same length, `snr_db` below the speech, all through.

    Both powers are meant over the spoken part. Where the sum would clip it is all made less loud.
    InputError where nobody speaks or the noise is silence there: no ratio is known.
    """
    part = spoken_part(sound, words)
    speech, other = power(sound, part), power(noise, part)
    if not (speech and other):
        raise InputError("nobody speaks, or only silence is mixed in; expected speech and noise")
    mix = sound + noise * np.float32(np.sqrt(speech / other * 10 ** (-snr_db / 10)))
    return np.asarray(mix / max(1.0, float(np.abs(mix).max())), np.float32)


def white_noise(length: int, seed: int) -> Sound:
    """Gaussian white noise of power 1, (length,)."""
    return np.random.default_rng(seed).standard_normal(length, np.float32)


def babble(voices: Sequence[Sound], length: int, seed: int) -> Sound:
    """`voices` all at once and equally loud, (length,), each from a place of its own, repeated."""
    rng = np.random.default_rng(seed)
    mix = np.zeros(length, np.float32)
    for voice in voices:
        # Drawn for every voice, so that a silent one does not move the others.
        first = int(rng.integers(max(1, len(voice))))
        if loud := power(voice, spoken_part(voice)):
            mix += np.resize(np.roll(voice, -first), length) / np.float32(np.sqrt(loud))
    return mix


def telephone(sound: Sound) -> Sound:
    """`sound` as a telephone carries it: 300 to 3,400 Hz, 8 kHz, 8 bits by the mu-law; (n,)."""
    taps = np.arange(_TAPS) - _TAPS // 2
    low, high = (2 * edge / RATE for edge in BAND)
    window = np.hamming(_TAPS)
    band = (high * np.sinc(high * taps) - low * np.sinc(low * taps)) * window
    # Every second sample of what has nothing above 4 kHz, and back again.
    line = _same_length(sound, band)[::2]
    line = np.clip(line, -1, 1)
    coded = np.round(127 * np.sign(line) * np.log1p(_MU * np.abs(line)) / np.log1p(_MU)) / 127
    heard = np.zeros(len(sound))
    heard[::2] = np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(_MU)) / _MU
    return np.clip(_same_length(heard, 2 * band), -1, 1).astype(np.float32)


def _same_length(sound: NDArray[np.floating], taps: NDArray[np.float64]) -> NDArray[np.float64]:
    """A filter that delays nothing."""
    return np.convolve(sound, taps)[len(taps) // 2 :][: len(sound)]


def at_tempo(sound: Sound, tempo: float) -> Sound:
    """`sound` spoken `tempo` times as fast at its own pitch, (round(n / tempo),).

    By ffmpeg's ``atempo`` (WSOLA), cut or filled with silence to the exact length.
    InputError for a tempo that is not between 0.1 and 10.
    """
    if not 0.1 <= tempo <= 10:
        raise InputError(f"tempo {tempo:g}; expected 0.1 to 10 times as fast")
    graph = Graph()
    last = graph.add_abuffer(
        format="fltp", sample_rate=RATE, layout="mono", time_base=Fraction(1, RATE)
    )
    source, left = last, tempo
    while left < 0.5:  # the least that one atempo does
        last, left = _linked(graph, last, 0.5), left / 0.5
    last = _linked(graph, last, left)
    sink = graph.add("abuffersink")
    last.link_to(sink)
    graph.configure()
    # Silence behind it, because atempo swallows the end of what is shorter than its window.
    padded = np.pad(sound, (0, _WINDOW)).astype(np.float32)
    frame = AudioFrame.from_ndarray(padded[None], "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
    source.push(frame)
    source.push(None)
    pieces: list[NDArray[np.float32]] = []
    while True:
        try:
            made = sink.pull()
        except EndOfSound:
            break
        if isinstance(made, AudioFrame):
            pieces.append(made.to_ndarray()[0])
    return fitted(np.concatenate([*pieces, np.zeros(0, np.float32)]), round(len(sound) / tempo))


def _linked(graph: Graph, last: FilterContext, tempo: float) -> FilterContext:
    step = graph.add("atempo", f"{tempo:.9f}")
    last.link_to(step)
    return step


def fitted(sound: Sound, length: int) -> Sound:
    """`sound` cut, or filled with silence, to `length` samples."""
    return np.pad(sound[:length], (0, max(0, length - len(sound))))


def in_another_voice(sound: Sound, words: Words, speaker: Speaker = OWN) -> Sound:
    """The `words` of `sound` said by espeak-ng, each in its own time, silence between them; (n,).

    As loud on the whole as the speech in `sound`. InputError where `words` do not tell all that is
    said, and without espeak-ng.
    """
    seconds = len(sound) / RATE
    if not said(words) or not told(words, seconds):
        raise InputError(
            "no times of all its words are known; a synthetic voice needs them (GRID has them)"
        )
    made = np.zeros(len(sound), np.float32)
    for start, end, word in said(words):
        first, last = round(start * RATE), min(round(end * RATE), len(sound))
        if last > first:
            made[first:last] = _word(word, last - first, speaker)
    level = power(made, spoken_part(made, words))
    wanted = power(sound, spoken_part(sound, words))
    made *= np.float32(np.sqrt(wanted / level)) if level else 0
    return np.asarray(made / max(1.0, float(np.abs(made).max())), np.float32)


def synthesiser() -> str:
    """Where espeak-ng is; InputError without it."""
    found = shutil.which("espeak-ng")
    if found is None:
        raise InputError(
            "espeak-ng is not installed; the synthetic voice needs it: apt-get install espeak-ng"
        )
    return found


def synthesiser_version() -> str:
    """What espeak-ng says of itself, without its folder; InputError without it."""
    return _espeak("--version").partition("Data at")[0].strip()


def _word(word: str, length: int, speaker: Speaker) -> Sound:
    """One word said in `length` samples: at espeak-ng's pace next to that, and atempo the rest."""
    slowest, usual, fastest = _WORDS_A_MINUTE
    spoken, pace = _spoken_word(word, usual, speaker), usual
    # Twice, because it does not speak twice as fast when it is asked to.
    for _ in range(2):
        pace = round(min(max(pace * len(spoken) / length, slowest), fastest))
        pace = max(round(pace / speaker.steps) * speaker.steps, slowest)
        spoken = _spoken_word(word, pace, speaker)
    if not len(spoken):
        return np.zeros(length, np.float32)
    spoken = fitted(at_tempo(spoken, min(max(len(spoken) / length, 0.1), 10.0)), length).copy()
    fade = np.linspace(0, 1, min(_FADE, length), dtype=np.float32)
    spoken[: len(fade)] *= fade
    spoken[length - len(fade) :] *= fade[::-1]
    return spoken


@lru_cache(maxsize=8192)
def _spoken_word(word: str, pace: int, speaker: Speaker) -> Sound:
    """A word by espeak-ng at `pace` words a minute, without the pauses around it."""
    with tempfile.TemporaryDirectory(prefix="lipglance-") as folder:
        file = Path(folder) / "word.wav"
        voice = ("-v", speaker.voice, "-p", str(speaker.pitch))
        _espeak(*voice, "-s", str(pace), "-w", str(file), "--stdin", text=word)
        heard = read_audio(file, RATE)
    loud = np.flatnonzero(np.abs(heard) > _QUIET * float(np.abs(heard).max()))
    return heard[loud[0] : loud[-1] + 1] if len(loud) else heard[:0]


def _espeak(*options: str, text: str = "") -> str:
    """What espeak-ng prints; InputError where it is missing or fails."""
    try:
        done = subprocess.run(
            [synthesiser(), *options],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(f"espeak-ng failed on {text or options[0]!r}: {error}") from None
    return done.stdout
