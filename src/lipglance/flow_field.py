"""`mouth_warp.dense_flow` as torch arithmetic: for training whatever says where the points go."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .mouth_warp import ABOVE, BELOW, NEAR, below_seam, border, window


class FlowField:
    """Moves the mouths of crops of one size; see `mouth_warp.dense_flow` for what and why.

    Args:
        size: side of the crops, px.
        device: where the points are.
        grid: side of the grid on which the fields are interpolated, cells.
    """

    def __init__(self, size: int, device: torch.device, grid: int = 24) -> None:
        self.size, self.grid = size, grid
        at = (torch.arange(grid, dtype=torch.float32) + 0.5) * (size / grid) - 0.5
        y, x = torch.meshgrid(at, at, indexing="ij")
        self.cells = torch.stack([x, y], -1).reshape(-1, 2).to(device)
        self.fixed = torch.from_numpy(border(size)).float().to(device)
        self.window = torch.from_numpy(window(size)).to(device)

    def __call__(self, source: Tensor, driven: Tensor) -> Tensor:
        """Backward flows ``(B, 2, S, S)`` crop px of points ``(B, len(WARP_POINTS), 2)`` crop px.

        The seam between the lips is where `driven` has it, and no gradient comes from it.
        """
        fixed = self.fixed.expand(len(source), -1, -1)
        above, below = (
            self._spread(source[:, group], driven[:, group], fixed) for group in (ABOVE, BELOW)
        )
        places = driven.detach().cpu().numpy().astype(np.float64)
        seams = np.stack([below_seam(points, self.size) for points in places])
        share = torch.from_numpy(seams)[:, None].to(source.device)
        return (above + share * (below - above)) * self.window

    def _spread(self, source: Tensor, driven: Tensor, fixed: Tensor) -> Tensor:
        places = torch.cat([driven, fixed], 1)
        moves = torch.cat([source - driven, torch.zeros_like(fixed)], 1)
        apart = torch.cdist(self.cells.expand(len(source), -1, -1), places).square()
        weights = 1.0 / (apart + (NEAR * self.size) ** 2).square()
        field = (weights @ moves) / weights.sum(-1, keepdim=True)
        field = field.transpose(1, 2).reshape(-1, 2, self.grid, self.grid)
        size = (self.size, self.size)
        return F.interpolate(field, size, mode="bicubic", align_corners=False)
