"""The paper's four-term objective: how a pair of real and generated video is judged.

``L = correlation + pixel + perceptual + adversarial``, each with its weight; the discriminator
minimises ``real + (fake + mismatched) / 2`` in binary cross-entropy.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .batches import Batch
from .config import LossConfig
from .correlation import AudioDerivativeEncoder, FlowEncoder, correlation_loss
from .discriminator import Discriminator
from .flow import video_flow
from .layers import as_images
from .picture_loss import PictureLoss


@dataclass(frozen=True)
class Pair:
    """A batch and what the generator made of it; the flows where a term needs them.

    ``fake (B,3,T,S,S)`` in [-1, 1], ``heard`` the generator's audio features, flows
    ``(B,2,T-1,S,S)``.
    """

    batch: Batch
    fake: Tensor
    heard: Tensor
    flow: Tensor | None = None
    fake_flow: Tensor | None = None

    def detach(self) -> Pair:
        """Return the pair cut off from the generator."""
        fake_flow = None if self.fake_flow is None else self.fake_flow.detach()
        return Pair(self.batch, self.fake.detach(), self.heard.detach(), self.flow, fake_flow)


@dataclass(frozen=True)
class Objective:
    """The terms, with the networks that judge.

    Attributes:
        config: weights and switches.
        pictures: pixel and perceptual terms.
        audio_encoder: audio features -> a vector over time.
        flow_encoder: optical flow -> a vector over time.
        discriminator: the three streams.
    """

    config: LossConfig
    pictures: PictureLoss
    audio_encoder: AudioDerivativeEncoder
    flow_encoder: FlowEncoder
    discriminator: Discriminator

    def adversarial(self, step: int) -> bool:
        """Whether the discriminator takes part in a step."""
        return self.config.adversarial > 0 and step >= self.config.adversarial_start

    def correlates(self, step: int) -> bool:
        """Whether the correlation takes part in a step."""
        return self.config.correlation > 0 and step >= self.config.correlation_start

    def pair(self, batch: Batch, fake: Tensor, heard: Tensor, step: int) -> Pair:
        """Measure the flows that the terms of a step need, once for all of them."""
        streams = self.adversarial(step) and self.config.flow_stream
        if not (streams or self.correlates(step)):
            return Pair(batch, fake, heard)
        with torch.no_grad():
            flow = video_flow(batch.video)
        return Pair(batch, fake, heard, flow, video_flow(fake))

    def generator(self, pair: Pair, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the generator's weighed loss and its unweighed terms by name."""
        config, batch = self.config, pair.batch
        total, seen = self.pictures(as_images(pair.fake), as_images(batch.video))
        if self.correlates(step) and pair.flow is not None and pair.fake_flow is not None:
            spoken = self.audio_encoder(pair.heard)
            for name, flow in (("real", pair.flow), ("fake", pair.fake_flow)):
                seen[f"correlation/{name}"] = correlation_loss(
                    spoken, self.flow_encoder(flow), centred=config.centred
                )
            both = seen["correlation/real"] + seen["correlation/fake"]
            total = total + config.correlation * both
        if self.adversarial(step):
            mel = batch.mel if config.audio_stream else None
            moved = pair.fake_flow if config.flow_stream else None
            seen["adversarial"] = _score(self.discriminator(pair.fake, moved, mel), 1.0)
            total = total + config.adversarial * seen["adversarial"]
        return total, seen

    def judge(self, pair: Pair) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the discriminator's loss on a detached pair, and its terms by name."""
        config, batch = self.config, pair.batch
        flow, fake_flow = (pair.flow, pair.fake_flow) if config.flow_stream else (None, None)
        real = self.discriminator.look(batch.video, flow)
        made = self.discriminator.look(pair.fake, fake_flow)
        mel = batch.mel if config.audio_stream else None
        seen = {
            "discriminator/real": _score(self.discriminator.judge(real, mel), 1.0),
            "discriminator/fake": _score(self.discriminator.judge(made, mel), 0.0),
        }
        wrong = seen["discriminator/fake"]
        if config.audio_stream:
            mismatched = _score(self.discriminator.judge(real, batch.other_mel), 0.0)
            seen["discriminator/mismatched"] = mismatched
            wrong = 0.5 * (wrong + mismatched)
        return seen["discriminator/real"] + wrong, seen


def _score(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
