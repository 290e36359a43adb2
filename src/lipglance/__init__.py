"""lipglance: speech and one picture of a face in, the video of that face's lips saying it out.

model = lipglance.load_model()
video = model.generate("face.jpg", "speech.wav")
video.frames            # (T, H, W, 3) uint8 RGB
video.save("out.mp4")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lipglance.errors import InputError, LipglanceError

if TYPE_CHECKING:
    from lipglance.models import load_model as load_model

__version__ = "0.1.0"
__all__ = ["InputError", "LipglanceError", "__version__", "load_model"]


def __getattr__(name: str) -> Any:
    # Numbers and networks are loaded only by those who ask for a model.
    if name == "load_model":
        from lipglance.models import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
