"""What a generator can learn before it meets the whole objective: to paint, and to listen.

The paper trains everything at once. On little compute the picture is learnt long before the
motion, because a generator that cannot yet open a mouth has no use for sound, and one that cannot
yet hear does not know when to open it. The lessons break that circle: the generator begins as the
lip autoencoder, learns to paint a mouth of a given true shape, and its audio encoder learns to
tell that shape. The networks are the paper's throughout; only their starting point differs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .autoencoder import LipAutoencoder
from .batches import Batch
from .generator import Generator
from .layers import as_images
from .lip_reader import SHAPE_SCALE

PAINTED_CLIPS, PAINTED_FRAMES = 16, 4
"""Clips to a step of the painting lesson, and how many frames of each it paints."""
HEARD_WINDOWS = 64
"""Windows to a step of the audio lesson."""
AUDIO_LESSON_RATE = 2e-3


class ShapeCode(nn.Module):
    """Mouth shapes ``(N, S)`` -> what the fusion would hear of them, ``(N, C, 1)``.

    The same for all rows, because a convolution of the sound's features is. The shape of rest is 0
    and says nothing.
    """

    def __init__(self, channels: int, shape: int = 4) -> None:
        super().__init__()
        self.say = nn.Linear(shape, channels, bias=False)
        nn.init.normal_(self.say.weight, 0.0, 0.1)

    def forward(self, shape: Tensor) -> Tensor:
        """See the class."""
        said: Tensor = self.say(shape * SHAPE_SCALE)
        return said[..., None]


class ShapeHead(nn.Module):
    """Audio features ``(B, C, T, 16)`` -> mouth shape ``(B, T, S)``, from all frequencies."""

    def __init__(self, channels: int, shape: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(channels * 16, 64, 3, padding=1), nn.ReLU(), nn.Conv1d(64, shape, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        rows = features.permute(0, 1, 3, 2).flatten(1, 2)
        out: Tensor = self.body(rows)
        return out.transpose(1, 2).float()


def paint(generator: Generator, identity: Tensor, code: Tensor) -> Tensor:
    """Paint single frames of faces whose mouths have a given shape.

    Only the middle time taps take part, as in a video of one frame.

    Args:
        generator: whose identity encoder, fusion and decoder are used.
        identity: ``(N, 3, 64, 64)`` RGB in [-1, 1].
        code: ``(M * N, C, 1)``, each identity's M frames one after the other.

    Returns:
        ``(M * N, 3, 64, 64)`` RGB in [-1, 1].
    """
    fusion = generator.fusion
    taps = fusion.identity.spatial(generator.identity(identity))
    seen = taps.narrow(1, taps.shape[1] // 3, taps.shape[1] // 3)
    seen = seen.repeat_interleave(len(code) // len(identity), 0)
    out: Tensor = generator.decoder(fusion.norm(seen + code[..., None]), 1)
    return out


def hear(generator: Generator, features: Tensor) -> Tensor:
    """Return what the fusion adds to the picture for audio features ``(B, C, T, 16)``.

    Returns:
        ``(B*T, C, 16)``, away from the left and right edges of the picture.
    """
    batch, channels, frames, rows = features.shape
    per_frame = features.permute(0, 2, 1, 3).reshape(batch * frames, channels, rows, 1)
    out: Tensor = generator.fusion.audio(per_frame.expand(-1, -1, -1, 3), frames)
    return out[..., 1]


class Lessons:
    """The lessons of one generator, with the networks that only they need.

    Args:
        generator: what is taught.
        device: where it lives.
        compiled: compile the painting.
    """

    def __init__(self, generator: Generator, device: torch.device, *, compiled: bool) -> None:
        self.generator = generator
        self.code = ShapeCode(generator.config.width * 4).to(device)
        self.head = ShapeHead(generator.config.width * 4).to(device)
        self._paint: Callable[[Generator, Tensor, Tensor], Tensor] = paint
        if compiled:
            self._paint = torch.compile(paint)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by the name they have in a checkpoint."""
        return {"shape_code": self.code, "shape_head": self.head}

    def painters(self) -> list[nn.Parameter]:
        """What the painting lesson trains."""
        return [*self.generator.parameters(), *self.code.parameters()]

    def hearers(self) -> list[nn.Parameter]:
        """What the audio lesson trains."""
        parts = (self.generator.audio, self.generator.fusion.audio, self.head)
        return [parameter for part in parts for parameter in part.parameters()]

    def painted(self, batch: Batch, *, fixed: bool = False) -> tuple[Tensor, Tensor]:
        """Return some frames of each window as painted from their true shapes, and as they are.

        fixed: the code is not to be learnt any more.
        """
        every = slice(None, None, batch.video.shape[2] // PAINTED_FRAMES)
        code = self.code(batch.shape[:, every].flatten(0, 1))
        code = code.detach() if fixed else code
        fake = self._paint(self.generator, batch.identity, code)
        return fake, as_images(batch.video[:, :, every])

    def misheard(self, mel: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
        """Measure what the hearing cannot tell of the mouth's shape ``(B, T, SHAPE)``.

        Returns:
            The share of the shape's power left when all frequencies are heard together, and the
            share of the code's left in each row of the fusion, which hears only the frequencies
            near it.
        """
        with torch.no_grad():
            code = self.code(shape.flatten(0, 1)).float()
        features = self.generator.audio(mel)
        told, said = self.head(features), hear(self.generator, features).float()
        return _left(told, shape), _left(said, code)


def _left(got: Tensor, wanted: Tensor) -> Tensor:
    """Share of the power of `wanted` that `got` leaves; a batch of mouths at rest has none."""
    return (got - wanted).square().mean() / wanted.square().mean().clamp(min=1e-6)


@torch.no_grad()
def warm_start(generator: Generator, autoencoder: LipAutoencoder, images: Tensor) -> None:
    """Make a fresh generator paint what the trained lip autoencoder paints: the identity, still.

    The autoencoder's encoder becomes the identity encoder, its residual blocks and its decoder the
    middle time taps of the generator's; blocks it has none for, and the audio's way into the
    picture, begin near zero. Both must have the same width.

    Args:
        generator: changed in place.
        autoencoder: in evaluation mode.
        images: ``(N, 3, 64, 64)`` lip crops in [-1, 1]; set the scale of the fusion's norm.
    """
    generator.identity.body.load_state_dict(autoencoder.encoder[:3].state_dict())
    blocks = list(autoencoder.encoder.children())[3:]
    for index, block in enumerate(generator.decoder.residual.children()):
        if index < len(blocks):
            block.load_state_dict(blocks[index].state_dict())
        else:
            nn.init.zeros_(block.get_parameter("body.4.weight"))
    decoder = generator.decoder
    for mine, theirs in (
        (decoder.up1, autoencoder.up1),
        (decoder.up2, autoencoder.up2),
        (decoder.rgb, autoencoder.rgb),
    ):
        weight, source = (part.get_parameter("spatial.weight") for part in (mine, theirs))
        axis = 1 if isinstance(mine.spatial, nn.ConvTranspose2d) else 0
        outputs = source.shape[axis]
        weight.zero_()
        weight.narrow(axis, mine.time // 2 * outputs, outputs).copy_(source)
    decoder.rgb.get_parameter("bias").copy_(autoencoder.rgb.get_parameter("bias"))
    decoder.norm1.load_state_dict(autoencoder.norm1.state_dict())
    decoder.norm2.load_state_dict(autoencoder.norm2.state_dict())
    taps = generator.fusion.identity.get_parameter("spatial.weight")
    channels = taps.shape[1]
    taps.zero_()
    middle = torch.arange(channels)
    taps[channels + middle, middle, 1, 1] = 1.0
    seen = autoencoder.encoder[:3](images)
    var, mean = torch.var_mean(seen, dim=(0, 2, 3))
    norm = next(generator.fusion.norm.children())
    norm.get_parameter("weight").copy_((var + 1e-5).sqrt())
    norm.get_parameter("bias").copy_(mean)
    norm.get_buffer("running_mean").copy_(mean)
    norm.get_buffer("running_var").copy_(var)
