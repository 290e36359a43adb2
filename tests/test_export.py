"""A run becomes a model folder that runs the same without torch."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from lipglance.errors import InputError  # noqa: E402
from lipglance.export import TOLERANCE, disagreement, export_model, read_generator  # noqa: E402
from lipglance.model_info import read_info  # noqa: E402
from lipglance.models import find_model, load_model  # noqa: E402
from lipglance.trainer import train  # noqa: E402
from synthetic_shards import write_shards  # noqa: E402
from test_trainer import CPU, tiny  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    train(tiny(), [write_shards(folder / "shards", clips=4)], folder / "run", CPU)
    return folder / "run"


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    facts = folder / "facts.json"
    said = {"description": "tiny", "trained_on": "drawings", "licence": "none", "more": 1}
    facts.write_text(json.dumps(said))
    return export_model(run, folder / "tiny", facts)


def test_folder_says_what_it_is(exported):
    info = read_info(exported)
    assert (info.name, info.kind, info.steps, info.width) == ("tiny", "lmgg", 4, 4)
    assert info.trained_on == "drawings"
    assert info.extra["more"] == 1
    assert info.extra["training"]["batch"] == 2
    assert {p.name for p in exported.iterdir()} == {
        "model.json",
        "model.onnx",
        "model.safetensors",
    }


def test_torch_and_onnx_agree(exported):
    assert disagreement(read_generator(exported), exported / "model.onnx", seed=3) < TOLERANCE


def test_shipped_weights_agree_in_torch_and_onnx():
    folder = find_model("lmgg")
    assert disagreement(read_generator(folder), folder / "model.onnx", seed=1) < TOLERANCE


def test_exported_model_speaks(exported):
    model = load_model(exported)
    session = model.start(np.full((64, 64, 3), 128, np.uint8))
    sound = np.zeros(16000, np.float32)
    frames = [session.feed(sound), session.finish()]
    assert sum(len(part) for part in frames) == 25


def test_existing_folder_needs_force_and_keeps_its_card(run, exported):
    with pytest.raises(InputError, match="--force"):
        export_model(run, exported)
    (exported / "CARD.md").write_text("card")
    export_model(run, exported, force=True)
    assert (exported / "CARD.md").read_text() == "card"
    (exported / "CARD.md").unlink()


def test_what_is_no_model_is_never_replaced(run, exported, tmp_path):
    (tmp_path / "diary").mkdir()
    (tmp_path / "diary" / "monday.txt").write_text("rain")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(exported)
    for output, told in (
        (tmp_path / "diary", "something else than a model"),
        (tmp_path / "file", "is a file"),
        (tmp_path / "link", "or a link"),
        (run, "holds .*, which is read"),
        (run.parent, "holds .*, which is read"),
        (tmp_path / "diary" / "..", "no name of a model"),
    ):
        before = sorted(tmp_path.rglob("*")), sorted(run.parent.rglob("*"))
        with pytest.raises(InputError, match=told):
            export_model(run, output, force=True)
        assert (sorted(tmp_path.rglob("*")), sorted(run.parent.rglob("*"))) == before
    # Refused before the run is looked at.
    with pytest.raises(InputError, match="something else than a model"):
        export_model(tmp_path / "nowhere", tmp_path / "diary", force=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_facts_that_would_be_lost_are_kept(run, tmp_path):
    (tmp_path / "model.json").write_text("{}")
    (tmp_path / "facts.json").write_text("{}")
    with pytest.raises(InputError, match="which is read"):
        export_model(run, tmp_path, tmp_path / "facts.json", force=True)


@pytest.mark.parametrize("mark", ["model.json", "motion.json", "sync.json", None])
def test_models_of_all_kinds_and_empty_folders_are_replaced(run, tmp_path, mark):
    old = tmp_path / "old"
    old.mkdir()
    if mark is not None:
        (old / mark).write_text("{}")
    with pytest.raises(InputError, match="--force"):
        export_model(run, old)
    assert read_info(export_model(run, old, force=True)).kind == "lmgg"


def test_bad_facts_leave_nothing(run, tmp_path):
    facts = tmp_path / "facts.json"
    facts.write_text('{"description": "x"}')
    with pytest.raises(InputError, match="trained_on, licence"):
        export_model(run, tmp_path / "model", facts)
    assert not (tmp_path / "model").exists()


def test_no_model_no_generator(tmp_path):
    with pytest.raises(InputError, match="no lip model"):
        read_generator(tmp_path)
