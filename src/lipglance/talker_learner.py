"""Hearing and painting that learn together: what is heard is judged by the pictures it makes.

Points lose what pixels teach: they come from a mesh that is itself a guess, and a mouth that is
heard wrongly is painted wrongly without anyone saying so. So a `MotionNet` and a `RendererNet` that
were trained apart go on together: sequences are heard, some of their frames are made of another
frame of the clip, and the error of these goes back through the flow to the ear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .config import TrainConfig
from .crop import CropConfig
from .errors import InputError
from .face_points import LOWER_FACE, MOUTH_20
from .flow_field import FlowField
from .learner import Draw, Phase
from .motion_batches import MotionBatch
from .motion_learner import UNIT, MotionLearner
from .mouth_warp import FLOW_GAIN, WARP_POINTS, mouth_maps
from .optimizers import Reduce
from .renderer_batches import RendererBatch
from .renderer_learner import RendererLearner
from .renderer_net import warped
from .sync_export import load_sync_net
from .sync_learner import SHIFTS
from .sync_net import SyncNet
from .talker_batches import Pictures, TalkerSource

PARTS = {"motion": "hearing", "renderer": "painting", "look": "seeing", "sync": "judging"}
"""What each kind of run that a talker begins with becomes."""

_MOUTH = [WARP_POINTS.index(point) for point in MOUTH_20]


class TalkerLearner:
    """Trains a motion run's and a renderer run's networks on.

    Args:
        config: the run.
        device: where the networks live.
        reduce: averages gradients over processes before each step.
    """

    def __init__(self, config: TrainConfig, device: torch.device, reduce: Reduce) -> None:
        self.config, self.device = config, device
        self.hearing = MotionLearner(config, device, reduce)
        self.painting = RendererLearner(config, device, reduce)
        self._flow = FlowField(config.renderer.size, device)
        self._judging: dict[str, Any] | None = None
        self._judge: SyncNet | None = None

    def source(self, data: Sequence[str | Path], cache_gib: float) -> TalkerSource:
        """See `Learner`; InputError where a new run begins with nothing."""
        if self.hearing.seeing is None:
            raise InputError(
                "a talker begins with a motion run and a renderer run, or a model such as glance; "
                "give them as --begin-with"
            )
        seen = self.hearing.known(), self.hearing.look()
        if self.config.talker.reading:
            self.painting.reader = self.hearing.sees()
        if self.config.talker.sync and self._judge is None:
            raise InputError(
                "nobody judges whether lips go with their sound; give a sync expert's run as "
                "--begin-with, or talker.sync=0"
            )
        return TalkerSource(data, "train", self.config, *seen, cache_gib)

    def phases(self) -> Sequence[Phase]:
        """See `Learner`."""
        return (
            Phase("critic", self.painting.critic_first, self._critic_lesson),
            Phase("step", self.config.steps, self._step),
        )

    def state(self) -> dict[str, Any]:
        """See `Learner`: by the names in `PARTS`."""
        halves = {"hearing": self.hearing.state(), "painting": self.painting.state()}
        return halves | {"judging": self._judging}

    def load(self, state: dict[str, Any]) -> None:
        """See `Learner`."""
        self.hearing.load(state["hearing"])
        self.painting.load(state["painting"])
        if state["judging"] is not None:
            self._judged_by(state["judging"])

    def begin_with(self, runs: Mapping[str, dict[str, Any]]) -> None:
        """See `Learner`: a motion run and a renderer run, or a talker; they go on from averages.

        A run of one part beside a talker takes the place of that part, a look's that of what the
        motion run began with; a sync expert's judges what is made.
        """
        kinds = [run["config"]["kind"] for run in runs.values()]
        found: dict[str, dict[str, Any]] = {}
        for run in runs.values():
            if run["config"]["kind"] == "talker":
                found |= {part: run[part] for part in PARTS.values() if run.get(part)}
        # What is named by itself takes the place of a talker's.
        found |= {
            PARTS.get(kind, kind): run
            for kind, run in zip(kinds, runs.values(), strict=True)
            if kind != "talker"
        }
        twice = len(set(kinds)) < len(kinds)
        if twice or not {"hearing", "painting"} <= set(found) <= {*PARTS.values()}:
            raise InputError(
                f"runs of {', '.join(kinds)} to begin with; expected one of motion and one of "
                "renderer, or one of talker or a model; beside a talker, of what is to take its "
                "parts' place, one of each at most, and for talker.sync one of sync"
            )
        try:
            self.hearing.take_over(found["hearing"])
            self.painting.take_over(found["painting"])
        except (RuntimeError, KeyError) as error:
            raise InputError(
                f"{', '.join(runs)}: networks of other sizes than the config's "
                f"({str(error).splitlines()[0]}); give it the same motion and renderer sections"
            ) from error
        if "seeing" in found:
            self.hearing.see_with(found["seeing"])
        if "judging" in found:
            self._judged_by(found["judging"])

    def _judged_by(self, run: dict[str, Any]) -> None:
        self._judging = {name: run[name] for name in ("config", "networks")}
        self._judge = load_sync_net(run).requires_grad_(False).to(self.device)

    @torch.no_grad()
    def _critic_lesson(self, draw: Draw[TalkerSource], step: int) -> dict[str, float]:
        batch, pictures = draw.source.batch(draw.stream(1), step, self.config.batch, draw.rank)
        batch, pictures = batch.to(draw.device), pictures.to(draw.device)
        driven = self._told(self.hearing.said(batch, average=True), pictures, step)
        with torch.enable_grad():
            return self.painting.critic_lesson(self.shown(pictures, driven), step)

    def _step(self, draw: Draw[TalkerSource], step: int) -> dict[str, float]:
        batch, pictures = draw.source.batch(draw.stream(0), step, self.config.batch, draw.rank)
        return self.step(batch.to(draw.device), pictures.to(draw.device), step)

    def step(self, batch: MotionBatch, pictures: Pictures, step: int) -> dict[str, float]:
        """Do one step; return the terms of the loss by name, unweighted."""
        config, hearing = self.config, self.hearing
        self.painting.net.train()
        hearing.net.train(config.talker.hearing)
        with torch.set_grad_enabled(config.talker.hearing):
            said = hearing.said(batch)
            heard = hearing.terms(said, batch)
        driven = self._told(said, pictures, step)
        astray = (driven - pictures.driven)[:, _MOUTH].detach()
        judge, matched = self._judge, None
        if judge is not None and config.talker.sync:

            def matched(made: Tensor) -> Tensor:
                return out_of_sync(judge, made, batch.mel, pictures)

        total, painted = self.painting.judged(self.shown(pictures, driven), step, astray, matched)
        if config.talker.hearing:
            total = total + config.talker.points * hearing.weighted(heard)
        total.backward()  # type: ignore[no-untyped-call]
        if config.talker.hearing:
            hearing.descend(step)
        self.painting.descend()
        return {name: float(value.detach()) for name, value in (heard | painted).items()}

    def _told(self, said: Tensor, pictures: Pictures, step: int) -> Tensor:
        """Where the points are told to be: as heard, of some as they are.

        So that painting goes on doing as it is told.
        """
        draw = torch.Generator().manual_seed(self.config.seed + step)
        luck = torch.rand(len(pictures.row), generator=draw)
        if self.config.talker.sync:
            # Of frames that follow each other all or none: lips do not jump.
            luck = luck[pictures.row.cpu()]
        told = (luck < self.config.talker.told).to(said.device)
        return torch.where(told[:, None, None], pictures.driven, self.driven(said, pictures))

    def driven(self, said: Tensor, pictures: Pictures) -> Tensor:
        """Where codes ``(B, T, K)`` put the pictures' points, ``(N, len(WARP_POINTS), 2)`` px."""
        row, frame = pictures.row, pictures.frame
        code = (said[row, frame] - pictures.given).float()
        change = torch.einsum("nk,kpc->npc", code, self.hearing.components / UNIT)
        lower = pictures.points[:, : len(LOWER_FACE)] + change @ pictures.unit.transpose(1, 2)
        return torch.cat([lower, pictures.driven[:, len(LOWER_FACE) :]], 1)

    def shown(self, pictures: Pictures, driven: Tensor) -> RendererBatch:
        """What the renderer sees of pictures whose points go to ``(N, len(WARP_POINTS), 2)`` px.

        As `mouth_warp.net_inputs`, with gradients through the flow. The wanted mouth's maps are
        those of `driven` and of the truth together: there errors count more.
        """
        size = self.config.renderer.size
        flow = self._flow(pictures.points, driven)
        wanted = self._maps(driven)
        given, true = pictures.mouths[:, :2], pictures.mouths[:, 2:]
        moved = warped(pictures.source, flow)
        told = flow * (FLOW_GAIN / size)
        seen = torch.cat([moved, pictures.source, wanted, given, told], 1)
        return RendererBatch(
            seen, flow, pictures.source, pictures.wanted, torch.maximum(wanted, true)
        )

    def _maps(self, points: Tensor) -> Tensor:
        places = points.detach().double().cpu().numpy()
        drawn = np.stack([mouth_maps(p, self.config.renderer.size) for p in places])
        return torch.from_numpy(drawn).to(self.device)

    def watch(self, data: Sequence[str | Path]) -> Callable[[Path], dict[str, float]]:
        """See `Learner`: both halves'; the picture is the painting's."""
        looks = self.hearing.watch(data), self.painting.watch(data)

        def look(picture: Path) -> dict[str, float]:
            tracks = picture.with_name(f"{picture.stem}-tracks.png")
            return looks[0](tracks) | looks[1](picture)

        return look


def out_of_sync(judge: SyncNet, made: Tensor, mel: Tensor, pictures: Pictures) -> Tensor:
    """How far a judge is from knowing that made frames go with their sound and no other near it.

    The cross-entropy of the true shift among `SHIFTS`, mean over runs.

    Args:
        judge: of lips and sound.
        made: ``(N, 3, S, S)`` in [-1, 1], runs of frames one after the other.
        mel: ``(B, 4T, 128)`` of the sequences.
        pictures: whose frames they are.
    """
    starts = F.pad((pictures.row.diff() != 0).nonzero()[:, 0] + 1, (1, 0))
    shown = lips_of(made)
    lips = judge.lips(shown.view(len(starts), -1, *shown.shape[1:]))
    sound, count = judge.sound(mel[:, None]), lips.shape[1]
    row, first = pictures.row[starts], pictures.frame[starts]
    shift = torch.tensor(SHIFTS, device=first.device)
    at = first[:, None] + shift
    known = (at >= 0) & (at + count <= sound.shape[1])
    places = at.clamp(0, sound.shape[1] - count)[..., None] + torch.arange(
        count, device=first.device
    )
    near = sound[row[:, None, None], places]
    alike = (lips[:, None] * near).sum(-1).mean(-1) * judge.scale
    return F.cross_entropy(alike.masked_fill(~known, -1e4), torch.zeros_like(first))


def lips_of(faces: Tensor) -> Tensor:
    """Lip crops ``(N, 3, 64, 64)`` of face crops ``(N, 3, S, S)``, as `CropConfig` cuts both."""
    size = faces.shape[-1]
    side = CropConfig()
    cut = faces[..., : size * 3 // 4, size // 8 : size - size // 8]
    return F.interpolate(cut, (side.size, side.size), mode="bilinear", antialias=True)
