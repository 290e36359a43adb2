import json

import pytest

from lipglance.audio import AudioConfig
from lipglance.crop import CropConfig
from lipglance.errors import InputError
from lipglance.model_info import ModelInfo, read_info
from toy_model import write_toy_model

FACTS = {
    "name": "toy",
    "kind": "lmgg",
    "description": "d",
    "trained_on": "t",
    "licence": "l",
}


def test_facts_survive_json_with_keys_nobody_knows():
    info = ModelInfo(
        **FACTS,
        steps=12,
        width=64,
        audio=AudioConfig(mels=80),
        crop=CropConfig(size=96),
        overlap=4,
        size=99,
        extra={"metrics": {"LMD": 1.2}},
    )
    values = json.loads(json.dumps(info.to_dict()))
    assert values["metrics"] == {"LMD": 1.2}
    assert "size" not in values
    assert ModelInfo.from_dict(values | {"size": 99}) == ModelInfo.from_dict(values)
    again = ModelInfo.from_dict(values)
    assert again.to_dict() == info.to_dict()
    assert (again.audio.mels, again.crop.size) == (80, 96)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": None}, "no text for kind"),
        ({"audio": {"pitch": 1}}, "pitch"),
        ({"audio": {"mels": 0}}, "positive"),
        ({"overlap": 9}, "overlap"),
    ],
)
def test_facts_that_do_not_fit_are_told(change, told):
    with pytest.raises(InputError, match=told):
        ModelInfo.from_dict(FACTS | change)


def test_files_that_hold_no_facts_are_told(tmp_path):
    directory = write_toy_model(tmp_path / "b")
    (directory / "model.json").write_text("{")
    with pytest.raises(InputError, match=r"no readable model\.json"):
        read_info(directory)
    (directory / "model.json").write_text("[]")
    with pytest.raises(InputError, match="no JSON object"):
        read_info(directory)
