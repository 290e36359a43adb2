"""What a training run is: frozen dataclasses, read from a small YAML and kept in the checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .errors import InputError
from .network_config import (
    AutoencoderConfig,
    GeneratorConfig,
    LookConfig,
    MotionConfig,
    RendererConfig,
    SyncConfig,
    TalkerConfig,
)

MOST_LAYERS = 8
"""A chain of bases that is longer goes in circles."""


@dataclass(frozen=True)
class LossConfig:
    """The four-term objective; a weight of 0 switches a term off.

    Attributes:
        pixel: L1 between generated and real frames in [-1, 1].
        perceptual: mean squared error of autoencoder features.
        painting: pixel and perceptual terms of single frames painted from true shapes, in every
            step of the whole objective: what the painting lesson taught is not unlearnt.
        reading: what a small lip reader reads in generated and in real frames is to be the same;
            the reader is trained first.
        correlation: audio-visual correlation loss.
        square: mean squared error beside L1: L1's best guess of an uncertain mouth is its most
            common state, closed; the square's is the mean.
        derivative: correlate the audio's derivative (True) or the audio itself.
        centred: take each vector's mean over time out first (Pearson instead of cosine), so that
            two constants do not count as correlated.
        adversarial: the generator's adversarial loss.
        flow_stream: the discriminator watches optical flow.
        audio_stream: the discriminator listens, and is shown mismatched pairs.
        adversarial_start: step from which the discriminator and the adversarial loss take part.
        correlation_start: step from which the correlation loss takes part.
    """

    pixel: float = 1.0
    perceptual: float = 1.0
    correlation: float = 0.5
    derivative: bool = True
    square: float = 0.0
    mouth: float = 0.0
    painting: float = 0.0
    reading: float = 0.0
    centred: bool = False
    adversarial: float = 1.0
    flow_stream: bool = True
    audio_stream: bool = True
    adversarial_start: int = 0
    correlation_start: int = 0


@dataclass(frozen=True)
class DataConfig:
    """Which clips are trained on and how they are varied.

    Attributes:
        corpora: names to keep, empty for all in the shards.
        silence: share of samples that are silence with the clip's most closed mouth, still.
        gain_db: loudness is moved by up to this many dB either way.
        band_limit: share of samples whose upper mel bins are cut off, as a telephone does.
        noise: share of samples with added noise.
        colour: strength of brightness, contrast and colour changes, 0 for none.
        cast: largest change of red and of blue against green, natural logarithm, as of another
            light; faces only.
        geometry: largest rotation (radians), zoom and shift (share of half the crop).
        flip: mirror half of the samples.
        styles: share of samples made to look like prints, drawings or paintings; faces only.
    """

    corpora: tuple[str, ...] = ()
    silence: float = 0.05
    gain_db: float = 8.0
    band_limit: float = 0.2
    noise: float = 0.3
    colour: float = 0.15
    cast: float = 0.0
    geometry: float = 0.06
    flip: bool = True
    styles: float = 0.0


@dataclass(frozen=True)
class TrainConfig:
    """One run of the trainer; stored whole in its checkpoints.

    Attributes:
        kind: what is trained, a key of ``learner.KINDS``.
        decay_from: share of the steps after which the rate falls linearly to a fiftieth.
        warmup: steps over which the rate rises.
        clip: largest norm of the generator's gradient.
        warm_start: begin as the lip autoencoder, which already paints the identity; short runs
            then spend their steps on motion.
        painting_lesson: steps in which the generator first learns to paint single frames of a
            mouth whose true shape it is told.
        painting_rate: highest rate of the painting lesson.
        reading_lesson: steps in which the lip reader of ``loss.reading`` learns, if there is one.
        audio_lesson: steps in which the audio encoder then learns to tell that shape.
        ema: decay of the running average of the generator, which is what is shipped.
    """

    name: str = "lmgg"
    kind: str = "lmgg"
    seed: int = 0
    steps: int = 100_000
    batch: int = 24
    accumulate: int = 1
    rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    decay_from: float = 0.8
    warmup: int = 100
    clip: float = 1.0
    warm_start: bool = False
    painting_lesson: int = 0
    painting_rate: float = 1e-3
    reading_lesson: int = 800
    audio_lesson: int = 0
    correlation_rate: float = 1e-4
    correlation_weight_decay: float = 5e-4
    ema: float = 0.999
    discriminator_width: int = 64
    correlation_width: int = 64
    precision: str = "bf16"
    compile: bool = False
    log_every: int = 20
    validate_minutes: float = 5.0
    checkpoint_minutes: float = 3.0
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    data: DataConfig = field(default_factory=DataConfig)
    sync: SyncConfig = field(default_factory=SyncConfig)
    look: LookConfig = field(default_factory=LookConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    renderer: RendererConfig = field(default_factory=RendererConfig)
    talker: TalkerConfig = field(default_factory=TalkerConfig)

    @property
    def frames(self) -> int:
        """Video frames of a training window."""
        return self.sync.frames if self.kind == "sync" else self.generator.frames


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """Return the config as plain dicts, lists and numbers, for JSON and checkpoints."""
    return asdict(config)


def from_dict(values: dict[str, Any]) -> TrainConfig:
    """Build a config from plain values; absent ones keep their defaults.

    Raises:
        InputError: an unknown key or a value of the wrong type, named.
    """
    # Only training reads configs, so only training pays for omegaconf.
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        merged = OmegaConf.merge(OmegaConf.structured(TrainConfig), OmegaConf.create(values))
        plain = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        reason, key = str(error).splitlines()[0], getattr(error, "full_key", None)
        raise InputError(
            f"config not understood{f' at {key}' if key else ''}: {reason}; keys and types "
            "are in lipglance/config.py"
        ) from error
    assert isinstance(plain, dict)
    parts: dict[str, Any] = {str(key): value for key, value in plain.items()}
    parts["betas"] = tuple(parts["betas"])
    parts["data"]["corpora"] = tuple(parts["data"]["corpora"])
    parts["generator"] = GeneratorConfig(**parts["generator"])
    parts["autoencoder"] = AutoencoderConfig(**parts["autoencoder"])
    parts["loss"] = LossConfig(**parts["loss"])
    parts["data"] = DataConfig(**parts["data"])
    parts["sync"] = SyncConfig(**parts["sync"])
    parts["look"] = LookConfig(**parts["look"])
    parts["motion"] = MotionConfig(**parts["motion"])
    parts["renderer"] = RendererConfig(**parts["renderer"])
    parts["talker"] = TalkerConfig(**parts["talker"])
    return TrainConfig(**parts)


def load_config(path: str | Path, overrides: list[str] | None = None) -> TrainConfig:
    """Read a YAML config.

    Args:
        path: the file; a key ``base`` names another YAML beside it whose values come first, which
            may have a base of its own.
        overrides: ``key=value`` or ``loss.pixel=2`` strings that win over the file.

    Raises:
        InputError: the file is missing, is not YAML, or holds unknown keys.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    path = Path(path)
    if not path.is_file():
        raise InputError(f"no config at {path}; expected a YAML file such as configs/lmgg.yaml")
    try:
        layers: list[Any] = []
        while True:
            own = OmegaConf.to_container(OmegaConf.load(path))
            base = own.pop("base", None) if isinstance(own, dict) else None
            layers.insert(0, OmegaConf.create(own))
            if base is None:
                break
            if len(layers) > MOST_LAYERS:
                raise InputError(f"config {path} has itself as its base; remove the key base")
            path = path.parent / str(base)
        merged = OmegaConf.merge(*layers, OmegaConf.from_dotlist(list(overrides or [])))
        plain = OmegaConf.to_container(merged, resolve=True)
    except (OmegaConfBaseException, YAMLError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"config {path} not understood: {reason}") from error
    if not isinstance(plain, dict) or not plain:
        raise InputError(f"config {path} holds no keys; expected lines such as 'steps: 1000'")
    return from_dict({str(key): value for key, value in plain.items()})
