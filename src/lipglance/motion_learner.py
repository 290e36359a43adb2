"""How the motion of a mouth is learnt from sound: the nets of `motion_net`, their loss, a look."""

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

from .config import TrainConfig
from .crop import CropConfig, picture_crops
from .errors import InputError
from .face_points import INNER_LIP_BOTTOM, INNER_LIP_TOP, LIPS, LOWER_FACE, MOUTH_20
from .face_shape import ShapeBasis
from .geometry import Floats, crop_image
from .layers import follow
from .learner import Draw, Phase
from .look_learner import CROP_PX, load_look, read_basis
from .look_net import LookNet
from .motion_batches import Look, MotionBatch, MotionClip, MotionSource
from .motion_net import ROWS, MotionNet
from .mouth_track import SHORTEST
from .optimizers import Optimizers, Reduce, decayed
from .renderer_batches import as_input
from .track_terms import correlation, mean_where, spread

UNIT = 100.0
"""Errors are counted in hundredths of the distance of the eyes: a px or so of a small video."""
LATER = 8
"""Clips heard before one that is looked at a second time."""
_TOP, _BOTTOM = LOWER_FACE.index(INNER_LIP_TOP), LOWER_FACE.index(INNER_LIP_BOTTOM)


class MotionLearner:
    """Trains a `MotionNet`, beside a `LookNet` that is done learning.

    Args:
        config: the run.
        device: where the networks live.
        reduce: averages gradients over processes before each step.
    """

    def __init__(self, config: TrainConfig, device: torch.device, reduce: Reduce) -> None:
        self.config, self.device = config, device
        self.net = MotionNet(config.motion).to(device)
        self.net.speech.take_over()
        # A running average is what is looked at and shipped.
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.seeing: dict[str, Any] | None = None
        self._lips = [LOWER_FACE.index(point) for point in LIPS]
        self.optimizers = Optimizers(reduce)
        known = list(self.net.speech.parameters())
        ours = {id(parameter) for parameter in known}
        others = [p for p in self.net.parameters() if id(p) not in ours]
        self.optimizers.add("motion", others, config.rate, config.betas, 1e-5)
        self.optimizers.add("speech", known, config.rate, config.betas)

    def source(self, data: Sequence[str | Path], cache_gib: float) -> MotionSource:
        """See `Learner`; InputError where a new run begins with nothing."""
        return MotionSource(data, "train", self.config, self.known(), self.look())

    def phases(self) -> Sequence[Phase]:
        """See `Learner`."""
        return (Phase("step", self.config.steps, self._step),)

    def state(self) -> dict[str, Any]:
        """See `Learner`."""
        networks = {"motion": self.net.state_dict(), "average": self.average.state_dict()}
        return {
            "networks": networks,
            "optimizers": self.optimizers.state(),
            "seeing": self.seeing,
        }

    def load(self, state: dict[str, Any]) -> None:
        """See `Learner`."""
        self.net.load_state_dict(state["networks"]["motion"])
        self.average.load_state_dict(state["networks"]["average"])
        self.optimizers.load(state["optimizers"])
        self._use(state["seeing"])

    def begin_with(self, runs: Mapping[str, dict[str, Any]]) -> None:
        """See `Learner`: a look's run or a talker's look, whose basis this one takes over."""
        kinds = [run["config"]["kind"] for run in runs.values()]
        if kinds not in (["look"], ["talker"]):
            raise InputError(f"runs of {', '.join(kinds)} to begin with; expected one of look")
        (run,) = runs.values()
        self.see_with(run if kinds == ["look"] else run["hearing"]["seeing"])

    def see_with(self, seeing: dict[str, Any]) -> None:
        """Take a look's checkpoint over; InputError where its codes mean something else."""
        basis = read_basis(seeing)
        if basis.size != self.config.motion.codes:
            raise InputError(
                f"a look of {basis.size} codes; expected the config's {self.config.motion.codes}"
            )
        if self.seeing is not None and not np.allclose(basis.components, self.known().components):
            raise InputError(
                "the look's codes mean other shapes than the motion's; expected one basis"
            )
        self._use({name: seeing[name] for name in ("config", "networks", "basis")})

    def _use(self, seeing: dict[str, Any]) -> None:
        self.seeing = seeing
        # (K, P, 2) in units of the loss.
        self.components = torch.from_numpy(self.known().components * UNIT).float().to(self.device)

    def known(self) -> ShapeBasis:
        """The basis of the motion; InputError where the run began with nothing."""
        return read_basis(self._seeing())

    def sees(self) -> LookNet:
        """What sees what a picture's mouth is doing; InputError where there is none."""
        return load_look(self._seeing()).to(self.device)

    def look(self) -> Look:
        """The same, of a clip's crops and mesh points; see `MotionSource`."""
        net, basis = self.sees(), self.known()

        @torch.no_grad()
        def look(crops: NDArray[np.uint8], track: Floats) -> Floats:
            size = self.config.renderer.size
            cuts = picture_crops(track, CropConfig.face(size))
            pairs = zip(crops, cuts, strict=True)
            seen = [crop_image(crop, cut, size, smooth=True) for crop, cut in pairs]
            shapes = (basis.shapes(track) - basis.mean).astype(np.float32)
            parts = as_input(np.stack(seen)), shapes
            said: Tensor = net(*(torch.from_numpy(part).to(self.device) for part in parts))
            return said.float().cpu().numpy().astype(np.float64)

        return look

    def _seeing(self) -> dict[str, Any]:
        if self.seeing is None:
            raise InputError("motion begins with a look; give the run of one as --begin-with")
        return self.seeing

    def _step(self, draw: Draw[MotionSource], step: int) -> dict[str, float]:
        batch = draw.source.batch(draw.stream(0), step, self.config.batch, draw.rank)
        return self.step(batch.to(draw.device), step)

    def step(self, batch: MotionBatch, step: int) -> dict[str, float]:
        """Do one step; return the terms of the loss by name, unweighted."""
        self.net.train()
        terms = self.terms(self.said(batch), batch)
        self.weighted(terms).backward()  # type: ignore[no-untyped-call]
        self.descend(step)
        return {name: float(value.detach()) for name, value in terms.items()}

    def weighted(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The loss that `terms` add up to."""
        motion = self.config.motion
        return (
            terms["points"]
            + motion.difference * terms["difference"]
            + motion.spread * terms["spread"]
            + motion.agree * terms["agree"]
        )

    def descend(self, step: int) -> None:
        """Do the step of a number with the gradients there are; the averages follow."""
        config = self.config
        rate = config.rate * decayed(step, config.steps, config.warmup, config.decay_from)
        self.optimizers.set_rate("motion", rate)
        self.optimizers.set_rate("speech", rate * config.motion.speech_rate)
        for name in ("motion", "speech"):
            self.optimizers.step(name, config.clip)
        follow(self.average, self.net, config.ema)

    def take_over(self, state: dict[str, Any]) -> None:
        """Begin as the running average of a motion's state; its optimizers are left behind."""
        for net in (self.net, self.average):
            net.load_state_dict(state["networks"]["average"])
        self._use(state["seeing"])

    def said(self, batch: MotionBatch, *, average: bool = False) -> Tensor:
        """Return codes ``(B, T, K)`` of the shapes that the sound and the given picture say.

        average: as the running average of the network says it.
        """
        net = self.average if average else self.net
        memory = net.silence(len(batch.mel), batch.mel.device)
        heard, _ = net(net.padded(batch.mel), memory)
        owner = batch.owner[..., None].expand(-1, -1, batch.own.shape[-1])
        said: Tensor = heard.float() + batch.own.gather(1, owner)
        return said

    def terms(self, said: Tensor, batch: MotionBatch) -> dict[str, Tensor]:
        """Compare codes ``(B, T, K)`` with the true ones where they are taught.

        Returns:
            ``points``: mean distance of lower-face points, lips counted threefold, in hundredths
            of the distance of the eyes; ``difference``: the same of frame-to-frame movement;
            ``spread``: of the standard deviation over time of each sequence's opening; ``agree``:
            one minus the openings' correlation over time.
        """
        taught = batch.taught
        error = torch.einsum("btk,kpc->btpc", said - batch.code, self.components)
        both = taught[:, 1:] * taught[:, :-1] * (batch.owner[:, 1:] == batch.owner[:, :-1])
        moved = error[:, 1:] - error[:, :-1]
        opening, true = self._opening(said)[:, None], self._opening(batch.code)[:, None]
        people = torch.arange(batch.own.shape[1], device=taught.device)
        theirs = (batch.owner[:, None] == people[:, None]) * taught[:, None]
        known = (theirs.sum(-1) >= SHORTEST).float()
        return {
            "points": mean_where(self._distance(error), taught),
            "difference": mean_where(self._distance(moved), both),
            "spread": mean_where((spread(opening, theirs) - spread(true, theirs)).abs(), known),
            "agree": mean_where(1.0 - correlation(opening, true, theirs), known),
        }

    def _distance(self, error: Tensor) -> Tensor:
        """Mean Huber error ``(B, T)`` of points ``(B, T, P, 2)``."""
        size = F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none", beta=0.5)
        lips = size[:, :, self._lips].mean((2, 3))
        return 0.75 * lips + 0.25 * size.mean((2, 3))

    def _opening(self, code: Tensor) -> Tensor:
        """How far apart the inner lips are, ``(B, T)``, less the template's, loss units."""
        gap = self.components[:, _BOTTOM, 1] - self.components[:, _TOP, 1]
        return code @ gap

    def watch(self, data: Sequence[str | Path]) -> Callable[[Path], dict[str, float]]:
        """See `Learner`: whole validation clips; the picture has true and heard opening tracks.

        ``later_r`` and ``later_articulation`` are those of clips that are heard after `LATER`
        others: speech is longer than training sequences.
        """
        prefix, split, seen = "", "val", (self.known(), self.look())
        try:
            source = MotionSource(data, split, self.config, *seen, plain=True)
        except InputError:
            prefix, split = "train_", "train"
            source = MotionSource(data, split, self.config, *seen, plain=True)
        return lambda picture: self._look(source, prefix, picture)

    def _heard(self, clip: MotionClip, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Codes (T, K) of a clip's frames, the last of those whose log-mel (4N, 128) is heard."""
        frames = len(mel) // ROWS
        parts = (mel, np.zeros((frames, len(clip.codes[0]))), np.ones(frames), clip.own[:1])
        held = [torch.from_numpy(np.array(part, np.float32))[None] for part in parts]
        owner = torch.zeros(1, frames, dtype=torch.long)
        batch = MotionBatch(held[0], held[1], held[2], owner, held[3])
        said = self.said(batch.to(self.device), average=True)[0, -len(clip.codes) :]
        return np.asarray(said.float().cpu().numpy(), np.float32)

    @torch.no_grad()
    def _look(self, source: MotionSource, prefix: str, picture: Path) -> dict[str, float]:
        basis = self.known()
        mouth = [LOWER_FACE.index(point) for point in MOUTH_20]
        found: dict[str, list[float]] = {}
        tracks = []
        for index, clip in enumerate(source.clips):
            real, shape = basis.decode(clip.true), basis.decode(self._heard(clip, clip.mel))
            true, heard = (part[:, _BOTTOM, 1] - part[:, _TOP, 1] for part in (real, shape))
            error = shape[:, mouth] - real[:, mouth]
            error -= error.mean(1, keepdims=True)
            scores = {"lmd": float(np.linalg.norm(error, axis=-1).mean() * CROP_PX)}
            before = (source.clips[(index - k) % len(source.clips)] for k in range(LATER, 0, -1))
            others = np.concatenate([other.mel for other in before])
            late = basis.decode(self._heard(clip, np.concatenate([others, clip.mel])))
            later = late[:, _BOTTOM, 1] - late[:, _TOP, 1]
            if true.std() > 1e-4 and min(heard.std(), later.std()) > 1e-6:
                scores["opening_r"] = float(np.corrcoef(true, heard)[0, 1])
                scores["articulation"] = float(heard.std() / true.std())
                scores["later_r"] = float(np.corrcoef(true, later)[0, 1])
                scores["later_articulation"] = float(later.std() / true.std())
            for name, value in scores.items():
                found.setdefault(f"{clip.corpus}/{name}", []).append(value)
            tracks.append((true, heard))
        _draw_tracks(tracks[:: max(1, len(tracks) // 12)][:12], picture)
        return {prefix + name: float(np.mean(values)) for name, values in found.items()}


def _draw_tracks(tracks: Sequence[tuple[np.ndarray, np.ndarray]], picture: Path) -> None:
    """Write true (black) over heard (red) openings, one clip under the other."""
    high, wide = 80, 600
    sheet = np.full((high * len(tracks), wide, 3), 255, np.uint8)
    for row, pair in enumerate(tracks):
        low, span = pair[0].min(), max(float(np.ptp(pair[0])), 1e-3)
        for track, colour in zip(pair, ((0, 0, 0), (40, 40, 220)), strict=True):
            x = np.linspace(4, wide - 4, len(track))
            y = row * high + high - 10 - (track - low) / span * (high - 20)
            line = np.stack([x, y], 1).round().astype(np.int32)
            cv2.polylines(sheet, [line], False, colour, 1, cv2.LINE_AA)
    part = picture.with_suffix(".part.png")
    cv2.imwrite(str(part), sheet)
    part.replace(picture)
