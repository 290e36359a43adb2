"""Configs are read, merged over their base, checked, and survive the way through a checkpoint."""

from pathlib import Path

import pytest

pytest.importorskip("omegaconf")

from lipglance.config import TrainConfig, from_dict, load_config, to_dict
from lipglance.errors import InputError

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_loads_and_comes_back_whole(path):
    config = load_config(path)
    assert from_dict(to_dict(config)) == config


def test_base_comes_first_and_overrides_last(tmp_path):
    (tmp_path / "base.yaml").write_text("steps: 5\nloss: {pixel: 2.0, perceptual: 3.0}\n")
    (tmp_path / "own.yaml").write_text("base: base.yaml\nloss: {pixel: 4.0}\n")
    config = load_config(tmp_path / "own.yaml", ["loss.correlation=0", "batch=3"])
    assert (config.steps, config.batch) == (5, 3)
    loss = config.loss
    assert (loss.pixel, loss.perceptual, loss.correlation) == (4.0, 3.0, 0.0)


def test_a_base_may_have_a_base_but_not_itself(tmp_path):
    (tmp_path / "one.yaml").write_text("steps: 5\nbatch: 2\n")
    (tmp_path / "two.yaml").write_text("base: one.yaml\nbatch: 3\n")
    (tmp_path / "three.yaml").write_text("base: two.yaml\nrate: 1.0e-3\n")
    config = load_config(tmp_path / "three.yaml")
    assert (config.steps, config.batch, config.rate) == (5, 3, 1e-3)
    (tmp_path / "round.yaml").write_text("base: round.yaml\nsteps: 4\n")
    with pytest.raises(InputError, match="round"):
        load_config(tmp_path / "round.yaml")


def test_defaults_are_the_papers_width():
    assert TrainConfig().generator.width == 64


@pytest.mark.parametrize(
    ("text", "named"),
    [("stepz: 3\n", "stepz"), ("steps: many\n", "steps"), ("a: [\n", "config"), ("", "no keys")],
)
def test_bad_config_is_one_clear_line(tmp_path, text, named):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InputError, match=named) as error:
        load_config(tmp_path / "bad.yaml")
    assert "\n" not in str(error.value)


def test_missing_config_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="no config"):
        load_config(tmp_path / "none.yaml")
