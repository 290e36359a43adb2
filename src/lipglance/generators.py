"""The networks that turn sound and one lip crop into frames, by the kind in their config."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from torch import Tensor, nn

from .chung import ChungGenerator
from .config import TrainConfig
from .errors import InputError
from .generator import Generator
from .network_config import GeneratorConfig
from .vondrick import VondrickGenerator

GENERATORS: dict[str, Callable[[GeneratorConfig], nn.Module]] = {
    "lmgg": Generator,
    "chung": ChungGenerator,
    "vondrick": VondrickGenerator,
}


class LipGenerator(Protocol):
    """Log-mel ``(B, 1, 4T, 128)`` and identity ``(B, 3, S, S)`` -> frames ``(B, 3, T, S, S)``."""

    config: GeneratorConfig

    def __call__(self, mel: Tensor, identity: Tensor) -> Tensor:
        """Make the frames, in [-1, 1]."""
        ...

    def speak(self, mel: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
        """Make the frames and return what was heard as well, in the kind's own shape."""
        ...


def make_generator(config: TrainConfig) -> nn.Module:
    """Build a fresh generator.

    Raises:
        InputError: the kind is not a generator's, or lessons are asked of one that has none.
    """
    if config.kind not in GENERATORS:
        raise InputError(f"kind {config.kind!r} makes no lips; known: {', '.join(GENERATORS)}")
    lessons = config.painting_lesson + config.audio_lesson + config.loss.painting
    if (config.warm_start or lessons) and config.kind != "lmgg":
        raise InputError(f"warm start and lessons are for kind lmgg, not {config.kind}; set 0")
    return GENERATORS[config.kind](config.generator)


def speaking(generator: nn.Module) -> LipGenerator:
    """See a module as what it is."""
    return cast(LipGenerator, generator)
