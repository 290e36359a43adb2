"""Many frames at once in torch, on a CUDA GPU where there is one: `lipglance bench --batch`.

What a server would do that makes many mouths, and what training does in each step. A mouth alone is
faster in `lipglance.runtime`, where nothing waits for a batch to be full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from time import perf_counter

import torch
from torch import Tensor

from .bench_stages import Stage
from .errors import InputError
from .layers import channels_last
from .motion_net import BANDS, ROWS, load_hearing
from .mouth_warp import CHANNELS, window
from .renderer_export import load_renderer
from .renderer_net import rendered
from .starts import read_start
from .trainer import hardware_name

_SECOND = 25


class Batched:
    """A product model's two networks, ready for `batch` frames at once.

    Args:
        name: of a model, or the folder of one.
        batch: frames, at least 1.
        threads: of the CPU; None for all.
        device: None for the first CUDA GPU, or the CPU where there is none.

    Raises:
        InputError: there is no such model, or it is none that moves and paints.
    """

    def __init__(
        self, name: str, batch: int, threads: int | None, device: torch.device | None = None
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        known = read_start(name)
        if "hearing" not in known or "painting" not in known:
            raise InputError(
                f"{name} has no motion network and renderer; expected a model such as glance"
            )
        config = {"config": known["config"]}
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.motion = load_hearing(known["hearing"] | config).to(self.device)
        self.renderer = load_renderer(known["painting"] | config).requires_grad_(False)
        self.renderer = self.renderer.to(self.device)
        channels_last(self.renderer)
        self.batch, self.size = batch, self.renderer.config.size
        self.window = torch.from_numpy(window(self.size)).to(self.device)

    @property
    def hardware(self) -> str:
        """The GPU's name, or the CPU's."""
        return hardware_name(self.device)

    @property
    def precision(self) -> str:
        """bf16 on a GPU; fp32 on a CPU, as it is shipped for."""
        return "bf16" if self.device.type == "cuda" else "fp32"

    def measure(self, runs: int) -> Iterator[Stage]:
        """Time hearing, painting, and both with the moving and composing of the frames."""
        before, after = self.motion.config.past, self.motion.config.ahead
        voices = -(-self.batch // _SECOND)
        mel = self._random(voices, (before + _SECOND + after) * ROWS, BANDS)
        memory = self.motion.silence(voices, self.device)
        seen = self._random(self.batch, CHANNELS, self.size, self.size)
        seen = seen.contiguous(memory_format=torch.channels_last)
        flow = seen[:, 10:12] * 4

        def hear() -> object:
            return self.motion(mel, memory)

        def paint() -> Tensor:
            painted: Tensor = self.renderer(seen)
            return painted

        def frames() -> object:
            return hear(), rendered(paint(), seen, flow, self.window)

        yield self._timed("hearing, a second of each voice", hear, voices * _SECOND, runs)
        yield self._timed("painting", paint, self.batch, runs)
        yield self._timed("hearing, painting, moving, composing", frames, self.batch, runs)

    def _random(self, *shape: int) -> Tensor:
        return torch.rand(shape, device=self.device) * 2 - 1

    def _timed(self, name: str, work: Callable[[], object], frames: int, runs: int) -> Stage:
        seconds = []
        with torch.inference_mode(), self._autocast():
            # Thrice for nothing: kernels are chosen, memory is touched.
            for run in range(-3, runs):
                self._wait()
                begun = perf_counter()
                work()
                self._wait()
                if run >= 0:
                    seconds.append(perf_counter() - begun)
        return Stage(name, frames, tuple(seconds))

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda")

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
