"""The early look: how the model in training does on a few validation clips, in figures and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from .audio import AudioConfig
from .batches import Batch, BatchSource
from .config import DataConfig, TrainConfig
from .errors import InputError
from .generators import LipGenerator

PLAIN = DataConfig(silence=0, gain_db=0, band_limit=0, noise=0, colour=0, geometry=0, flip=False)


def validation_source(data: Sequence[str | Path], config: TrainConfig) -> tuple[BatchSource, str]:
    """Return where validation windows are drawn from, unvaried, and a prefix for their figures.

    Without a validation split in the shards these are training windows, and the prefix says so.
    """
    plain = DataConfig(**{**vars(PLAIN), "corpora": config.data.corpora})
    try:
        return BatchSource(data, "val", plain, AudioConfig(), config.frames), ""
    except InputError:
        return BatchSource(data, "train", plain, AudioConfig(), config.frames), "train_"


class Validation:
    """A fixed set of validation windows, drawn once."""

    def __init__(self, data: Sequence[str | Path], config: TrainConfig, windows: int = 32) -> None:
        source, self.prefix = validation_source(data, config)
        self.batches = [source.batch(0, part, 8) for part in range(max(1, windows // 8))]

    @torch.no_grad()
    def look(self, generator: LipGenerator, device: torch.device, strip: Path) -> dict[str, float]:
        """Measure L1 in [-1, 1] and how well the motion is followed; write real over generated.

        ``motion_r`` is the Pearson correlation, over pixels and time, between the real and the
        generated frames' departure from their own mean over time: 0 for a still picture.
        ``mouth_r`` is that of the brightness between the lips, averaged over windows: a quick
        stand-in for the aperture's.
        """
        names = ("l1", "still_l1", "motion_r", "mouth_r")
        sums: dict[str, list[float]] = {name: [] for name in names}
        rows: list[np.ndarray] = []
        for batch in self.batches:
            batch = batch.to(device)
            fake = generator(batch.mel, batch.identity).float()
            real = batch.video
            sums["l1"].append(float(F.l1_loss(fake, real)))
            sums["still_l1"].append(
                float(F.l1_loss(batch.identity[:, :, None].expand_as(real), real))
            )
            moved = [video - video.mean(2, keepdim=True) for video in (real, fake)]
            flat = [part.flatten(1) for part in moved]
            sums["motion_r"].append(float(F.cosine_similarity(flat[0], flat[1], dim=1).mean()))
            dark = [part[:, :, :, 28:38, 24:40].mean(dim=(1, 3, 4)) for part in moved]
            sums["mouth_r"].append(float(F.cosine_similarity(dark[0], dark[1], dim=1).mean()))
            if len(rows) < 8:
                rows += self._rows(batch, fake)
        part = strip.with_suffix(".part.png")
        cv2.imwrite(str(part), np.concatenate(rows[:8])[..., ::-1])
        part.replace(strip)
        return {self.prefix + name: float(np.mean(values)) for name, values in sums.items()}

    @staticmethod
    def _rows(batch: Batch, fake: torch.Tensor) -> list[np.ndarray]:
        rows = []
        for index in range(2):
            for video in (batch.video[index], fake[index]):
                row = torch.cat([batch.identity[index][:, None], video], dim=1)
                pixels = ((row + 1) * 127.5).round().clamp(0, 255).byte().cpu().numpy()
                rows.append(np.concatenate(list(pixels.transpose(1, 2, 3, 0)), axis=1))
        return rows
