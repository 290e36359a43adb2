"""The paper's figures of lips: someone else's speech (1), test outputs (4), outside faces (5)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipglance.errors import InputError
from lipglance.evaluation_clip import Clip, opened
from lipglance.figures import (
    Block,
    Drawing,
    Panel,
    Strip,
    draw_panels,
    moments,
    one_each,
    save,
    speaker_of,
)
from lipglance.geometry import Floats, Image
from lipglance.model_info import read_info
from lipglance.models import find_model, load_model
from lipglance.portrait import open_portrait
from lipglance.results import about_data
from lipglance.rows import ModelRow, describe_row
from lipglance.shards import Sample

BEARDED = frozenset({"lrc-ar/n05", "lrc-ar/n07", "lrc-ar/n23"})
"""Test speakers with hair around the lips: stubble, a moustache, a moustache and a chin beard.

No corpus says who has a beard; these were seen by eye on the first frames of the test clips.
"""

FRAMES = 8
"""Frames to a strip, at most."""


def lips_of_another(drawing: Drawing, models: Sequence[str], count: int = 3) -> list[Path]:
    """Figure 1: the speech of one person on the lips of another.

    Args:
        drawing: clips. The first speech is one with labelled words, if any clip has them.
        models: names or directories; a row each.
        count: pairs of people.

    Returns:
        The files; the JSON has the pairs, their frames and words.

    Raises:
        InputError: fewer than two speakers, unknown models, or shards without the original clips.
    """
    rows = _rows(models)
    samples = drawing.samples()
    if len({speaker_of(s) for s in samples}) < 2:
        raise InputError("fig1 shows one speaker's speech on another's lips; expected two or more")
    worded = [s for s in samples if s.meta.get("words")] or samples
    faces = list(one_each(samples, drawing.seed + 1))
    panels, shown = [], []
    first = next(one_each(worded, drawing.seed))
    rest = (s for s in one_each(samples, drawing.seed) if speaker_of(s) != speaker_of(first))
    for speech in [first, *islice(rest, count - 1)]:
        other = next(s for s in faces if speaker_of(s) != speaker_of(speech))
        faces.append(faces.pop(faces.index(other)))
        frames, ticks, what = moments(speech, FRAMES)
        with opened(speech) as spoken, opened(other) as face:
            strips = [Strip(f"real\n{speech.speaker}", _real(spoken, frames))]
            for row in rows:
                said = row.say(face.identity(row.crop), spoken, face.identity_points(row.crop))
                strips.append(Strip(_label(row, models), said[frames]))
            identity = face.identity(rows[0].crop)
        block = Block(f"speech: {_title(speech)}", strips, ticks)
        panels.append(Panel(identity, speaker_of(other), [block], what))
        shown.append({"speech": _facts(speech, frames, ticks), "identity": _facts(other)})
    return _saved(drawing, "fig1", panels, models, samples, shown)


def outputs_against_real(drawing: Drawing, models: Sequence[str], count: int = 4) -> list[Path]:
    """Figure 4: drawn test clips, real over generated, each from its own first frame.

    Args:
        drawing: clips. Without speakers chosen, half of the clips are of `BEARDED` ones if there
            are any; with speakers, as many clips of each as there is room for.
        models: names or directories; a row each.
        count: clips.

    Returns:
        The files; the JSON has the clips and whether their speakers are known to have a beard.

    Raises:
        InputError: no clips, unknown models, or shards without the original clips.
    """
    rows = _rows(models)
    samples = drawing.samples()
    bearded = [s for s in samples if speaker_of(s) in BEARDED]
    shaven = [s for s in samples if speaker_of(s) not in BEARDED]
    chosen = list(islice(one_each(bearded, drawing.seed), count // 2 if shaven else count))
    chosen += islice(one_each(shaven, drawing.seed), count - len(chosen))
    if drawing.speakers:
        chosen = list(islice(one_each(samples, drawing.seed), max(count, len(drawing.speakers))))
    panels, shown = [], []
    for sample in chosen:
        frames, ticks, what = moments(sample, FRAMES)
        with opened(sample) as clip:
            strips = [Strip("real", _real(clip, frames))]
            strips += [Strip(_label(row, models), row.lips(clip)[frames]) for row in rows]
            identity = clip.identity(rows[0].crop)
        name = speaker_of(sample) + ("\nfacial hair" if speaker_of(sample) in BEARDED else "")
        panels.append(Panel(identity, name, [Block(_title(sample), strips, ticks)], what))
        beard = {"known_beard": speaker_of(sample) in BEARDED}
        shown.append({"clip": _facts(sample, frames, ticks)} | beard)
    return _saved(drawing, "fig4", panels, models, samples, shown)


def outside_faces(
    drawing: Drawing, models: Sequence[str], faces: Sequence[Path], count: int = 3
) -> list[Path]:
    """Figure 5: people from outside the corpora say test clips' speech, models side by side.

    Args:
        drawing: clips the speech is taken from, each of another speaker as far as there are any.
        models: names or directories; a block each.
        faces: pictures of people, each shown at least once.
        count: speeches, where there are fewer faces.

    Returns:
        The files; the JSON has the pictures and the clips.

    Raises:
        InputError: no clips, no usable face, unknown models, or shards without original clips.
    """
    if not faces:
        raise InputError("fig5 needs a picture of a face; expected one or more by --face")
    rows = _rows(models)
    # All pictures are looked at before anything is made: a bad one must not cost the others.
    portraits = [{r.name: _portrait(path, r) for r in rows} for path in faces]
    samples = drawing.samples()
    panels, shown = [], []
    speeches = islice(one_each(samples, drawing.seed), max(count, len(faces)))
    for k, sample in enumerate(speeches):
        face = portraits[k % len(faces)]
        frames, ticks, what = moments(sample, FRAMES - 2)
        with opened(sample) as clip:
            real = Strip(f"real\n{sample.speaker}", _real(clip, frames))
            blocks = []
            for row in rows:
                identity, points = face[row.name]
                generated = Strip("generated", row.say(identity, clip, points)[frames])
                said = f"{_short(row.name)}; speech: {_title(sample)}"
                blocks.append(Block(said, [real, generated], ticks))
        name = faces[k % len(faces)].stem
        panels.append(Panel(face[rows[0].name][0], name, blocks, what))
        shown.append({"face": str(faces[k % len(faces)]), "speech": _facts(sample, frames, ticks)})
    return _saved(drawing, "fig5", panels, models, samples, shown)


def _rows(models: Sequence[str]) -> list[ModelRow]:
    if not models or len(set(models)) < len(models):
        raise InputError(f"models {', '.join(models) or 'none'}; expected one or more, each once")
    return [ModelRow(name, load_model(name, threads=1)) for name in models]


def _portrait(path: Path, row: ModelRow) -> tuple[Image, Floats | None]:
    """The lips of a picture's face as a model sees them, and the face's points in that crop."""
    assert row.crop is not None, "a model has its crop"
    portrait = open_portrait(path, row.crop, view="face")
    return portrait.lips(row.crop.size), portrait.points_in_crop()


def _real(clip: Clip, frames: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The clip's own crops at some frames, as the shards have them: (K, S, S, 3)."""
    return clip.sample.crops()[frames]


def _short(model: str) -> str:
    return read_info(find_model(model)).name


def _label(row: ModelRow, models: Sequence[str]) -> str:
    return "generated" if len(models) == 1 else _short(row.name)


def _title(sample: Sample) -> str:
    return (
        f"{speaker_of(sample)}, {sample.meta.get('utterance', sample.key)} ({sample.entry.split})"
    )


def _facts(
    sample: Sample, frames: NDArray[np.int64] | None = None, ticks: Sequence[str] = ()
) -> dict[str, Any]:
    entry = sample.entry
    facts = {"key": sample.key, "corpus": entry.corpus, "speaker": sample.speaker}
    shown = {} if frames is None else {"frames": frames.tolist(), "labels": list(ticks)}
    return facts | {"split": entry.split} | shown


def _saved(
    drawing: Drawing,
    name: str,
    panels: Sequence[Panel],
    models: Sequence[str],
    samples: Sequence[Sample],
    shown: Sequence[dict[str, Any]],
) -> list[Path]:
    described = [describe_row(model) for model in models]
    facts = {
        "seed": drawing.seed,
        "splits": list(drawing.splits),
        "models": [{key: d[key] for key in ("name", "kind", "sha256")} for d in described],
        "data": about_data(drawing.data, samples),
        "shown": list(shown),
    }
    return save(draw_panels(panels), drawing.out, name, facts)
