"""Sizes of the networks, with what only their own training asks; parts of a run's config."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GeneratorConfig:
    """Size of the generator; the paper's base width is 64."""

    width: int = 64
    residual_blocks: int = 9
    frames: int = 16
    size: int = 64


@dataclass(frozen=True)
class AutoencoderConfig:
    """Size and training of the lip autoencoder behind the perceptual loss."""

    width: int = 64
    residual_blocks: int = 6
    steps: int = 2000
    batch: int = 64
    rate: float = 1e-3


@dataclass(frozen=True)
class SyncConfig:
    """Size of the sync expert and the windows it learns from.

    Attributes:
        width: of its first layers; the last have four times as many channels.
        embedding: numbers in which picture and sound are compared.
        frames: of a training window; 25 make a second.
    """

    width: int = 24
    embedding: int = 128
    frames: int = 25


@dataclass(frozen=True)
class MotionConfig:
    """Size of the network that hears how a mouth moves, and what it learns from.

    Attributes:
        codes: numbers that say a lower face's shape.
        width: channels of the convolutions that hear a frame beside the speech embedding.
        speech_rate: rate at which the speech embedding is trained on, of that of the rest.
        memory: numbers that each of two recurrent layers carries from frame to frame.
        past: video frames heard before the present one.
        ahead: video frames heard after it, 40 ms each.
        frames: of a training sequence.
        difference: weight of the error of frame-to-frame movement.
        spread: weight of the error of how far a mouth opens and closes within a sequence.
        agree: weight of one minus the correlation, over a sequence, of how far the mouth is open.
        quiet: share of sequences with silence before or after, where the mouth must close.
        stretch: speech is sped up or slowed down by up to this share.
        pitch: mel bands by which a voice is moved up or down.
        babble: share of sequences with others talking in the background.
        voices: share of pieces of speech that a synthesiser says in their speaker's place, where
            all their words and times are known.
        noise: share of sequences with white noise.
        snr_db: range of how far below the speech babble and noise are.
        low_cut: share of sequences without their low tones, as telephones cut them.
        dropout: share of what was heard of a frame that is left out in training.
        masks: stretches of time and bands of mel that are hidden in a training sequence.
        emphasis: in use, mouths open that many times as far as what was heard, at first; see
            `lipglance.emphasis`.
        wide: how far the inner lips of people who speak go, in distances of the eyes, to which a
            speech's emphasis is fitted; 0 to leave it as it is at first.
        small: openings below it, in distances of the eyes, are held back; 0 to hold back none.
    """

    codes: int = 16
    width: int = 128
    speech_rate: float = 0.3
    memory: int = 256
    past: int = 5
    ahead: int = 3
    frames: int = 128
    difference: float = 2.0
    spread: float = 0.2
    agree: float = 0.0
    quiet: float = 0.5
    stretch: float = 0.2
    pitch: float = 7.0
    babble: float = 0.3
    voices: float = 0.0
    noise: float = 0.2
    snr_db: tuple[float, float] = (5.0, 25.0)
    low_cut: float = 0.3
    dropout: float = 0.2
    masks: int = 0
    emphasis: float = 1.0
    wide: float = 0.0
    small: float = 0.0


@dataclass(frozen=True)
class LookConfig:
    """Size of the network that sees what a picture's mouth is doing, and how it learns.

    Attributes:
        width: channels of the first layer; two, three and four times as many after it.
        features: numbers that the rest of it is told of a picture.
        trust: share that the picture has in the answer; the rest is the mesh points'.
        ridge: what keeps the answer of the mesh points from large numbers.
        reading: weight of the error of the mouth's points, px.
    """

    width: int = 24
    features: int = 128
    trust: float = 0.6
    ridge: float = 3000.0
    reading: float = 0.4


@dataclass(frozen=True)
class RendererConfig:
    """Size of the network that finishes a moved mouth, and what its pictures are judged by.

    Attributes:
        width: channels at half resolution; two and three times as many below.
        size: side of the face crops it learns from, px.
        mouth: how much more a pixel of the mouth counts than another.
        edges: weight of the error of differences between neighbouring pixels.
        moved: weight of the error of what is moved but not painted.
        critic: weight of looking false to a critic that learns alongside; 0 for none.
        likeness: weight of how far the critic's features of painted and real mouths are apart.
        critic_width: channels of the critic's first layer.
        critic_gain: how many times larger its judgements are than its layers make them.
        critic_start: step from which the critic learns.
        critic_alone: steps that it learns for before the painter hears of it.
        critic_first: steps that it learns for before all others, of a painter that stands still.
    """

    width: int = 32
    size: int = 96
    mouth: float = 4.0
    edges: float = 1.0
    moved: float = 0.3
    critic: float = 0.0
    likeness: float = 0.0
    critic_width: int = 24
    critic_gain: float = 1.0
    critic_start: int = 0
    critic_alone: int = 0
    critic_first: int = 0


@dataclass(frozen=True)
class TalkerConfig:
    """How hearing and painting learn together.

    Attributes:
        pictures: frames made of each sequence.
        told: share of them whose true mouth is told, so that painting stays faithful to it.
        points: weight of the error of the points that hearing alone learns from.
        reading: weight of how far from where they were told to be mouths are read in made frames,
            px.
        sync: weight of a sync expert's cross-entropy of the shift between made frames and their
            sound; frames of a sequence are then made one after the other.
        hearing: hearing goes on learning; else it stays as it is and painting learns alone.
    """

    pictures: int = 3
    told: float = 0.25
    points: float = 0.1
    reading: float = 0.0
    sync: float = 0.0
    hearing: bool = True
