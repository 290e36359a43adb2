"""Figures on paper: clips drawn by a fixed rule, strips of frames, PNG, PDF and a JSON of facts.

Needs matplotlib (the ``eval`` extra), which is imported only where something is drawn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipglance import __version__
from lipglance.errors import InputError
from lipglance.geometry import Image
from lipglance.metrics import SILENT_WORDS
from lipglance.shard_index import part_path, write_text
from lipglance.shards import FPS, Sample, ShardDataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

DPI = 300
FORMATS = ("png", "pdf")
SHOWN = 192
"""Px of one frame in a strip: 0.64 inch on paper at `DPI`."""
GAP = 6
"""White px between the frames of a strip."""
MARGIN = 0.72
"""Inches of a panel for its title, ticks and axis label."""
INCH = (SHOWN + GAP) / DPI


@dataclass(frozen=True)
class Drawing:
    """What is asked of every figure.

    Attributes:
        data: shard folders.
        out: folder for the files.
        splits: splits the clips are drawn from.
        corpora: only these; None for all.
        speakers: only these, as ``s1`` or ``grid/s1``, in this order; empty for all.
        seed: of the draw.
    """

    data: tuple[Path, ...]
    out: Path
    splits: tuple[str, ...]
    corpora: tuple[str, ...] | None = None
    speakers: tuple[str, ...] = ()
    seed: int = 0

    def samples(self) -> list[Sample]:
        """The clips that may be shown, sorted by corpus and key.

        Raises:
            InputError: none fits, or a speaker has none.
        """
        found = list(ShardDataset(self.data, self.splits, self.corpora))
        for name in self.speakers:
            if not any(name in (s.speaker, speaker_of(s)) for s in found):
                known = ", ".join(sorted({speaker_of(s) for s in found}))
                raise InputError(f"no clips of speaker {name}; those there are: {known}")
        if self.speakers:
            found = [s for s in found if {s.speaker, speaker_of(s)} & set(self.speakers)]
        return sorted(found, key=lambda s: (s.entry.corpus, s.key))


@dataclass(frozen=True)
class Strip:
    """Frames side by side: `label`, frames (K, S, S, 3) uint8 RGB."""

    label: str
    frames: NDArray[np.uint8]


@dataclass(frozen=True)
class Block:
    """Strips one under the other that share their moments.

    Attributes:
        title: above them.
        strips: of K frames each.
        ticks: K labels below, a time or a word each.
    """

    title: str
    strips: Sequence[Strip]
    ticks: Sequence[str]


@dataclass(frozen=True)
class Panel:
    """One picture of a person, and blocks side by side of what it was made to say.

    Attributes:
        identity: (S, S, 3) uint8 RGB.
        name: below the picture.
        blocks: alike in their number of strips.
        xlabel: what the blocks' ticks are.
    """

    identity: Image
    name: str
    blocks: Sequence[Block]
    xlabel: str


def speaker_of(sample: Sample) -> str:
    """The speaker as ``corpus/name``."""
    return f"{sample.entry.corpus}/{sample.speaker}"


def one_each(samples: Sequence[Sample], seed: int) -> Iterator[Sample]:
    """Go through clips in a drawn order, one of each speaker before any has a second."""
    order = np.random.default_rng(seed).permutation(len(samples))
    waiting = [samples[k] for k in order]
    while waiting:
        had: set[str] = set()
        later: list[Sample] = []
        for sample in waiting:
            if speaker_of(sample) in had:
                later.append(sample)
            else:
                had.add(speaker_of(sample))
                yield sample
        waiting = later


def moments(sample: Sample, count: int) -> tuple[NDArray[np.int64], list[str], str]:
    """Choose at most `count` frames of a clip that tell what is said.

    Returns:
        Frame numbers (K,) rising; a label each; what the labels are. Frames are the middles of the
        labelled words where there are at least three (silences left out), else spread evenly.
    """
    words = [w for w in sample.meta.get("words", ()) if w[2] not in SILENT_WORDS]
    middles = [min(int((w[0] + w[1]) / 2 * FPS), sample.frames - 1) for w in words]
    if len(words) >= 3:
        keep = np.unique(np.linspace(0, len(words) - 1, min(count, len(words))).round().astype(int))
        frames = np.array([middles[k] for k in keep], np.int64)
        return frames, [words[k][2] for k in keep], "word at whose middle the frame lies"
    frames = np.unique(np.linspace(0, sample.frames - 1, count).round().astype(np.int64))
    return frames, [f"{t / FPS:.2f}" for t in frames], "time, s"


def draw_panels(panels: Sequence[Panel]) -> Figure:
    """Lay panels out one under the other.

    Raises:
        ModuleNotFoundError: without matplotlib; the command line says what to install.
    """
    from matplotlib.figure import Figure

    widths = [1 + sum(len(b.ticks) + 1.25 for b in panel.blocks) for panel in panels]
    heights = [len(panel.blocks[0].strips) * INCH + MARGIN for panel in panels]
    figure = Figure(figsize=(max(widths) * INCH + 0.3, sum(heights) + 0.1), layout="constrained")
    grid = figure.subfigures(len(panels), 1, height_ratios=heights, squeeze=False)
    for part, panel, width in zip(grid[:, 0], panels, widths, strict=True):
        _draw_panel(part, panel, max(widths) - width)
    return figure


def _draw_panel(part: SubFigure, panel: Panel, spare: float) -> None:
    """Draw a panel that is `spare` frames narrower than the widest of its figure."""
    ratios = [1.0, *(float(len(block.ticks)) for block in panel.blocks)]
    # An empty place to the right keeps the frames of all panels alike in size.
    ratios += [spare] if spare else []
    axes = part.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0]
    if spare:
        axes[-1].set_axis_off()
        axes = axes[:-1]
    axes[0].imshow(_sized(panel.identity), interpolation="none")
    axes[0].set_xlabel(panel.name, fontsize=6.5)
    axes[0].set_title("identity", fontsize=7)
    for axis, block in zip(axes[1:], panel.blocks, strict=True):
        axis.imshow(strips_image(block.strips), interpolation="none")
        step = SHOWN + GAP
        places = [k * step + (SHOWN - 1) / 2 for k in range(len(block.ticks))]
        axis.set_xticks(places, block.ticks, fontsize=6.5)
        rows = [k * step + (SHOWN - 1) / 2 for k in range(len(block.strips))]
        axis.set_yticks(rows, [strip.label for strip in block.strips], fontsize=6.5)
        axis.set_xlabel(panel.xlabel, fontsize=6.5)
        axis.set_title(block.title, fontsize=7)
    axes[0].set_xticks([])
    axes[0].set_yticks([])
    for axis in axes:
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0, pad=2)


def strips_image(strips: Sequence[Strip]) -> Image:
    """Strips of K frames one under the other, with white gaps: (H, W, 3) uint8 RGB."""
    count = len(strips[0].frames)
    step = SHOWN + GAP
    image = np.full((len(strips) * step - GAP, count * step - GAP, 3), 255, np.uint8)
    for row, strip in enumerate(strips):
        for column, frame in enumerate(strip.frames):
            y, x = row * step, column * step
            image[y : y + SHOWN, x : x + SHOWN] = _sized(frame)
    return image


def _sized(frame: Image) -> Image:
    size = (SHOWN, SHOWN)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def save(figure: Figure, out: Path, name: str, facts: Mapping[str, Any]) -> list[Path]:
    """Write a figure's files, each whole or not at all.

    Args:
        figure: drawn.
        out: folder, made where it is missing; files of that name in it are replaced.
        name: of the files, such as ``fig3``.
        facts: what is shown, plain values.

    Returns:
        Paths of PNG, PDF and JSON.

    Raises:
        InputError: the files cannot be written.
    """
    paths = [out / f"{name}.{kind}" for kind in FORMATS]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, kind in zip(paths, FORMATS, strict=True):
            part = part_path(path)
            try:
                # Without the day and hour, the same figure is the same file.
                dates = {"CreationDate": None} if kind == "pdf" else {}
                figure.savefig(part, format=kind, dpi=DPI, metadata=dates)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        told = {"lipglance": __version__, "figure": name} | dict(facts)
        write_text(out / f"{name}.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(f"{out}: cannot write the figure: {error}") from None
    return [*paths, out / f"{name}.json"]
