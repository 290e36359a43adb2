"""The networks of one run, their four-term objective and one optimisation step.

``L = correlation + pixel + perceptual + adversarial``, each with its weight; the discriminator
minimises ``real + (fake + mismatched) / 2`` in binary cross-entropy.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .autoencoder import LipAutoencoder
from .batches import Batch
from .config import TrainConfig
from .correlation import AudioDerivativeEncoder, FlowEncoder, correlation_loss
from .discriminator import Discriminator
from .flow import video_flow
from .generator import Generator, ShapeHead, warm_start

AUDIO_LESSON_RATE = 2e-3

Reduce = Callable[[Iterable[nn.Parameter]], None]
"""Averages gradients over processes; does nothing when there is one."""


def as_images(video: Tensor) -> Tensor:
    """Fold ``(B, 3, T, H, W)`` to images ``(B*T, 3, H, W)``, channels last."""
    images = video.transpose(1, 2).flatten(0, 1)
    return images.contiguous(memory_format=torch.channels_last)


def feature_error(got: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean squared error of autoencoder features ``(N, C, h, w)``.

    Relative to each channel's spread on real lips: the features' scale is the autoencoder's own
    affair, and unscaled a few loud channels drown every other term.
    """
    wanted = wanted.float()
    spread = wanted.var(dim=(0, 2, 3), keepdim=True) + 1e-3
    return ((got.float() - wanted).square() / spread).mean()


def _score(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


class Learner:
    """Everything that a run trains, and how.

    Args:
        config: the run.
        device: where the networks live.
        reduce: averages gradients over processes before each optimiser step.
    """

    def __init__(self, config: TrainConfig, device: torch.device, reduce: Reduce) -> None:
        self.config, self.device, self.reduce = config, device, reduce
        loss = config.loss
        self.generator = Generator(config.generator).to(
            device,
            memory_format=torch.channels_last,  # type: ignore[call-overload]
        )
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.autoencoder = LipAutoencoder(config.autoencoder).to(
            device,
            memory_format=torch.channels_last,  # type: ignore[call-overload]
        )
        self.discriminator = Discriminator(
            config.discriminator_width, flow_stream=loss.flow_stream, audio_stream=loss.audio_stream
        ).to(device)
        self.audio_encoder = AudioDerivativeEncoder(
            config.generator.width * 4, config.correlation_width, derivative=loss.derivative
        ).to(device)
        self.flow_encoder = FlowEncoder(config.correlation_width).to(device)
        self.shape_head = ShapeHead(config.generator.width * 4).to(device)
        correlation = [*self.audio_encoder.parameters(), *self.flow_encoder.parameters()]
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "generator": torch.optim.Adam(
                self.generator.parameters(), config.rate, betas=config.betas
            ),
            "discriminator": torch.optim.Adam(
                self.discriminator.parameters(), config.rate, betas=config.betas
            ),
            "correlation": torch.optim.Adam(
                correlation,
                config.correlation_rate,
                betas=config.betas,
                weight_decay=config.correlation_weight_decay,
            ),
            "autoencoder": torch.optim.Adam(self.autoencoder.parameters(), config.autoencoder.rate),
            "audio_lesson": torch.optim.Adam(
                [*self.generator.audio.parameters(), *self.shape_head.parameters()],
                AUDIO_LESSON_RATE,
            ),
            "latent_lesson": torch.optim.Adam(self.generator.parameters(), config.latent_rate),
        }
        self._speak: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = self.generator.speak
        self._latent: Callable[[Tensor, Tensor], Tensor] = self.generator.latent
        if config.compile:
            self._speak = torch.compile(self.generator.speak)
            self._latent = torch.compile(self.generator.latent)

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
            "shape_head": self.shape_head,
        }

    def state(self) -> dict[str, Any]:
        """Return the state of networks and optimisers."""
        return {
            "networks": {name: net.state_dict() for name, net in self.networks.items()},
            "optimizers": {name: opt.state_dict() for name, opt in self.optimizers.items()},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state` gave."""
        for name, net in self.networks.items():
            net.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])

    def autoencoder_step(self, batch: Batch, step: int = 0) -> dict[str, float]:
        """Train the perceptual loss's autoencoder on single frames."""
        self.autoencoder.train().requires_grad_(True)
        self._fade("autoencoder", self.config.autoencoder.rate, step, self.config.autoencoder.steps)
        images = as_images(batch.video)
        keep = torch.arange(0, len(images), max(1, len(images) // self.config.autoencoder.batch))
        images = images[keep.to(images.device)]
        loss = F.l1_loss(self.autoencoder(images), images)
        self._update("autoencoder", self.autoencoder.parameters(), loss)
        return {"autoencoder/l1": float(loss.detach())}

    def warm_start(self, images: Tensor) -> None:
        """Make the generator begin as the trained autoencoder; ``images`` are sample crops."""
        self.autoencoder.eval()
        warm_start(self.generator, self.autoencoder, images)

    def audio_lesson(self, mel: Tensor, shape: Tensor, step: int) -> dict[str, float]:
        """Teach the audio encoder to tell the mouth's shape ``(B, T, SHAPE)`` from log-mel."""
        self._fade("audio_lesson", AUDIO_LESSON_RATE, step, self.config.audio_lesson)
        told = self.shape_head(self.generator.audio(mel))
        loss = (told - shape).square().mean() / shape.square().mean()
        parameters = [*self.generator.audio.parameters(), *self.shape_head.parameters()]
        self._update("audio_lesson", parameters, loss)
        return {"audio_lesson/unexplained": float(loss.detach())}

    def latent_lesson(self, batch: Batch, step: int) -> dict[str, float]:
        """Teach everything before the painting to give the features of the wanted frames."""
        self._fade("latent_lesson", self.config.latent_rate, step, self.config.latent_lesson)
        self.autoencoder.eval().requires_grad_(False)
        with torch.no_grad():
            wanted = self.autoencoder.features(as_images(batch.video))
        got = self._latent(batch.mel, batch.identity)
        loss = feature_error(got, wanted)
        self._update("latent_lesson", self.generator.parameters(), loss, self.config.clip)
        return {"latent_lesson/perceptual": float(loss.detach())}

    def begin(self) -> None:
        """Start the running average where the lessons have led."""
        self.average.load_state_dict(self.generator.state_dict())

    def step(self, batches: Sequence[Batch], step: int) -> dict[str, float]:
        """Do one step of generator, correlation encoders and discriminator.

        Args:
            batches: the micro-batches whose gradients are accumulated.
            step: number of steps done before.

        Returns:
            The loss terms by name, unweighted, means over the micro-batches.
        """
        loss = self.config.loss
        adversarial = loss.adversarial > 0 and step >= loss.adversarial_start
        correlation = loss.correlation > 0 and step >= loss.correlation_start
        self._set_rates(step)
        self.autoencoder.eval().requires_grad_(False)
        self.discriminator.requires_grad_(False)
        terms: dict[str, float] = {}
        made: list[tuple[Batch, Tensor, Tensor | None, Tensor | None]] = []
        for batch in batches:
            fake, total, seen = self._generator_loss(batch, adversarial, correlation)
            (total / len(batches)).backward()  # type: ignore[no-untyped-call]
            flows = (seen.pop(name, None) for name in ("_flow", "_fake_flow"))
            real_flow, fake_flow = (None if flow is None else flow.detach() for flow in flows)
            made.append((batch, fake.detach(), real_flow, fake_flow))
            for name, value in seen.items():
                terms[name] = terms.get(name, 0.0) + float(value.detach()) / len(batches)
        self._apply("generator", self.generator.parameters(), self.config.clip)
        if correlation:
            encoders = [*self.audio_encoder.parameters(), *self.flow_encoder.parameters()]
            self._apply("correlation", encoders)
        self._follow()
        if adversarial:
            self.discriminator.requires_grad_(True)
            for pair in made:
                for name, value in self._discriminator_loss(*pair).items():
                    if name == "discriminator":
                        (value / len(batches)).backward()  # type: ignore[no-untyped-call]
                    terms[name] = terms.get(name, 0.0) + float(value.detach()) / len(batches)
            self._apply("discriminator", self.discriminator.parameters())
        return terms

    def _generator_loss(
        self, batch: Batch, adversarial: bool, correlation: bool
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        loss = self.config.loss
        fake, heard = self._speak(batch.mel, batch.identity)
        total = torch.zeros((), device=self.device)
        seen: dict[str, Tensor] = {}
        seen["pixel"] = F.l1_loss(fake, batch.video)
        total = total + loss.pixel * seen["pixel"]
        if loss.square:
            seen["square"] = F.mse_loss(fake, batch.video)
            total = total + loss.square * seen["square"]
        if loss.perceptual:
            with torch.no_grad():
                wanted = self.autoencoder.features(as_images(batch.video))
            got = self.autoencoder.features(as_images(fake))
            seen["perceptual"] = feature_error(got, wanted)
            total = total + loss.perceptual * seen["perceptual"]
        fake_flow = None
        if correlation or (adversarial and loss.flow_stream):
            fake_flow = seen["_fake_flow"] = video_flow(fake)
            with torch.no_grad():
                seen["_flow"] = video_flow(batch.video)
        if correlation and fake_flow is not None:
            spoken = self.audio_encoder(heard)
            for name, flow in (("real", seen["_flow"]), ("fake", fake_flow)):
                seen[f"correlation/{name}"] = correlation_loss(
                    spoken, self.flow_encoder(flow), centred=loss.centred
                )
            total = total + loss.correlation * (seen["correlation/real"] + seen["correlation/fake"])
        if adversarial:
            mel = batch.mel if loss.audio_stream else None
            logits = self.discriminator(fake, fake_flow if loss.flow_stream else None, mel)
            seen["adversarial"] = _score(logits, 1.0)
            total = total + loss.adversarial * seen["adversarial"]
        return fake, total, seen

    def _discriminator_loss(
        self, batch: Batch, fake: Tensor, real_flow: Tensor | None, fake_flow: Tensor | None
    ) -> dict[str, Tensor]:
        loss = self.config.loss
        if not loss.flow_stream:
            real_flow = fake_flow = None
        real = self.discriminator.look(batch.video, real_flow)
        made = self.discriminator.look(fake, fake_flow)
        mel = batch.mel if loss.audio_stream else None
        out = {
            "discriminator/real": _score(self.discriminator.judge(real, mel), 1.0),
            "discriminator/fake": _score(self.discriminator.judge(made, mel), 0.0),
        }
        wrong = out["discriminator/fake"]
        if loss.audio_stream:
            out["discriminator/mismatched"] = _score(
                self.discriminator.judge(real, batch.other_mel), 0.0
            )
            wrong = 0.5 * (wrong + out["discriminator/mismatched"])
        out["discriminator"] = out["discriminator/real"] + wrong
        return out

    def _set_rates(self, step: int) -> None:
        config = self.config
        start = config.decay_from * config.steps
        left = (config.steps - step) / max(1.0, config.steps - start)
        factor = max(0.02, min(1.0, left, (step + 1) / max(1, config.warmup)))
        for name, base in (
            ("generator", config.rate),
            ("discriminator", config.rate),
            ("correlation", config.correlation_rate),
        ):
            for group in self.optimizers[name].param_groups:
                group["lr"] = base * factor

    def _fade(self, name: str, rate: float, step: int, steps: int) -> None:
        """Let a lesson's rate rise over 20 steps and fall linearly to a twentieth."""
        factor = max(0.05, min(1.0 - step / max(1, steps), (step + 1) / 20))
        for group in self.optimizers[name].param_groups:
            group["lr"] = rate * factor

    def _update(
        self, name: str, parameters: Iterable[nn.Parameter], loss: Tensor, clip: float = 0.0
    ) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        self._apply(name, parameters, clip)

    def _apply(self, name: str, parameters: Iterable[nn.Parameter], clip: float = 0.0) -> None:
        parameters = list(parameters)
        self.reduce(parameters)
        if clip:
            nn.utils.clip_grad_norm_(parameters, clip)
        self.optimizers[name].step()
        self.optimizers[name].zero_grad(set_to_none=True)

    @torch.no_grad()
    def _follow(self) -> None:
        decay = self.config.ema
        for slow, fast in zip(
            self.average.state_dict().values(), self.generator.state_dict().values(), strict=True
        ):
            if slow.dtype.is_floating_point:
                slow.lerp_(fast, 1.0 - decay)
            else:
                slow.copy_(fast)
