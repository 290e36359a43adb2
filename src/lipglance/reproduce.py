"""``lipglance reproduce``: the paper's tables, trained and measured by one command each.

A table is a folder of configs, a row a YAML of a few lines (`configs/table1`, `configs/table2`).
Whatever is done already is kept: runs are resumed, finished ones skipped, evaluations go on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .ablation import differences
from .checkpoint import check_same_run, read_checkpoint
from .config import TrainConfig, from_dict, load_config
from .errors import InputError
from .evaluate import evaluate
from .export import export_model
from .results import markdown, markdown_table
from .shard_index import write_text
from .trainer import RunOptions, train

log = logging.getLogger("lipglance")

START = "start"
"""Name of the config whose lessons all rows of a table begin with."""

PUBLISHED = {
    "grid": {
        "Vondrick et al.": (2.38, 0.60, 28.45, 0.129),
        "Chung et al.": (1.35, 0.74, 29.36, 0.016),
        "the paper": (1.18, 0.73, 29.89, 0.175),
    },
    "lrw": {
        "Vondrick et al.": (3.28, 0.34, 28.03, 0.082),
        "Chung et al.": (2.25, 0.46, 28.06, 0.083),
        "the paper": (1.92, 0.53, 28.65, 0.075),
    },
    "ldc": {
        "Vondrick et al.": (2.34, 0.75, 27.96, 0.160),
        "Chung et al.": (2.13, 0.50, 28.22, 0.010),
        "the paper": (1.82, 0.57, 28.87, 0.172),
    },
}
"""Tab. 2 as printed: LMD, SSIM, PSNR (wrapped, see PSNR-u8), CPBD."""


@dataclass(frozen=True)
class Task:
    """How a table is made.

    Attributes:
        configs: the table's folder of YAMLs.
        out: folder for runs, models, results.
        overrides: ``key=value`` for every row.
        limit: test clips of each corpus, None for all.
        options: where training happens.
        quick: tiny networks and a few steps, to see that the way is clear.
        command: what was asked for, kept in the results.
    """

    configs: Path
    out: Path
    overrides: tuple[str, ...] = ()
    limit: int | None = None
    options: RunOptions = field(default_factory=RunOptions)
    quick: bool = False
    command: str = ""

    def config(self, path: Path, *more: str) -> TrainConfig:
        """Read a row's config, with the overrides."""
        config = load_config(path, [*self.overrides, *more])
        return quickened(config) if self.quick else config


def quickened(config: TrainConfig) -> TrainConfig:
    """Shrink a config so that its whole way runs in seconds; its figures mean nothing."""
    return replace(
        config,
        steps=min(config.steps, 2),
        batch=2,
        painting_lesson=min(config.painting_lesson, 1),
        audio_lesson=min(config.audio_lesson, 1),
        compile=False,
        discriminator_width=4,
        correlation_width=16,
        generator=replace(config.generator, width=4),
        autoencoder=replace(
            config.autoencoder, width=4, steps=min(config.autoencoder.steps, 1), batch=8
        ),
    )


def table1(task: Task, data: Sequence[Path]) -> str:
    """Train every row of the ablation from the same lessons and measure them on test_seen.

    Returns:
        The table in Markdown; ``table1.json`` and ``table1.md`` lie in the task's folder.

    Raises:
        InputError: no configs, no clips, or a row that cannot be trained.
    """
    rows = row_configs(task)
    start = task.configs / f"{START}.yaml"
    lessons = task.out / "runs" / START
    begin = task.config(start, "steps=0")
    _train(begin, data, lessons, task.options)
    models = [
        trained(name, config, data, task, begin_with=lessons) for name, config in rows.items()
    ]
    return measured(task, "table1", data, models, ["test_seen"], list(begin.data.corpora))


def table2(task: Task, data: Mapping[str, Sequence[Path]]) -> str:
    """Train every model on every corpus alone, measure on its test splits, print beside Tab. 2.

    Args:
        task: how.
        data: shard folders by the corpus' name in them, such as ``grid``.

    Returns:
        The tables in Markdown; JSONs and ``table2.md`` lie in the task's folder.

    Raises:
        InputError: no configs, no clips, or a row that cannot be trained.
    """
    parts = []
    for corpus, shards in data.items():
        own = f"data.corpora=[{corpus}]"
        models = [
            trained(f"{name}-{corpus}", task.config(path, own), shards, task)
            for name, path in _paths(task.configs).items()
        ]
        splits = ["test_seen", "test_unseen"]
        parts.append(measured(task, f"table2-{corpus}", shards, models, splits, [corpus]))
        parts.append(published(corpus))
    text = "\n\n".join(part for part in parts if part)
    write_text(task.out / "table2.md", text + "\n")
    return text


def published(corpus: str) -> str:
    """Return the printed figures of a corpus, empty where the paper has none."""
    rows = PUBLISHED.get(corpus.lower())
    if rows is None:
        return ""
    note = (
        f"**{corpus}, as published** (Tab. 2; the PSNR there is computed on differences that wrap "
        "modulo 256 and compares with PSNR-u8 alone; other splits and crops)"
    )
    lines = [
        [name, f"{lmd:.2f}", f"{ssim:.2f}", f"{psnr:.2f}", f"{cpbd:.3f}"]
        for name, (lmd, ssim, psnr, cpbd) in rows.items()
    ]
    return f"{note}\n\n{markdown_table(['row', 'LMD', 'SSIM', 'PSNR', 'CPBD'], lines)}"


def row_configs(task: Task) -> dict[str, TrainConfig]:
    """The configs of a table's rows by name, without the one they start from."""
    paths = _paths(task.configs)
    paths.pop(START, None)
    return {name: task.config(path) for name, path in paths.items()}


def _paths(folder: Path) -> dict[str, Path]:
    paths = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if not paths:
        raise InputError(
            f"no configs in {folder}; expected the YAMLs of a table, as configs/table1"
        )
    return paths


def trained(
    name: str,
    config: TrainConfig,
    data: Sequence[Path],
    task: Task,
    begin_with: Path | None = None,
) -> Path:
    """Train and export a row unless that is done; return its model folder."""
    run, model = task.out / "runs" / name, task.out / "models" / name
    fresh = _train(config, data, run, task.options, begin_with)
    if fresh or not (model / "model.json").is_file():
        export_model(run, model, force=True)
    return model


def _train(
    config: TrainConfig,
    data: Sequence[Path],
    run: Path,
    options: RunOptions,
    begin_with: Path | None = None,
) -> bool:
    """Train what is missing; return whether anything was."""
    wanted = {
        "autoencoder": config.autoencoder.steps,
        "painting_lesson": config.painting_lesson,
        "audio_lesson": config.audio_lesson,
        "step": config.steps,
    }
    checkpoint = run / "last.pt"
    if checkpoint.is_file():
        state = read_checkpoint(checkpoint)
        check_same_run(from_dict(state["config"]), config, run)
        progress = state["progress"]
        if progress.get("step", 0) > config.steps:
            raise InputError(
                f"{run} has learnt for {progress['step']} steps, {config.steps} are asked for; "
                "give another --out folder"
            )
        if all(progress.get(name, 0) >= steps for name, steps in wanted.items()):
            log.info("%s: done before", run.name)
            return False
    train(config, list(data), run, options, *([begin_with] if begin_with else []))
    return True


def measured(
    task: Task,
    name: str,
    data: Sequence[Path],
    models: Sequence[Path],
    splits: Sequence[str],
    corpora: list[str],
) -> str:
    """Evaluate models beside the rows that put them in their place; return the tables."""
    rows = [*map(str, models), "real", "still", "mismatched", "linear"]
    parts = []
    for split in splits:
        output = task.out / f"{name}-{split}.json"
        results = evaluate(
            rows,
            list(data),
            output,
            split=split,
            corpora=corpora or None,
            limit=task.limit,
            keep=True,
            force=True,
            command=task.command,
        )
        parts += [part for part in (markdown(results), differences(results)) if part]
    text = "\n\n".join(parts)
    write_text(task.out / f"{name}.md", text + "\n")
    return text
