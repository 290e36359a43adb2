"""A stream under the clock: what each chunk takes, when the first frame comes, what memory does.

Chunks follow each other as fast as they are computed. In life each must be done before the next
one is there; that is so as long as none takes longer than it lasts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np

from lipglance.bench_stages import sample_photo, sample_speech
from lipglance.cli_report import peak_memory
from lipglance.errors import LipglanceError
from lipglance.models import LipModel, load_model
from lipglance.portrait import VIEWS, Portrait

_RATE = 16000
# Pieces fed to find how much sound the first frame needs, samples (1 ms).
_FINE = 16


@dataclass(frozen=True)
class Streamed:
    """What one stream took.

    frames: made in all. needed: s of sound that the first frame needs. first_chunk: number, from 1,
    of the chunk with which it came. opening: s from picture to open stream. chunk_seconds: length
    of a chunk. seconds: s of computing, chunk by chunk, then that of the end. peak_mib: memory at
    its height; grown_mib: by how much that rose over the last four fifths of the speech.
    """

    view: str
    frames: int
    needed: float
    first_chunk: int
    opening: float
    chunk_seconds: float
    seconds: tuple[float, ...]
    peak_mib: float | None
    grown_mib: float | None

    @property
    def first_ms(self) -> float:
        """From the first sample to the first frame, ms: the sound it needs and its computing."""
        return 1000 * (self.needed + self.seconds[self.first_chunk - 1])

    def percentile(self, share: float) -> float:
        """Computing of a chunk, ms, that `share` per cent of the chunks do not exceed."""
        return float(1000 * np.percentile(self.seconds[:-1], share))

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain values."""
        shares = {f"p{share}_ms": self.percentile(share) for share in (50, 95, 99, 100)}
        return asdict(self) | {"first_ms": self.first_ms} | shares


def measure_streams(
    name: str, seconds: float, side: int, threads: int | None, chunk_ms: float
) -> Iterator[Streamed]:
    """Stream the sample face and speech in the lip view, then in the face view.

    name: of the model. seconds: of speech. side: of the photo, px. threads: for the network.
    chunk_ms: length of a chunk. Raises InputError as `load_model` does.
    """
    model = load_model(name, threads=threads)
    for view in reversed(VIEWS):
        yield _stream(model, view, seconds, side, chunk_ms)


def _stream(model: LipModel, view: str, seconds: float, side: int, chunk_ms: float) -> Streamed:
    photo = sample_photo(side)
    # The sentence is a few seconds; looped chunk by chunk it takes no memory of its own.
    speech = sample_speech(10.0, _RATE)
    size = max(1, round(_RATE * chunk_ms / 1000))
    chunks = max(2, round(seconds * _RATE / size))
    taken = []
    frames = first = 0
    early = None
    begin = perf_counter()
    with model.stream(photo, _RATE, view=view) as stream:
        opening = perf_counter() - begin
        for k in range(chunks):
            chunk = np.take(speech, range(k * size, (k + 1) * size), mode="wrap")
            begin = perf_counter()
            made = len(stream.feed(chunk))
            taken.append(perf_counter() - begin)
            frames += made
            first = first or (k + 1 if made else 0)
            early = peak_memory() if k == chunks // 5 else early
        late = peak_memory()
        begin = perf_counter()
        frames += len(stream.finish())
        taken.append(perf_counter() - begin)
        wanted = max(1, round(stream.seconds * stream.fps))
        portrait = stream.portrait
    if frames != wanted:
        raise LipglanceError(f"the stream made {frames} frames; expected {wanted}")
    # The end, which gives several frames at once, is no growth.
    grown = None if late is None or early is None else late - early
    return Streamed(
        view, frames, _needed(model, portrait), first or chunks + 1, opening, size / _RATE,
        tuple(taken), peak_memory(), grown,
    )  # fmt: skip


def _needed(model: LipModel, portrait: Portrait) -> float:
    """Seconds of sound that the first frame needs, to a thousandth."""
    with model.stream(portrait, _RATE, view="lips") as stream:
        silence = np.zeros(_FINE, np.float32)
        while not stream.feed(silence):
            pass
        return stream.seconds
