"""The facts that a model carries in its ``model.json``, and how they are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from lipglance.audio import AudioConfig
from lipglance.crop import CropConfig
from lipglance.errors import InputError

_NOT_EXTRA = {"audio", "crop", "size"}
_REQUIRED = ("name", "kind", "description", "trained_on", "licence")


@dataclass(frozen=True)
class ModelInfo:
    """The facts of one model, read from its ``model.json``.

    name: what `load_model` and ``--model`` call it. kind: a key of `lipglance.models.KINDS`.
    description, trained_on, licence: one line each. steps: optimizer steps. width: base width of
    the network. audio: what it hears. crop: what it sees. window: video frames made at once.
    overlap: of these, how many are blended with the window before. size: bytes of its networks on
    disk, counted at loading, not stored. extra: every other key of the file, kept as it is.
    """

    name: str
    kind: str
    description: str
    trained_on: str
    licence: str
    steps: int = 0
    width: int = 0
    audio: AudioConfig = field(default_factory=AudioConfig)
    crop: CropConfig = field(default_factory=CropConfig)
    window: int = 16
    overlap: int = 8
    size: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.window < 1 or not 0 <= self.overlap <= self.window // 2:
            raise InputError(
                f"model {self.name}: windows of {self.window} frames that overlap by "
                f"{self.overlap}; expected an overlap of at most half the window"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelInfo:
        """Build from the plain values of a ``model.json``; InputError where they do not fit."""
        missing = [key for key in _REQUIRED if not isinstance(values.get(key), str)]
        if missing:
            raise InputError(
                f"model.json has no text for {', '.join(missing)}; expected a model directory "
                "written by lipglance's exporter"
            )
        known = {f.name for f in fields(cls)} - {"size", "extra", "audio", "crop"}
        try:
            return cls(
                **{key: values[key] for key in known & set(values)},
                audio=AudioConfig(**values.get("audio", {})),
                crop=CropConfig(**values.get("crop", {})),
                extra={k: v for k, v in values.items() if k not in known | _NOT_EXTRA},
            )
        except TypeError as error:
            raise InputError(
                f"model.json of {values['name']} does not fit this version of lipglance: {error}; "
                "update lipglance or export the model anew"
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``model.json``; `from_dict` reads them back."""
        values = asdict(self)
        del values["size"]
        extra: dict[str, Any] = values.pop("extra")
        return values | extra


def read_info(directory: str | Path) -> ModelInfo:
    """Read the facts of the model in `directory`; InputError where there is no model."""
    path = Path(directory) / "model.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"no readable model.json in {directory} ({type(error).__name__}); expected a model "
            "directory with model.json and model.onnx"
        ) from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no JSON object; expected the facts of a model")
    info = ModelInfo.from_dict(values)
    size = sum(part.stat().st_size for part in path.parent.glob("*.onnx"))
    return replace(info, size=size)
