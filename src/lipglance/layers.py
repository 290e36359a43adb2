"""Building blocks of the networks: 3-D convolutions computed frame by frame.

A video is carried as ``(B*T, C, H, W)``: the frames are folded into the batch, so that every
layer is a 2-D layer. A ``kt x k x k`` convolution is one 2-D convolution to ``kt * C`` channels
followed by a sum over shifted frames: the same sum of products as :class:`torch.nn.Conv3d` (a test
holds the two together), but several times faster on CPUs, in training and in onnxruntime.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def as_images(video: Tensor) -> Tensor:
    """Fold ``(B, 3, T, H, W)`` to images ``(B*T, 3, H, W)``, channels last."""
    images = video.transpose(1, 2).flatten(0, 1)
    return images.contiguous(memory_format=torch.channels_last)


def channels_last(network: nn.Module) -> None:
    """Lay out the weights of 2-D convolutions as CPUs and GPUs multiply them fastest."""
    for parameter in network.parameters():
        # Module.to(memory_format=...) refuses networks that hold 3-D convolutions as well.
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Let a running average of a network's values go a step towards it."""
    for slow, fast in zip(
        average.state_dict().values(), network.state_dict().values(), strict=True
    ):
        if slow.dtype.is_floating_point:
            slow.lerp_(fast, 1.0 - decay)
        else:
            slow.copy_(fast)


def shifted_sum(taps: Tensor, frames: int, kernel: int) -> Tensor:
    """Sum the time taps of a convolution.

    Args:
        taps: ``(B*T, kernel*C, H, W)``, tap-major: channels ``[k*C, (k+1)*C)`` are what a frame
            gives to the frame ``k - kernel//2`` steps *before* it.
        frames: T.
        kernel: odd number of taps.

    Returns:
        ``(B*T, C, H, W)``; frames outside the window count as zero.
    """
    if kernel == 1:
        return taps
    total, _, height, width = taps.shape
    split = taps.view(total // frames, frames, kernel, -1, height, width)
    half = kernel // 2
    out = split[:, :, half]
    for tap in range(kernel):
        shift = tap - half
        if abs(shift) >= frames:
            continue
        if shift > 0:
            out = out + F.pad(split[:, shift:, tap], (0, 0, 0, 0, 0, 0, 0, shift))
        elif shift < 0:
            out = out + F.pad(split[:, :shift, tap], (0, 0, 0, 0, 0, 0, -shift, 0))
    return out.reshape(total, -1, height, width)


class TimeConv(nn.Module):
    """A ``time x kernel x kernel`` convolution with 'same' padding over folded frames.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: spatial kernel.
        time: odd temporal kernel.
        upsample: True for a transposed convolution of spatial stride 2 (doubles H and W).
        bias: add a bias per output channel.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        time: int = 3,
        *,
        upsample: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.time = time
        self.spatial: nn.Module
        if upsample:
            self.spatial = nn.ConvTranspose2d(
                inputs, outputs * time, kernel, 2, kernel // 2, output_padding=1, bias=False
            )
        else:
            self.spatial = nn.Conv2d(
                inputs, outputs * time, kernel, padding=kernel // 2, bias=False
            )
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Map ``(B*T, Cin, H, W)`` to ``(B*T, Cout, H', W')``."""
        out = shifted_sum(self.spatial(x), frames, self.time)
        return out if self.bias is None else out + self.bias.view(1, -1, 1, 1)


class BatchRenorm(nn.BatchNorm2d):
    """Batch norm that, in training too, normalises by what it has seen so far (Ioffe 2017).

    Plain batch norm shifts every picture by the mean of whoever else is in the batch. With a
    handful of identities to a batch that noise hides their skin colour: the pixel loss stuck at
    0.15 where a still picture has 0.07. Renormalising removes it; evaluation is plain batch norm.

    The corrections are let in between ``RAMP`` updates, while the running statistics settle.
    """

    RAMP = (20, 200)
    LIMITS = (3.0, 5.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to the same shape."""
        running_mean, running_var, count = (
            self.running_mean,
            self.running_var,
            self.num_batches_tracked,
        )
        if not self.training or running_mean is None or running_var is None or count is None:
            return super().forward(x)
        with torch.no_grad():
            var, mean = torch.var_mean(x.float(), dim=(0, 2, 3), correction=0)
            deviation, running = (var + self.eps).sqrt(), (running_var + self.eps).sqrt()
            start, stop = self.RAMP
            open_ = ((count - start) / (stop - start)).clamp(0.0, 1.0)
            most = 1.0 + (self.LIMITS[0] - 1.0) * open_
            scale = (deviation / running).clamp(1.0 / most, most)
            far = self.LIMITS[1] * open_
            shift = ((mean - running_mean) / running).clamp(-far, far)
            momentum = self.momentum if self.momentum is not None else 0.1
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(var, momentum)
            count.add_(1)
        weight, bias = self.weight * scale, self.weight * shift + self.bias
        return F.batch_norm(x, None, None, weight, bias, True, 0.0, self.eps)


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm around a skip connection (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            BatchRenorm(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            BatchRenorm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to the same shape."""
        out: Tensor = x + self.body(x)
        return out


def conv_norm_relu(
    inputs: int, outputs: int, kernel: int, stride: int | tuple[int, int] = 1
) -> nn.Sequential:
    """Return convolution, batch norm and ReLU with 'same' padding."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        BatchRenorm(outputs),
        nn.ReLU(inplace=True),
    )


def init_weights(module: nn.Module, std: float = 0.02) -> None:
    """Give convolutions N(0, std) and norms N(1, std) weights, as DCGAN and the authors do."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Conv3d | nn.Linear):
            nn.init.normal_(part.weight, 0.0, std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(part.weight, 1.0, std)
            nn.init.zeros_(part.bias)
