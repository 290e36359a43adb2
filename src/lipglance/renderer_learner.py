"""How the renderer is trained: pairs of frames of one person, the second made from the first."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .config import TrainConfig
from .errors import InputError
from .layers import channels_last, follow
from .learner import Draw, Phase
from .look_net import LookNet
from .mouth_warp import window
from .optimizers import Optimizers, Reduce, decayed
from .renderer_batches import RendererBatch, RendererSource, pair, stacked
from .renderer_critic import RendererCritic, critic_loss, painter_loss
from .renderer_net import RendererNet, rendered

CRITIC_RATE = 1e-3
"""Of the critic while the painter stands still."""
LOOKED_AT = (0.2, 0.45, 0.7, 0.95)
"""Frames of a validation clip that are made of its first, as shares of its length."""


class RendererLearner:
    """Trains a `RendererNet`.

    Args:
        config: the run.
        device: where the network lives.
        reduce: averages gradients over processes before each step.

    Attributes:
        reader: reads the mouths of what is painted, for `TalkerConfig.reading`; None: nobody does.
    """

    def __init__(self, config: TrainConfig, device: torch.device, reduce: Reduce) -> None:
        self.config, self.device = config, device
        self.net = RendererNet(config.renderer).to(device)
        channels_last(self.net)
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.window = torch.from_numpy(window(config.renderer.size)).to(device)
        self.optimizers = Optimizers(reduce)
        self.optimizers.add("renderer", self.net.parameters(), config.rate, config.betas)
        self.critic: RendererCritic | None = None
        if config.renderer.critic or config.renderer.likeness:
            self.critic = RendererCritic(
                config.renderer.critic_width, config.renderer.critic_gain
            ).to(device)
            channels_last(self.critic)
            self.optimizers.add("critic", self.critic.parameters(), config.rate, (0.0, 0.99))
        self.reader: LookNet | None = None
        self._say: Callable[[Tensor], Tensor] = self.net
        if config.compile:
            self._say = torch.compile(self.net)

    def source(self, data: Sequence[str | Path], cache_gib: float) -> RendererSource:
        """See `Learner`."""
        return RendererSource(data, "train", self.config, cache_gib)

    def phases(self) -> Sequence[Phase]:
        """See `Learner`."""
        return (
            Phase("critic", self.critic_first, self._critic_lesson),
            Phase("step", self.config.steps, self._step),
        )

    @property
    def critic_first(self) -> int:
        """Steps in which the critic learns before all else, if there is one."""
        return 0 if self.critic is None else self.config.renderer.critic_first

    def state(self) -> dict[str, Any]:
        """See `Learner`."""
        networks = {"renderer": self.net.state_dict(), "average": self.average.state_dict()}
        if self.critic is not None:
            networks["critic"] = self.critic.state_dict()
        return {"networks": networks, "optimizers": self.optimizers.state()}

    def load(self, state: dict[str, Any]) -> None:
        """See `Learner`."""
        self.net.load_state_dict(state["networks"]["renderer"])
        self.average.load_state_dict(state["networks"]["average"])
        if self.critic is not None:
            self.critic.load_state_dict(state["networks"]["critic"])
        self.optimizers.load(state["optimizers"])

    def begin_with(self, runs: Mapping[str, dict[str, Any]]) -> None:
        """See `Learner`: another renderer, or a talker's or a model's."""
        kinds = [run["config"]["kind"] for run in runs.values()]
        if kinds not in (["renderer"], ["talker"]):
            raise InputError(
                f"runs of {', '.join(kinds)} to begin with; expected one of renderer or of talker"
            )
        (run,) = runs.values()
        self.take_over(run if kinds == ["renderer"] else run["painting"])

    def _critic_lesson(self, draw: Draw[RendererSource], step: int) -> dict[str, float]:
        batch = draw.source.batch(draw.stream(1), step, self.config.batch, draw.rank)
        return self.critic_lesson(batch.to(draw.device), step)

    def _step(self, draw: Draw[RendererSource], step: int) -> dict[str, float]:
        batch = draw.source.batch(draw.stream(0), step, self.config.batch, draw.rank)
        return self.step(batch.to(draw.device), step)

    def critic_lesson(self, batch: RendererBatch, step: int) -> dict[str, float]:
        """Teach the critic alone to tell what the painter makes now; see `critic_first`.

        A critic that knows nothing yet lets a painter go on without it: away from fine teeth.
        """
        if self.critic is None:
            raise RuntimeError("renderer.critic and likeness are 0: there is no critic to teach")
        self.optimizers.fade("critic", CRITIC_RATE, step, self.config.renderer.critic_first)
        seen = batch.seen.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            made, _ = rendered(self.average(seen), seen, batch.flow, self.window)
        return {"critic/hinge": float(self._sharpened(self.critic, made, batch).detach())}

    def step(self, batch: RendererBatch, step: int) -> dict[str, float]:
        """Do one step; return the terms of the loss by name, unweighted."""
        self.net.train()
        total, terms = self.judged(batch, step)
        total.backward()  # type: ignore[no-untyped-call]
        self.descend()
        return {name: float(value.detach()) for name, value in terms.items()}

    def judged(
        self,
        batch: RendererBatch,
        step: int,
        astray: Tensor | None = None,
        matched: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Make a batch's frames; return the loss and its terms, unweighted. The critic learns.

        astray: ``(B, 20, 2)`` px, how far from the truth the mouths' points were told to be.
        matched: says how badly made frames ``(B, 3, S, S)`` go with their sound; the term ``sync``.
        """
        config = self.config
        factor = decayed(step, config.steps, config.warmup, config.decay_from)
        self.optimizers.set_rate("renderer", config.rate * factor)
        seen = batch.seen.contiguous(memory_format=torch.channels_last)
        made, moved = rendered(self._say(seen), seen, batch.flow, self.window)
        terms = self.terms(made, moved, batch)
        weights = config.renderer
        total = terms["l1"] + weights.edges * terms["edges"] + weights.moved * terms["moved"]
        if self.reader is not None:
            terms["reading"] = _misread(self.reader, made, batch.wanted, astray)
            total = total + config.talker.reading * terms["reading"]
        if matched is not None:
            terms["sync"] = matched(made)
            total = total + config.talker.sync * terms["sync"]
        if self.critic is not None and step >= weights.critic_start:
            self.optimizers.set_rate("critic", config.rate * factor)
            terms |= self._criticised(self.critic, made, batch)
            if step >= weights.critic_start + weights.critic_alone:
                total = total + weights.critic * terms["false"]
                total = total + weights.likeness * terms["likeness"]
        return total, terms

    def descend(self) -> None:
        """Do a step with the gradients there are; the average follows."""
        self.optimizers.step("renderer", self.config.clip)
        follow(self.average, self.net, self.config.ema)

    def take_over(self, state: dict[str, Any]) -> None:
        """Begin as the running average of a renderer's state, and with its critic if it has one."""
        networks = state["networks"]
        for net in (self.net, self.average):
            net.load_state_dict(networks["average"])
        if self.critic is not None and "critic" in networks:
            self.critic.load_state_dict(networks["critic"])

    def terms(self, made: Tensor, moved: Tensor, batch: RendererBatch) -> dict[str, Tensor]:
        """Compare frames ``(B, 3, S, S)`` with the wanted ones; the mouth counts more.

        Returns:
            ``l1`` of the frames, ``edges`` the L1 of differences between neighbouring pixels,
            ``moved`` the L1 of the picture moved but not painted over, away from the open mouth:
            what can be moved is to be moved, not painted.
        """
        inner, lips = batch.mouth[:, :1].float(), batch.mouth[:, 1:].float()
        weight = 1.0 + self.config.renderer.mouth * torch.maximum(inner, lips)
        weight = weight / weight.mean()
        error = (made - batch.wanted) * weight
        edges = [(error.diff(dim=axis)).abs().mean() for axis in (2, 3)]
        closed = weight * (1.0 - inner)
        return {
            "l1": error.abs().mean(),
            "edges": edges[0] + edges[1],
            "moved": ((moved - batch.wanted).abs() * closed).mean(),
        }

    def _criticised(
        self, critic: RendererCritic, made: Tensor, batch: RendererBatch
    ) -> dict[str, Tensor]:
        """Let the critic learn from frames ``(B, 3, S, S)``; return what it says of them."""
        maps, judged = batch.mouth, self._sharpened(critic, made.detach(), batch)
        with torch.no_grad():
            real = critic(batch.wanted, maps)
        false, likeness = painter_loss(critic(made, maps), real)
        return {"false": false, "likeness": likeness, "critic": judged}

    def _sharpened(self, critic: RendererCritic, made: Tensor, batch: RendererBatch) -> Tensor:
        """Do the critic's step on frames ``(B, 3, S, S)``; return its loss."""
        critic.train().requires_grad_(True)
        judged = critic_loss(critic(batch.wanted, batch.mouth)[-1], critic(made, batch.mouth)[-1])
        self.optimizers.minimise("critic", judged)
        critic.requires_grad_(False)
        return judged

    def watch(self, data: Sequence[str | Path]) -> Callable[[Path], dict[str, float]]:
        """See `Learner`: later frames of validation clips made from their first.

        The picture has rows of four: the given picture, the wanted frame, moved only, made.
        """
        try:
            source, prefix = RendererSource(data, "val", self.config, plain=True), ""
        except InputError:
            source, prefix = RendererSource(data, "train", self.config, plain=True), "train_"
        batch = self._looked_at(source)
        return lambda picture: self._look(batch, prefix, picture)

    def _looked_at(self, source: RendererSource, clips: int = 32) -> RendererBatch:
        items = []
        for index in np.linspace(0, len(source.samples) - 1, clips).round().astype(int):
            clip = source.clip(int(index))
            if clip is None:
                continue
            first = clip.seen[0]
            others = [int(clip.seen[int(share * (len(clip.seen) - 1))]) for share in LOOKED_AT]
            pictures, points, _ = source.views(clip, int(first), others, np.random.default_rng(0))
            for shown, at in zip(pictures[1:], points[1:], strict=True):
                items.append(pair(pictures[0], shown, points[0], at))
        return stacked(items)

    @torch.no_grad()
    def _look(self, batch: RendererBatch, prefix: str, picture: Path) -> dict[str, float]:
        scores: dict[str, list[float]] = {}
        rows = []
        for start in range(0, len(batch.seen), 16):
            part = RendererBatch(*(x[start : start + 16] for x in vars(batch).values())).to(
                self.device
            )
            made, moved = rendered(self.average(part.seen), part.seen, part.flow, self.window)
            mouth = part.mouth.amax(1, keepdim=True)
            for name, frames in (("still", part.source), ("moved", moved), ("made", made)):
                error = (frames - part.wanted).abs()
                scores.setdefault(f"{name}_l1", []).append(float(error.mean()))
                share = (error * mouth).sum() / (3 * mouth.sum()).clamp(min=1e-3)
                scores.setdefault(f"{name}_mouth_l1", []).append(float(share))
            shown = torch.cat([part.source, part.wanted, moved, made], 3)[1::4]
            rows += list(((shown + 1) * 127.5).round().clamp(0, 255).byte().cpu().numpy())
        sheet = np.concatenate([row.transpose(1, 2, 0) for row in rows[:16]], 0)
        halves = np.array_split(sheet, 2, 0)
        part_file = picture.with_suffix(".part.png")
        if halves[0].shape == halves[1].shape:
            sheet = np.concatenate(halves, 1)
        cv2.imwrite(str(part_file), sheet[..., ::-1])
        part_file.replace(picture)
        return {prefix + name: float(np.mean(values)) for name, values in scores.items()}


def _misread(reader: LookNet, made: Tensor, wanted: Tensor, astray: Tensor | None) -> Tensor:
    """How far mouths in frames ``(B, 3, S, S)`` are read from where they should be (Huber's loss).

    That is where those of the wanted frames are read, or `astray` from there: who is told something
    else shall paint that, and not what would be likelier.
    """
    with torch.no_grad():
        true = reader.read(wanted)
        if astray is not None:
            true = true + astray
    return F.smooth_l1_loss(reader.read(made), true, beta=0.5)
