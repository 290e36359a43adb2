"""The learned correlation encoders of a training run, asked at every offset (figure 3, torch)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lipglance.audio import AudioConfig, log_mel
from lipglance.checkpoint import read_checkpoint
from lipglance.config import from_dict
from lipglance.correlation import AudioDerivativeEncoder, FlowEncoder
from lipglance.errors import InputError
from lipglance.figure_correlation import OFFSETS, Floats, Measure
from lipglance.flow import video_flow
from lipglance.generator import Generator
from lipglance.shards import Sample

STRIDE = 2
"""Frames from one window of sound to the next; motion is looked at from every frame on."""


class LearnedCorrelation:
    """Pearson's r of the encoded sound and the encoded flow, as the training's loss has it.

    The loss compares windows of 16 frames; here the flow's window is moved by an offset against
    the sound's, and r is averaged over the windows of a clip.

    Args:
        path: a run's ``last.pt``.

    Raises:
        InputError: no checkpoint, or one of a run that has no correlation encoders.
    """

    def __init__(self, path: Path) -> None:
        state = read_checkpoint(path)
        try:
            config = from_dict(state["config"])
            if config.kind != "lmgg" or not config.loss.correlation:
                raise ValueError("its run had no correlation loss")
            # The encoders were trained beside this state of the generator, not its average.
            generator = Generator(config.generator)
            generator.load_state_dict(state["networks"]["generator"])
            self.hear = generator.audio.eval()
            self.encode_sound = AudioDerivativeEncoder(
                config.generator.width * 4,
                config.correlation_width,
                derivative=config.loss.derivative,
            ).eval()
            self.encode_sound.load_state_dict(state["networks"]["audio_encoder"])
            self.encode_flow = FlowEncoder(config.correlation_width).eval()
            self.encode_flow.load_state_dict(state["networks"]["flow_encoder"])
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise InputError(
                f"{path} holds no correlation encoders ({type(error).__name__}: {error}); "
                "expected the last.pt of a run of the paper's model"
            ) from error
        self.frames = config.generator.frames

    @torch.no_grad()
    def __call__(self, heard: Sample, seen: Sample) -> Floats:
        """Return the mean r at each offset, (2 REACH + 1,), NaN where no window is left.

        The longer of the two clips is cut to the length of the other.
        """
        count = min(heard.frames, seen.frames)
        crops = torch.from_numpy(seen.crops()[:count]).permute(3, 0, 1, 2)[None]
        last = count - self.frames
        if last < 0:
            return np.full(len(OFFSETS), np.nan)
        mel = torch.from_numpy(log_mel(heard.audio(), AudioConfig(), count))
        flow = video_flow(crops.float() / 127.5 - 1.0)[0]
        starts = range(0, last + 1, STRIDE)
        rows = AudioConfig().frames_per_video_frame
        sound = torch.stack([mel[s * rows : (s + self.frames) * rows] for s in starts])
        moved = torch.stack([flow[:, s : s + self.frames - 1] for s in range(last + 1)])
        spoken = _unit(self.encode_sound(self.hear(sound[:, None])))
        shown = _unit(self.encode_flow(moved))
        curve = np.full(len(OFFSETS), np.nan)
        for place, offset in enumerate(OFFSETS.tolist()):
            pairs = [(k, s + offset) for k, s in enumerate(starts) if 0 <= s + offset <= last]
            if pairs:
                first, second = (list(part) for part in zip(*pairs, strict=True))
                curve[place] = float((spoken[first] * shown[second]).sum(1).mean())
        return curve


def _unit(vectors: Tensor) -> Tensor:
    """Vectors (N, D) less their mean and of length 1, float64: their products are Pearson's r."""
    vectors = vectors.double()
    centred = vectors - vectors.mean(dim=1, keepdim=True)
    scaled: Tensor = centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-20)
    return scaled


def learned_measure(path: Path) -> Measure:
    """The curve of a clip by the encoders of a checkpoint; InputError as `LearnedCorrelation`."""
    return LearnedCorrelation(path)
