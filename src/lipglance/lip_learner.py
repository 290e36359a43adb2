"""How a lip generator is trained, the paper's or a baseline: networks, phases, a step of each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .autoencoder import LipAutoencoder
from .batches import Batch, BatchSource
from .config import TrainConfig, from_dict, to_dict
from .correlation import AudioDerivativeEncoder, FlowEncoder
from .discriminator import Discriminator
from .errors import InputError
from .generator import Generator
from .generators import make_generator, speaking
from .layers import as_images, channels_last, follow
from .learner import Draw, Phase, window_source, windows
from .lessons import AUDIO_LESSON_RATE, HEARD_WINDOWS, PAINTED_CLIPS, Lessons, warm_start
from .lip_reader import LipReader, misread
from .objective import Objective, Pair
from .optimizers import Optimizers, Reduce, decayed
from .picture_loss import PictureLoss
from .validation import Validation

READING_RATE = 2e-3
READ_CLIPS = 8
"""Clips to a step of the reading lesson; all frames of their windows are read."""
_BEGINNING = ("kind", "generator", "autoencoder", "warm_start", "painting_lesson", "audio_lesson")
"""What must agree where a run takes over another's lessons."""


class LipLearner:
    """Everything that a run trains, and how.

    Args:
        config: the run.
        device: where the networks live.
        reduce: averages gradients over processes before each optimiser step.
    """

    def __init__(self, config: TrainConfig, device: torch.device, reduce: Reduce) -> None:
        self.config, self.device = config, device
        loss = config.loss
        self.generator: nn.Module = make_generator(config).to(device)
        channels_last(self.generator)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.autoencoder = LipAutoencoder(config.autoencoder).to(device)
        channels_last(self.autoencoder)
        self.discriminator = Discriminator(
            config.discriminator_width, flow_stream=loss.flow_stream, audio_stream=loss.audio_stream
        ).to(device)
        self.audio_encoder = AudioDerivativeEncoder(
            config.generator.width * 4, config.correlation_width, derivative=loss.derivative
        ).to(device)
        self.flow_encoder = FlowEncoder(config.correlation_width).to(device)
        self.reader: LipReader | None = None
        if loss.reading:
            self.reader = LipReader().to(device).eval().requires_grad_(False)
        self.picture_loss = PictureLoss(
            loss, config.generator.size, self.autoencoder, device, self.reader
        )
        self.objective = Objective(
            loss, self.picture_loss, self.audio_encoder, self.flow_encoder, self.discriminator
        )
        self.lessons: Lessons | None = None
        if isinstance(self.generator, Generator):
            self.lessons = Lessons(self.generator, device, compiled=config.compile)
        self.optimizers = Optimizers(reduce)
        add = self.optimizers.add
        add("generator", self.generator.parameters(), config.rate, config.betas)
        add("discriminator", self.discriminator.parameters(), config.rate, config.betas)
        add(
            "correlation",
            [*self.audio_encoder.parameters(), *self.flow_encoder.parameters()],
            config.correlation_rate,
            config.betas,
            config.correlation_weight_decay,
        )
        add("autoencoder", self.autoencoder.parameters(), config.autoencoder.rate)
        if self.reader is not None:
            add("reading_lesson", self.reader.parameters(), READING_RATE)
        if self.lessons is not None:
            add("painting_lesson", self.lessons.painters(), config.painting_rate)
            add("audio_lesson", self.lessons.hearers(), AUDIO_LESSON_RATE)
        self._speak: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
        self._speak = speaking(self.generator).speak
        if config.compile:
            self._speak = torch.compile(self._speak)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by the name they have in a checkpoint."""
        return {
            "generator": self.generator,
            "average": self.average,
            "autoencoder": self.autoencoder,
            "discriminator": self.discriminator,
            "audio_encoder": self.audio_encoder,
            "flow_encoder": self.flow_encoder,
            **({"lip_reader": self.reader} if self.reader else {}),
            **(self.lessons.networks if self.lessons else {}),
        }

    def state(self) -> dict[str, Any]:
        """Return the state of networks and optimisers."""
        return {
            "networks": {name: net.state_dict() for name, net in self.networks.items()},
            "optimizers": self.optimizers.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state` gave."""
        for name, net in self.networks.items():
            net.load_state_dict(state["networks"][name])
        self.optimizers.load(state["optimizers"])

    def begin_with(self, runs: Mapping[str, dict[str, Any]]) -> None:
        """See `Learner`: one run's lessons; discriminator and correlation encoders begin fresh."""
        if len(runs) != 1:
            raise InputError(f"{len(runs)} runs to begin with; expected one that has the lessons")
        (start, state), *_ = runs.items()
        before, after = to_dict(from_dict(state["config"])), to_dict(self.config)
        changed = [key for key in _BEGINNING if before[key] != after[key]]
        if state["progress"]["step"]:
            changed.append("steps (it has gone beyond its lessons)")
        if changed:
            raise InputError(
                f"{start} cannot begin this run: {', '.join(changed)} differ; expected a finished "
                "run of the same networks and lessons with steps: 0"
            )
        for name in set(self.networks) - {"discriminator", "audio_encoder", "flow_encoder"}:
            self.networks[name].load_state_dict(state["networks"][name])

    def source(self, data: Sequence[str | Path], cache_gib: float) -> BatchSource:
        """See `Learner`."""
        return window_source(self.config, data, cache_gib)

    def phases(self) -> Sequence[Phase]:
        """See `Learner`."""
        config = self.config
        needed = config.loss.perceptual > 0 or config.warm_start
        return (
            Phase("autoencoder", config.autoencoder.steps if needed else 0, self._autoencoder),
            Phase("reading_lesson", config.reading_lesson if self.reader else 0, self._reading),
            Phase("painting_lesson", config.painting_lesson, self._painting),
            Phase("audio_lesson", config.audio_lesson, self._listening),
            Phase("step", config.steps, self._step),
        )

    def watch(self, data: Sequence[str | Path]) -> Callable[[Path], dict[str, float]]:
        """See `Learner`."""
        validation = Validation(data, self.config)
        return lambda strip: validation.look(speaking(self.average), self.device, strip)

    def _autoencoder(self, draw: Draw[BatchSource], step: int) -> dict[str, float]:
        # Four images of each clip's window: variety counts more here than neighbouring frames.
        clips = max(1, self.config.autoencoder.batch // 4)
        return self.autoencoder_step(windows(draw, 1, step, clips), step)

    def _reading(self, draw: Draw[BatchSource], step: int) -> dict[str, float]:
        return self.reading_lesson(windows(draw, 5, step, READ_CLIPS), step)

    def _painting(self, draw: Draw[BatchSource], step: int) -> dict[str, float]:
        batch = windows(draw, 3, step, PAINTED_CLIPS)
        if self.config.warm_start and not step:
            self.warm_start(batch.identity)
        return self.painting_lesson(batch, step)

    def _listening(self, draw: Draw[BatchSource], step: int) -> dict[str, float]:
        drawn = draw.source.spoken(draw.stream(2), step, HEARD_WINDOWS, draw.rank)
        mel, shape = (part.to(draw.device) for part in drawn)
        return self.audio_lesson(mel, shape, step)

    def _step(self, draw: Draw[BatchSource], step: int) -> dict[str, float]:
        config = self.config
        size, parts = config.batch // config.accumulate, range(config.accumulate)
        micro = [windows(draw, 0, step * config.accumulate + part, size) for part in parts]
        if not step:
            if config.warm_start and not config.painting_lesson:
                self.warm_start(micro[0].identity)
            self.begin()
        painting = windows(draw, 4, step, PAINTED_CLIPS) if config.loss.painting else None
        return self.step(micro, step, painting)

    def autoencoder_step(self, batch: Batch, step: int = 0) -> dict[str, float]:
        """Train the perceptual loss's autoencoder on single frames."""
        self.autoencoder.train().requires_grad_(True)
        self.optimizers.fade(
            "autoencoder", self.config.autoencoder.rate, step, self.config.autoencoder.steps
        )
        images = as_images(batch.video)
        keep = torch.arange(0, len(images), max(1, len(images) // self.config.autoencoder.batch))
        images = images[keep.to(images.device)]
        loss = F.l1_loss(self.autoencoder(images), images)
        self.optimizers.minimise("autoencoder", loss)
        return {"autoencoder/l1": float(loss.detach())}

    def warm_start(self, images: Tensor) -> None:
        """Make the generator begin as the trained autoencoder; ``images`` are sample crops."""
        self.autoencoder.eval()
        warm_start(self._taught.generator, self.autoencoder, images)

    def reading_lesson(self, batch: Batch, step: int) -> dict[str, float]:
        """Teach the lip reader the shape of the mouth in real frames."""
        if self.reader is None:
            raise RuntimeError("loss.reading is 0: there is no lip reader to teach")
        self.reader.train().requires_grad_(True)
        self.optimizers.fade("reading_lesson", READING_RATE, step, self.config.reading_lesson)
        loss = misread(self.reader, batch.video, batch.shape)
        self.optimizers.minimise("reading_lesson", loss)
        self.reader.eval().requires_grad_(False)
        return {"reading_lesson/misread": float(loss.detach())}

    def painting_lesson(self, batch: Batch, step: int) -> dict[str, float]:
        """Teach all but the hearing to paint single frames of mouths of known shape."""
        config = self.config
        self.optimizers.fade("painting_lesson", config.painting_rate, step, config.painting_lesson)
        self.autoencoder.eval().requires_grad_(False)
        total, seen = self.picture_loss(*self._taught.painted(batch))
        self.optimizers.minimise("painting_lesson", total, config.clip)
        return {f"painting_lesson/{name}": float(value.detach()) for name, value in seen.items()}

    def audio_lesson(self, mel: Tensor, shape: Tensor, step: int) -> dict[str, float]:
        """Teach the hearing to tell the mouth's shape ``(B, T, SHAPE)`` from log-mel."""
        self.optimizers.fade("audio_lesson", AUDIO_LESSON_RATE, step, self.config.audio_lesson)
        unexplained, unsaid = self._taught.misheard(mel, shape)
        self.optimizers.minimise("audio_lesson", unexplained + unsaid)
        return {
            "audio_lesson/unexplained": float(unexplained.detach()),
            "audio_lesson/unsaid": float(unsaid.detach()),
        }

    @property
    def _taught(self) -> Lessons:
        if self.lessons is None:
            raise RuntimeError(f"a generator of kind {self.config.kind} has no lessons")
        return self.lessons

    def begin(self) -> None:
        """Start the running average where the lessons have led."""
        self.average.load_state_dict(self.generator.state_dict())

    def step(
        self, batches: Sequence[Batch], step: int, painting: Batch | None = None
    ) -> dict[str, float]:
        """Do one step of generator, correlation encoders and discriminator.

        Args:
            batches: the micro-batches whose gradients are accumulated.
            step: number of steps done before.
            painting: what is painted from true shapes beside them.

        Returns:
            The loss terms by name, unweighted, means over the micro-batches.
        """
        self._set_rates(step)
        self.autoencoder.eval().requires_grad_(False)
        self.discriminator.requires_grad_(False)
        terms: dict[str, float] = {}

        def note(seen: dict[str, Tensor]) -> None:
            for name, value in seen.items():
                terms[name] = terms.get(name, 0.0) + float(value.detach()) / len(batches)

        made: list[Pair] = []
        for batch in batches:
            pair = self.objective.pair(batch, *self._speak(batch.mel, batch.identity), step)
            total, seen = self.objective.generator(pair, step)
            (total / len(batches)).backward()  # type: ignore[no-untyped-call]
            made.append(pair.detach())
            note(seen)
        if painting is not None:
            total, seen = self.picture_loss(*self._taught.painted(painting, fixed=True))
            (total * self.config.loss.painting).backward()  # type: ignore[no-untyped-call]
            terms |= {f"painting/{name}": float(value.detach()) for name, value in seen.items()}
        self.optimizers.step("generator", self.config.clip)
        if self.objective.correlates(step):
            self.optimizers.step("correlation")
        follow(self.average, self.generator, self.config.ema)
        if self.objective.adversarial(step):
            self.discriminator.requires_grad_(True)
            for pair in made:
                total, seen = self.objective.judge(pair)
                (total / len(batches)).backward()  # type: ignore[no-untyped-call]
                note(seen)
            self.optimizers.step("discriminator")
        return terms

    def _set_rates(self, step: int) -> None:
        config = self.config
        factor = decayed(step, config.steps, config.warmup, config.decay_from)
        for name in ("generator", "discriminator"):
            self.optimizers.set_rate(name, config.rate * factor)
        self.optimizers.set_rate("correlation", config.correlation_rate * factor)
