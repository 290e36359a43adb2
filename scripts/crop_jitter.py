#!/usr/bin/env python
"""Measure how steady the lip crop is: the paper's per-frame box against `video_crops`.

    python scripts/crop_jitter.py [--clips 20]

Reads clips of the train split only. For each clip it prints the mean absolute second difference
over time of the square's centre (x and y) and side, in px of the 64-px crop, for (a) the square
around each frame's own mouth box (the paper's way) and (b) `video_crops`; and the same for the
nose bridge inside the crop, which ought to stand still.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

import av
import numpy as np

from lipglance.crop import CropConfig, apply, video_crops
from lipglance.face import FaceFinder
from lipglance.face_points import MOUTH_20, STABLE
from lipglance.geometry import Floats, Image, invert, square_matrix

SHARED = Path(os.environ.get("LIPGLANCE_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def read(path: Path) -> list[Image]:
    with av.open(str(path)) as container:
        return [
            np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in container.decode(video=0)
        ]


def per_frame_boxes(points: Floats, config: CropConfig) -> Floats:
    """The paper's crop: a square around each frame's own mouth box, not turned."""
    mouth = points[:, MOUTH_20]
    low, high = mouth.min(axis=1), mouth.max(axis=1)
    half = config.half_side * (high - low).max(axis=1)
    return square_matrix((low + high) / 2, half, np.zeros(len(points)), config.size)


def jitter(matrices: Floats, points: Floats, config: CropConfig) -> tuple[float, float, float]:
    """Mean absolute second differences: square's centre, its side, stable points in the crop."""
    middle = (config.size - 1) / 2
    back = invert(matrices)
    centre = apply(back, np.full((len(back), 1, 2), middle))[:, 0]
    side = config.size * np.sqrt(np.linalg.det(back[:, :, :2]))
    unit = config.size / np.median(side)
    face = apply(matrices, points[:, STABLE]).mean(axis=1)
    figures = (np.diff(v, 2, axis=0) for v in (centre * unit, side * unit, face))
    a, b, c = (float(np.abs(v).mean()) for v in figures)
    return a, b, c


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--clips", type=int, default=20)
    count = parser.parse_args().clips
    with (SHARED / "data" / "clips.csv").open(encoding="utf-8") as file:
        train = [row for row in csv.DictReader(file) if row["split"] == "train"]
    finder, config = FaceFinder(), CropConfig()
    figures: dict[str, list[list[float]]] = {}
    for name in ("GRID", "LRC-AR"):
        rows = [row for row in train if row["dataset"] == name]
        for row in rows[:: len(rows) // max(count // 2, 1)][: count // 2]:
            found = list(finder.track(read(SHARED / "data" / row["path"])))
            points = np.array([m.points for m in found if m is not None], np.float64)
            paper = jitter(per_frame_boxes(points, config), points, config)
            ours = jitter(video_crops(points, config), points, config)
            figures.setdefault(name, []).append([*paper, *ours])
    heads = ("centre", "side", "upper face in crop")
    print(f"{'set (clips)':14}" + "".join(f"{h:>22}" for h in heads) + "   per frame / ours, px")
    for name, values in figures.items():
        mean = np.mean(values, axis=0)
        pairs = "".join(f"{a:13.3f} / {b:6.3f}" for a, b in zip(mean[:3], mean[3:], strict=True))
        print(f"{f'{name} ({len(values)})':14}{pairs}")


if __name__ == "__main__":
    main()
