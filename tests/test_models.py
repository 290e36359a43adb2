from pathlib import Path

import numpy as np
import pytest

import lipglance
from lipglance import models
from lipglance.errors import InputError
from lipglance.models import available, load_model
from lipglance.runtime import hardware, open_network
from processes import run_python
from toy_model import write_toy_model


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A package with three models."""
    for name in ("zebra", "glance", "apple"):
        write_toy_model(tmp_path / name, name)
    monkeypatch.setattr(models, "_shipped", lambda: tmp_path)
    return tmp_path


def test_models_shipped_are_listed_the_default_first_with_their_size(shipped):
    listed = available()
    assert [info.name for info in listed] == ["glance", "apple", "zebra"]
    assert listed[0].size == (shipped / "glance" / "model.onnx").stat().st_size


def test_a_model_loads_by_name_and_by_path(shipped, tmp_path):
    assert load_model().info.name == "glance"
    assert lipglance.load_model("zebra").info.name == "zebra"
    elsewhere = write_toy_model(tmp_path / "else" / "where", "mine")
    assert load_model(elsewhere).info.name == "mine"
    assert load_model(str(elsewhere)).crop.size == 64


def test_an_unknown_name_lists_those_known(shipped):
    with pytest.raises(InputError, match="unknown model 'lmg'; known: apple, glance, zebra"):
        load_model("lmg")


def test_directories_without_a_whole_model_are_told(tmp_path):
    with pytest.raises(InputError, match=r"no readable model\.json"):
        load_model(tmp_path)
    directory = write_toy_model(tmp_path / "a", kind="dream")
    with pytest.raises(InputError, match=r"kind 'dream'.*update"):
        load_model(directory)
    directory = write_toy_model(tmp_path / "b")
    (directory / "model.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not a network") as caught:
        load_model(directory)
    assert "\n" not in str(caught.value)
    (directory / "model.onnx").unlink()
    with pytest.raises(InputError, match="no network at"):
        load_model(directory)


def test_engines_and_threads_are_checked(tmp_path):
    path = write_toy_model(tmp_path) / "model.onnx"
    with pytest.raises(InputError, match="'steam' is not installed"):
        open_network(path, engine="steam")
    with pytest.raises(InputError, match="0 threads"):
        open_network(path, threads=0)
    network = open_network(path, threads=1, engine="onnxruntime")
    assert (network.engine, network.threads) == ("onnxruntime", 1)


def test_hardware_names_a_cpu_and_its_cores():
    about = hardware()
    assert about["cpu"]
    assert about["cores"] >= 1


def test_importing_the_package_loads_no_numbers_and_no_networks():
    code = (
        "import sys, lipglance; lipglance.InputError; "
        "print([m for m in ('numpy', 'cv2', 'av', 'onnxruntime', 'torch') if m in sys.modules])"
    )
    assert run_python("-c", code).stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="nonsense"):
        lipglance.nonsense  # noqa: B018


def test_a_model_needs_no_torch(tmp_path):
    write_toy_model(tmp_path)
    code = (
        "import sys, lipglance.models, lipglance.lmgg, lipglance.generate, lipglance.compositing; "
        "print('torch' in sys.modules)"
    )
    assert run_python("-c", code).stdout.strip() == "False"


@pytest.mark.parametrize("name", ["lmgg-grid", "lmgg-lrc-ar"])
def test_models_of_one_corpus_lie_in_the_repository_with_their_cards(name):
    folder = Path(__file__).resolve().parents[1] / "weights" / name
    model = load_model(folder, threads=1)
    assert model.info.name == name
    assert model.info.trained_on
    assert model.info.licence != "not stated"
    card = (folder / "CARD.md").read_text()
    for word in ("trained on", "steps", "licence", "Meant for", "Not for"):
        assert word in card
    frames = model.start(np.full((64, 64, 3), 128, np.uint8)).finish(3)
    assert frames.shape == (3, 64, 64, 3)
