"""One trainer for every configuration: one or several processes, CPU or CUDA, exactly resumable.

A run is a folder: ``config.json``, ``last.pt`` (networks, optimisers, step, random states),
``samples/*.png`` and TensorBoard event files. Interrupt it when you like and start it again with
the same command.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import nn

from .checkpoint import Progress, check_same_run, read_checkpoint
from .config import TrainConfig, from_dict, to_dict
from .errors import InputError
from .heap import keep_freed_memory
from .learner import Draw, make_learner
from .runtime import hardware
from .starts import read_start

log = logging.getLogger("lipglance")

ACCELERATORS = ("auto", "cpu", "cuda")
PRECISIONS = {"bf16": "bf16-mixed", "fp32": "32-true"}


@dataclass(frozen=True)
class RunOptions:
    """Where and how a run happens; none of it changes what is learnt.

    Attributes:
        minutes: stop (with a checkpoint) after so many minutes, 0 for no limit.
        accelerator: ``cpu``, ``cuda`` or ``auto``.
        devices: processes on this machine.
        threads: CPU threads of each process, 0 for torch's choice.
        cache_gib: memory for decoded clips, per process.
    """

    minutes: float = 0.0
    accelerator: str = "auto"
    devices: int = 1
    threads: int = 0
    cache_gib: float = 6.0

    def __post_init__(self) -> None:
        for name, value in (("minutes", self.minutes), ("cache-gib", self.cache_gib)):
            if not 0 <= value < inf:
                raise InputError(f"--{name} {value}; expected a number, 0 or more")
        if self.accelerator not in ACCELERATORS:
            raise InputError(f"--accelerator {self.accelerator}; expected auto, cpu or cuda")
        there = torch.cuda.device_count()
        if self.accelerator == "cuda" and self.devices > there:
            raise InputError(
                f"--accelerator cuda with --devices {self.devices}, but torch finds {there} CUDA "
                "GPUs; expected one for each; give fewer, or --accelerator cpu"
            )


def arithmetic(precision: str, accelerator: str) -> str:
    """Return what a run counts in: the config's `precision`, or fp32 on a CPU without bfloat16.

    Such a CPU emulates bfloat16, at a sixth of float32's speed.
    """
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available())
    # Builds without oneDNN do not even have the question.
    known = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    able = known and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if precision == "bf16" and on_cpu and not able:
        log.warning("this CPU has no bfloat16 instructions: training in float32, which is faster")
        return "fp32"
    return precision


def hardware_name(device: torch.device) -> str:
    """Return the GPU's name, or the CPU's with its cores."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{hardware()['cpu']}, {torch.get_num_threads()} threads"


def train(
    config: TrainConfig,
    data: Sequence[str | Path],
    run: str | Path,
    options: RunOptions | None = None,
    *begin_with: str | Path,
) -> Path:
    """Train or resume a run.

    Args:
        config: what to train.
        data: shard folders.
        run: the run's folder; a checkpoint in it is resumed.
        options: where and how.
        begin_with: finished runs that a new run takes over: of a lip model one with ``steps: 0``,
            whose autoencoder and lessons several runs may share, of a talker one that hears and
            one that paints, or a model (`starts`).

    Returns:
        The checkpoint's path.

    Raises:
        InputError: no usable clips, the folder holds a run of another configuration, or
            `begin_with` are not the beginning of such a run.
    """
    options = options or RunOptions()
    if config.precision not in PRECISIONS:
        raise InputError(f"precision {config.precision!r} unknown; expected bf16 or fp32")
    if options.threads:
        torch.set_num_threads(options.threads)
    fabric = Fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        precision=PRECISIONS[arithmetic(config.precision, options.accelerator)],  # type: ignore[arg-type]
        strategy="ddp" if options.devices > 1 else "auto",
    )
    fabric.launch()
    if fabric.device.type == "cpu":
        keep_freed_memory()
    starts = [Path(start) for start in begin_with]
    return _Run(fabric, config, list(data), Path(run), options, starts).go()


class _Run:
    def __init__(
        self,
        fabric: Fabric,
        config: TrainConfig,
        data: list[str | Path],
        folder: Path,
        options: RunOptions,
        starts: Sequence[Path] = (),
    ) -> None:
        self.fabric, self.config, self.folder, self.options = fabric, config, folder, options
        self.checkpoint = folder / "last.pt"
        torch.manual_seed(config.seed)
        self.learner = make_learner(config, fabric.device, self._reduce)
        self.phases = self.learner.phases()
        self.progress = Progress({phase.name: 0 for phase in self.phases})
        self._resume(starts)
        torch.set_float32_matmul_precision("high")
        source = self.learner.source(data, options.cache_gib)
        self.draw = Draw(source, config.seed, fabric.global_rank, fabric.device)
        if fabric.is_global_zero:
            from torch.utils.tensorboard import SummaryWriter

            folder.mkdir(parents=True, exist_ok=True)
            (folder / "samples").mkdir(exist_ok=True)
            text = json.dumps(to_dict(config), indent=2)
            (folder / "config.json").write_text(text + "\n")
            self.scalars = SummaryWriter(str(folder))
            self.watch = self.learner.watch(data)

    def go(self) -> Path:
        """Train until the last step or the time is over."""
        started = saved = looked = ticked = time.monotonic()
        ticks = 0
        self._note_hardware()
        while any(self.progress.done[phase.name] < phase.steps for phase in self.phases):
            terms, count = self._next()
            ticks += 1
            now = time.monotonic()
            if count % self.config.log_every == 0:
                self._tell(terms, count, (now - ticked) / ticks)
                ticked, ticks = now, 0
            # Asked once by every process: they answer one another.
            out_of_time = self._out_of_time(now)
            if self._due(now - saved, self.config.checkpoint_minutes):
                self._save(now - started)
                # Now, so that hours counts everything up to the checkpoint once.
                started = saved = now
            if out_of_time:
                break
            if self.progress.done["step"] and self._due(now - looked, self.config.validate_minutes):
                self._look()
                looked = ticked = time.monotonic()
                ticks = 0
        self._save(time.monotonic() - started)
        self._look()
        return self.checkpoint

    def _next(self) -> tuple[dict[str, float], int]:
        """Do the next step of the first phase that is not done; return its terms and count."""
        done = self.progress.done
        phase = next(phase for phase in self.phases if done[phase.name] < phase.steps)
        with self.fabric.autocast():
            terms = phase.act(self.draw, done[phase.name])
        done[phase.name] += 1
        if not all(np.isfinite(value) for value in terms.values()):
            raise RuntimeError(f"loss not finite in {phase.name} {done[phase.name]}: {terms}")
        return terms, done[phase.name]

    def _reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average gradients over processes in one message.

        DistributedDataParallel allows one forward per backward; a discriminator that judges three
        pairs needs several, so the gradients are averaged by hand.
        """
        if self.fabric.world_size == 1:
            return
        grads = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in grads])
        flat = self.fabric.all_reduce(flat, reduce_op="mean")  # type: ignore[assignment]
        offset = 0
        for grad in grads:
            grad.copy_(flat[offset : offset + grad.numel()].view_as(grad))
            offset += grad.numel()

    def _due(self, seconds: float, minutes: float) -> bool:
        return self.fabric.is_global_zero and seconds > minutes * 60

    def _out_of_time(self, now: float) -> bool:
        if not self.options.minutes:
            return False
        late = float(now - self._begun > self.options.minutes * 60)
        if self.fabric.world_size > 1:
            # All processes must stop at the same step, or one waits for the others for ever.
            late = float(self.fabric.broadcast(late))
        return late > 0

    def _note_hardware(self) -> None:
        self._begun = time.monotonic()
        name = hardware_name(self.fabric.device)
        if name not in self.progress.hardware:
            self.progress.hardware.append(name)

    def _tell(self, terms: dict[str, float], count: int, seconds: float) -> None:
        if not self.fabric.is_global_zero:
            return
        for name, value in terms.items():
            self.scalars.add_scalar(name, value, count)
        shown = "  ".join(f"{name} {value:.4f}" for name, value in terms.items())
        log.info("%s %d  %.2f s/step  %s", self.config.name, count, seconds, shown)

    def _look(self) -> None:
        step = self.progress.done["step"]
        if not self.fabric.is_global_zero or not step:
            return
        strip = self.folder / "samples" / f"{step:07d}.png"
        with self.fabric.autocast():
            scores = self.watch(strip)
        for name, value in scores.items():
            self.scalars.add_scalar(f"val/{name}", value, step)
        shown = "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
        log.info("%s %d  val  %s", self.config.name, step, shown)
        self.scalars.flush()

    def _save(self, seconds: float) -> None:
        self.progress.spend(seconds)
        if not self.fabric.is_global_zero:
            return
        device = self.fabric.device
        state = {
            "config": to_dict(self.config),
            "progress": self.progress.to_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            **self.learner.state(),
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)

    def _resume(self, starts: Sequence[Path]) -> None:
        if self.checkpoint.is_file():
            state = read_checkpoint(self.checkpoint)
            check_same_run(from_dict(state["config"]), self.config, self.folder)
            self.learner.load(state)
            torch.set_rng_state(state["random"])
            if self.fabric.device.type == "cuda" and state.get("random_cuda") is not None:
                torch.cuda.set_rng_state(state["random_cuda"], self.fabric.device)
            before = [Progress.from_dict(state["progress"])]
            self.progress.run = before[0].run
        elif starts:
            runs = {str(start): read_start(start) for start in starts}
            self.learner.begin_with(runs)
            before = [Progress.from_dict(state["progress"]) for state in runs.values()]
            for progress in before:
                # Their lessons are this run's, their own steps are not.
                progress.done["step"] = 0
        else:
            return
        for progress in before:
            self.progress.add(progress)
