"""Training sequences of sound and the shape of the mouth that goes with it; no pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .audio import AudioConfig, log_mel
from .batches import hush, vary_audio
from .config import TrainConfig
from .errors import InputError
from .face_shape import ShapeBasis
from .geometry import Floats
from .mel_variation import hidden, moved_bands, resampled, with_babble, with_noise, without_lows
from .metrics import silent_frames
from .motion_net import ROWS
from .mouth_track import SHORTEST, closed_when, filled, most_closed, openings, steadied, unit
from .renderer_batches import face_crops
from .tensor_batch import TensorBatch
from .voice_changes import SPEAKERS, Words, in_another_voice, said, told

FloatArray = npt.NDArray[np.float32]

Look = Callable[[npt.NDArray[np.uint8], Floats], Floats]

SETTLING = 4
"""Frames that a mouth takes to close when the speech ends; what it does there is not taught."""


@dataclass(frozen=True)
class MotionBatch(TensorBatch):
    """A batch of sequences, in each of which up to S people speak one after the other.

    Attributes:
        mel: ``(B, 4T, 128)`` log-mel in [-1, 1].
        code: ``(B, T, K)`` of the true shapes, relative to the template.
        taught: ``(B, T)`` 1 where the shape is known, 0 where it is not.
        owner: ``(B, T)`` which of the sequence's people speaks.
        own: ``(B, S, K)`` how far the given picture of each lies from what a look at it says that
            its mouth is doing: what is this person's, or this clip's, and not the speech's.
    """

    mel: Tensor
    code: Tensor
    taught: Tensor
    owner: Tensor
    own: Tensor


@dataclass(frozen=True)
class MotionClip:
    """A clip as it is heard and what its mouth does.

    Attributes:
        mel: (4T, 128) log-mel.
        true: (T, K) codes of its shapes.
        codes: (T, K) those that are taught.
        own: (T, K) see `MotionBatch`.
        voices: (4T, 128) of the same words said by others.
        closed: the frame whose mouth is closed best, None where it never is.
        hushed: (T,) frames without speech whose mouth was open and is taught closed.
        corpus: its name.
        sample: its place in the data set.
        unit: (2, 2) a displacement in the template's unit to px of the crops.
    """

    mel: FloatArray
    true: FloatArray
    codes: FloatArray
    own: FloatArray
    voices: tuple[FloatArray, ...]
    closed: int | None
    hushed: npt.NDArray[np.bool_]
    corpus: str
    sample: int
    unit: FloatArray


@dataclass(frozen=True)
class Piece:
    """A clip's part in a sequence: log-mel (4N, 128), codes (N, K), which are taught (N,).

    The first `before` and the last `after` frames are silence, the others the clip's from `start`
    on, spread over `pace` times as many; `given` is the clip's frame that is shown.
    """

    mel: FloatArray
    code: FloatArray
    taught: FloatArray
    before: int
    after: int
    clip: MotionClip
    start: int
    pace: float
    given: int

    def frame(self, place: int) -> int:
        """The clip's frame that is spoken at the `place`-th frame of the piece."""
        at = (self.start + place - self.before + 0.5) / self.pace - 0.5
        return int(min(max(round(at), 0), len(self.clip.codes) - 1))


class MotionSource:
    """Draws sequences; every batch is a pure function of (seed, step, rank).

    Args:
        roots: shard folders.
        split: split to draw from.
        config: of the run.
        basis: what the codes mean.
        look: says of crops (T, S, S, 3) uint8 RGB and mesh points (T, 468, 2) in them what their
            mouths are doing, (T, K).
        plain: draw the sequences as they are, without variation or added silence.

    Raises:
        InputError: no clip of the split and corpora shows a face for long enough.
    """

    def __init__(
        self,
        roots: Sequence[str | Path],
        split: str,
        config: TrainConfig,
        basis: ShapeBasis,
        look: Look,
        *,
        plain: bool = False,
    ) -> None:
        self.config, self.plain, self.basis = config, plain, basis
        self.clips = []
        for index, sample in enumerate(face_crops(roots, split, config, "hearing")):
            track = filled(sample.landmarks())
            if track is None:
                continue
            shapes = steadied(self.basis.track_shapes(track))
            opening, sound = openings(track), sample.audio()
            closed = most_closed(opening)
            true = basis.encode(shapes)
            seen = look(sample.crops(), track)
            hushed, codes = np.zeros(len(track), np.bool_), true
            words = sample.meta.get("words", ())
            if closed is not None and not plain:
                silent = silent_frames(sound, AudioConfig().sample_rate, len(track), words=words)
                hushed, codes = closed_when(silent, codes, codes[closed], opening)
            self.clips.append(
                MotionClip(
                    log_mel(sound, AudioConfig(), len(track)),
                    true.astype(np.float32),
                    codes.astype(np.float32),
                    (true - seen).astype(np.float32),
                    self._voices(index, sound, words, len(track)),
                    closed,
                    hushed,
                    sample.entry.corpus,
                    index,
                    unit(self.basis, track),
                )
            )
        if not self.clips:
            raise InputError(f"no clip of split {split} shows a face for long enough to learn from")
        lengths = np.array([len(clip.codes) for clip in self.clips], np.float64)
        self.weights = lengths / lengths.sum()

    def _voices(
        self, index: int, sound: FloatArray, words: Words, frames: int
    ) -> tuple[FloatArray, ...]:
        """A clip's words said by a synthesiser's voice, where they are known and wanted."""
        known = said(words) and told(words, len(sound) / AudioConfig().sample_rate)
        if self.plain or not self.config.motion.voices or not known:
            return ()
        speaker = SPEAKERS[index % len(SPEAKERS)]
        return (log_mel(in_another_voice(sound, words, speaker), AudioConfig(), frames),)

    def batch(self, seed: int, step: int, size: int, rank: int = 0) -> MotionBatch:
        """Return the batch of a step: always the same for the same arguments."""
        return self.stacked(self.drawn(seed, step, size, rank))

    def drawn(
        self, seed: int, step: int, size: int, rank: int = 0
    ) -> list[tuple[FloatArray, list[Piece]]]:
        """Return the sequences of a step's batch: their sound (4T, 128) and pieces."""
        return [self._draw(np.random.default_rng((seed, step, rank, k))) for k in range(size)]

    def stacked(self, drawn: Sequence[tuple[FloatArray, list[Piece]]]) -> MotionBatch:
        """Return sequences as a batch."""
        size = len(drawn)
        people = max(len(pieces) for _, pieces in drawn)
        own = np.zeros((size, people, self.config.motion.codes), np.float32)
        code, taught, owner = [], [], []
        for row, (_, pieces) in enumerate(drawn):
            code.append(np.concatenate([piece.code for piece in pieces]))
            taught.append(np.concatenate([piece.taught for piece in pieces]))
            owner.append(np.repeat(np.arange(len(pieces)), [len(p.code) for p in pieces]))
            for k, piece in enumerate(pieces):
                own[row, k] = piece.clip.own[piece.given]
        return MotionBatch(
            torch.from_numpy(np.stack([sound for sound, _ in drawn])),
            torch.from_numpy(np.stack(code)),
            torch.from_numpy(np.stack(taught)),
            torch.from_numpy(np.stack(owner)),
            torch.from_numpy(own),
        )

    def _draw(self, rng: np.random.Generator) -> tuple[FloatArray, list[Piece]]:
        """One sequence (4T, 128) and its pieces: clips of one person after another.

        Many in a row, because a net that only knew clips of a second or two would learn that
        speech is over after a second or two, and fall silent in longer ones.
        """
        frames, pieces, room = self.config.motion.frames, [], self.config.motion.frames
        while room:
            pieces.append(self._piece(rng, room))
            room -= len(pieces[-1].code)
        sound = np.concatenate([piece.mel for piece in pieces])
        if not self.plain:
            sound = self._varied(sound, rng)
        begin = 0
        for piece in pieces:
            end = begin + len(piece.code)
            # Else what was laid over the speech is alone there: noise is no reason to speak.
            hushed = self.plain or rng.random() < 0.5
            for start, stop in ((begin, begin + piece.before), (end - piece.after, end)):
                part = sound[start * ROWS : stop * ROWS]
                if hushed:
                    part[:] = hush(part.shape, rng)
            begin = end
        assert begin == frames
        return sound, pieces

    def _piece(self, rng: np.random.Generator, room: int) -> Piece:
        """A clip, with silence around it or not, or as much of it as there is room for."""
        motion = self.config.motion
        clip = self.clips[int(rng.choice(len(self.clips), p=self.weights))]
        given = int(rng.integers(len(clip.codes)))
        mel, codes = clip.mel, clip.codes
        if clip.voices and rng.random() < motion.voices:
            mel = clip.voices[int(rng.integers(len(clip.voices)))]
        frames = len(codes)
        if not self.plain:
            if motion.stretch:
                frames = round(frames * (1.0 + rng.uniform(-motion.stretch, motion.stretch)))
                mel, codes = resampled(mel, frames * ROWS), resampled(codes, frames)
            if motion.pitch:
                mel = moved_bands(mel, rng.uniform(-motion.pitch, motion.pitch))
        before = after = 0
        if not self.plain and room >= 2 * SHORTEST and rng.random() < motion.quiet:
            before, after = (int(rng.integers(room // 6 + 1)) for _ in range(2))
        count = min(len(codes), room - before - after)
        after = min(after, room - before - count)
        start = int(rng.integers(len(codes) - count + 1))
        codes, mel = codes[start : start + count], mel[start * ROWS : (start + count) * ROWS]
        closed = None if clip.closed is None else clip.codes[clip.closed]
        code, taught = _surrounded(codes, closed, before, after)
        if count < SHORTEST:
            taught[:] = 0.0
        mel = np.pad(mel, ((before * ROWS, after * ROWS), (0, 0)), constant_values=-1.0)
        pace = frames / len(clip.codes)
        return Piece(mel, code, taught, before, after, clip, start, pace, given)

    def _varied(self, mel: FloatArray, rng: np.random.Generator) -> FloatArray:
        motion = self.config.motion
        if rng.random() < motion.babble:
            chosen = rng.integers(len(self.clips), size=int(rng.integers(1, 5)))
            others = [self.clips[k].mel for k in chosen]
            mel = with_babble(mel, others, rng.uniform(*motion.snr_db), rng)
        if rng.random() < motion.noise:
            mel = with_noise(mel, rng.uniform(*motion.snr_db), rng)
        if rng.random() < motion.low_cut:
            mel = without_lows(mel, rng.uniform(80.0, 400.0), rng.uniform(12.0, 80.0))
        return hidden(vary_audio(mel, self.config.data, rng), motion.masks, rng)


def _surrounded(
    codes: FloatArray, closed: FloatArray | None, before: int, after: int
) -> tuple[FloatArray, FloatArray]:
    """Codes with silent frames on both sides, and which of all are taught."""
    frames = before + len(codes) + after
    code = np.repeat((codes[0] if closed is None else closed)[None], frames, axis=0)
    code[before : before + len(codes)] = codes
    taught = np.full(frames, 0.0 if closed is None else 1.0, np.float32)
    taught[before : before + len(codes)] = 1.0
    taught[max(before - SETTLING, 0) : before] = 0.0
    taught[frames - after : frames - after + SETTLING] = 0.0
    return code, taught
