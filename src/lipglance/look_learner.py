"""How a look at a mouth is learnt: from mesh points, whose trembling a picture does not tell."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .audio import AudioConfig, log_mel
from .config import TrainConfig, from_dict
from .errors import InputError
from .face_points import LIPS, LOWER_FACE
from .face_shape import ShapeBasis
from .layers import channels_last, follow
from .learner import Draw, Phase
from .look_batches import Hear, LookBatch, LookSource
from .look_net import LookNet
from .motion_net import load_hearing
from .optimizers import Optimizers, Reduce, decayed

CROP_PX = 90.0
"""Px of the evaluation's 64-px crop to the distance of the eyes, for an average face."""
LOOKED_AT = 800
"""Validation frames."""


class LookLearner:
    """Trains a `LookNet`.

    Args:
        config: the run.
        device: where the network lives.
        reduce: averages gradients over processes before each step.
    """

    def __init__(self, config: TrainConfig, device: torch.device, reduce: Reduce) -> None:
        self.config, self.device = config, device
        self.net = LookNet(config.look, config.motion.codes, config.renderer.size).to(device)
        channels_last(self.net)
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.basis: ShapeBasis | None = None
        self.hearing: dict[str, Any] | None = None
        self._solved = False
        self.optimizers = Optimizers(reduce)
        learnt = [p for name, p in self.net.named_parameters() if not name.startswith("rest.")]
        self.optimizers.add("look", learnt, config.rate, config.betas, 1e-4)

    def source(self, data: Sequence[str | Path], cache_gib: float) -> LookSource:
        """See `Learner`; the first call of a new run solves what is linear."""
        source = LookSource(data, "train", self.config, self.basis, self._hear(), cache_gib)
        if not self._solved:
            for net in (self.net, self.average):
                net.rest.solve(*source.everything(), self.config.look.ridge)
        self._solved = True
        self._use(source.basis)
        return source

    def _hear(self) -> Hear | None:
        """What was begun with, as something that hears a whole clip."""
        if self.hearing is None:
            return None
        net = load_hearing(self.hearing).to(self.device)

        @torch.no_grad()
        def hear(sound: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
            mel = torch.from_numpy(log_mel(sound, AudioConfig(), frames))[None].to(self.device)
            codes, _ = net(net.padded(mel), net.silence(1, mel.device))
            return np.asarray(codes[0].float().cpu().numpy(), np.float32)

        return hear

    def phases(self) -> Sequence[Phase]:
        """See `Learner`."""
        return (Phase("step", self.config.steps, self._step),)

    def state(self) -> dict[str, Any]:
        """See `Learner`."""
        if self.basis is None:
            raise RuntimeError("no basis yet; open the data first")
        return {
            "networks": {"look": self.net.state_dict(), "average": self.average.state_dict()},
            "optimizers": self.optimizers.state(),
            "basis": basis_state(self.basis),
            "hearing": self.hearing,
        }

    def load(self, state: dict[str, Any]) -> None:
        """See `Learner`."""
        self.net.load_state_dict(state["networks"]["look"])
        self.average.load_state_dict(state["networks"]["average"])
        self.optimizers.load(state["optimizers"])
        self.hearing, self._solved = state["hearing"], True
        self._use(read_basis(state))

    def begin_with(self, runs: Mapping[str, dict[str, Any]]) -> None:
        """See `Learner`: a motion run, whose basis is taken over, and who tells a clip's level.

        A talker's will do as well.
        """
        kinds = [run["config"]["kind"] for run in runs.values()]
        if kinds not in (["motion"], ["talker"]):
            raise InputError(f"runs of {', '.join(kinds)} to begin with; expected one of motion")
        (run,) = runs.values()
        hearing = run if kinds == ["motion"] else run["hearing"] | {"config": run["config"]}
        self._use(read_basis(hearing["seeing"]))
        average = {"average": hearing["networks"]["average"]}
        self.hearing = {"config": hearing["config"], "networks": average}

    def _use(self, basis: ShapeBasis) -> None:
        self.basis = basis
        self._moves = torch.from_numpy(basis.components * CROP_PX).float().to(self.device)
        self._lips = [LOWER_FACE.index(point) for point in LIPS]

    def _step(self, draw: Draw[LookSource], step: int) -> dict[str, float]:
        batch = draw.source.batch(draw.stream(0), step, self.config.batch, draw.rank)
        return self.step(batch.to(draw.device), step)

    def step(self, batch: LookBatch, step: int) -> dict[str, float]:
        """Do one step; return the terms of the loss by name, unweighted."""
        config = self.config
        self.net.train()
        crop = batch.crop.contiguous(memory_format=torch.channels_last)
        points, code = self.net.both(crop, batch.shape)
        terms = {
            "apart": self._apart(code, batch.code).mean(),
            "reading": F.smooth_l1_loss(points, batch.points, beta=0.5),
        }
        total = terms["apart"] + config.look.reading * terms["reading"]
        total.backward()  # type: ignore[no-untyped-call]
        factor = decayed(step, config.steps, config.warmup, config.decay_from)
        self.optimizers.set_rate("look", config.rate * factor)
        self.optimizers.step("look", config.clip)
        follow(self.average, self.net, config.ema)
        return {name: float(value.detach()) for name, value in terms.items()}

    def _apart(self, code: Tensor, true: Tensor) -> Tensor:
        """Mean distance of points ``(B,)``, px of a 64-px crop; lips count for three quarters."""
        error = torch.einsum("bk,kpc->bpc", code - true, self._moves)
        size = (error.square().sum(-1) + 1e-4).sqrt()
        return 0.75 * size[:, self._lips].mean(1) + 0.25 * size.mean(1)

    def watch(self, data: Sequence[str | Path]) -> Callable[[Path], dict[str, float]]:
        """See `Learner`: validation frames; the picture has crops with the points read."""
        prefix, split = "", "val"
        try:
            source = LookSource(data, split, self.config, self.basis, self._hear())
        except InputError:
            prefix, split = "train_", "train"
            source = LookSource(data, split, self.config, self.basis, self._hear())
        batch = source.some(LOOKED_AT)
        return lambda picture: self._look(batch, prefix, picture)

    @torch.no_grad()
    def _look(self, batch: LookBatch, prefix: str, picture: Path) -> dict[str, float]:
        found: dict[str, list[Tensor]] = {}
        read = []
        for start in range(0, len(batch.crop), 100):
            part = LookBatch(*(x[start : start + 100] for x in vars(batch).values()))
            part = part.to(self.device)
            points, seen = self.average.both(part.crop, part.shape)
            answers = {
                "unseen": torch.zeros_like(seen),
                "mesh": self.average.rest(part.shape).float(),
                "picture": seen,
                "mixed": self.average(part.crop, part.shape).float(),
            }
            for name, answer in answers.items():
                found.setdefault(name, []).append(self._apart(answer, part.code))
            misread = (points - part.points).square().sum(-1).sqrt().mean(1)
            found.setdefault("misread_px", []).append(misread)
            read.append(points.cpu())
        _draw(batch.crop[::25][:32], torch.cat(read)[::25][:32], picture)
        return {prefix + name: float(torch.cat(parts).mean()) for name, parts in found.items()}


def basis_state(basis: ShapeBasis) -> dict[str, Tensor]:
    """A basis as a checkpoint keeps it."""
    return {
        "template": torch.from_numpy(basis.template),
        "components": torch.from_numpy(basis.components),
    }


def read_basis(state: dict[str, Any]) -> ShapeBasis:
    """Return the basis that a checkpoint keeps."""
    kept = state["basis"]
    return ShapeBasis(kept["template"].numpy(), kept["components"].numpy())


def load_look(state: dict[str, Any]) -> LookNet:
    """Return the running average of the network of a look's checkpoint, for use."""
    config = from_dict(state["config"])
    # A run that goes on draws the same random numbers whether or not it opened a look.
    with torch.random.fork_rng(devices=[]):
        net = LookNet(config.look, config.motion.codes, config.renderer.size)
    net.load_state_dict(state["networks"]["average"])
    return net.eval().requires_grad_(False)


def _draw(crops: Tensor, points: Tensor, picture: Path) -> None:
    """Write crops ``(N, 3, S, S)`` with points ``(N, 20, 2)`` px, eight in a row."""
    shown = ((crops + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    cells = []
    for crop, marks in zip(shown, points.numpy(), strict=True):
        cell = np.ascontiguousarray(cv2.resize(crop, None, fx=2, fy=2)[..., ::-1])
        for x, y in (marks + 0.5) * 2 - 0.5:
            cv2.circle(cell, (round(float(x)), round(float(y))), 1, (0, 255, 0), -1)
        cells.append(cell)
    rows = [np.concatenate(cells[k : k + 8], 1) for k in range(0, len(cells) // 8 * 8, 8)]
    part = picture.with_suffix(".part.png")
    cv2.imwrite(str(part), np.concatenate(rows or [cells[0]], 0))
    part.replace(picture)
