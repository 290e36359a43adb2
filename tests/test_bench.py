import json

import pytest

from lipglance.bench import Stage
from lipglance.cli import main
from toy_model import write_toy_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(write_toy_model(tmp_path_factory.mktemp("toy")))


def test_a_stage_is_told_by_its_median_run():
    stage = Stage("network", 50, (4.0, 1.0, 2.0))
    assert stage.fps == 25
    assert stage.ms == 40
    assert stage.real_time_factor == 1
    assert Stage("mesh", 1, (0.5,), of_speech=False).real_time_factor is None


def test_every_stage_and_the_whole_command_are_timed(model, capsys):
    options = ["--model", model, "--seconds", "0.8", "--runs", "1", "--side", "256"]
    assert main(["bench", *options, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["cores"] >= 1
    assert facts["threads"] >= 1
    assert facts["photo"] == "256x256"
    stages = {stage["name"]: stage for stage in facts["stages"]}
    for name in ("detect", "mesh", "crop", "log-mel", "compositing", "encoding"):
        assert len(stages[name]["seconds"]) == 1
        assert stages[name]["fps"] > 0
    assert stages["network, onnxruntime (chosen)"]["frames"] == 16
    whole = stages["whole command, face view"]
    assert whole["frames"] == 20
    assert whole["peak_mib"] > 20
    assert whole["seconds"][0] > stages["encoding"]["seconds"][0]


def test_the_table_names_the_machine(model, capsys):
    options = ["--model", model, "--seconds", "0.7", "--runs", "1", "--side", "256"]
    assert main(["bench", *options, "--threads", "1"]) == 0
    table = capsys.readouterr().out
    for word in ("compositing", "real-time factor", "peak MiB", "cores", "1 threads"):
        assert word in table


def test_an_unknown_model_is_told(capsys):
    assert main(["bench", "--model", "best"]) == 2
    assert "unknown model 'best'" in capsys.readouterr().err
