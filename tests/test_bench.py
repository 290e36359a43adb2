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
    assert facts["engine"] == "onnxruntime"
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


def test_a_stream_is_timed_chunk_by_chunk(model, capsys):
    options = ["--model", model, "--stream", "--seconds", "2", "--side", "256", "--chunk", "50"]
    assert main(["bench", *options, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["speech_seconds"] == 2
    assert [stream["view"] for stream in facts["streams"]] == ["lips", "face"]
    for stream in facts["streams"]:
        assert stream["frames"] == 50
        # Chunk by chunk and the end.
        assert len(stream["seconds"]) == 41
        # 16 frames and the 11 ms that the ears look ahead.
        assert stream["needed"] == pytest.approx(0.651)
        assert stream["first_chunk"] == 14
        assert stream["first_ms"] == pytest.approx(651 + 1000 * stream["seconds"][13])
        assert 0 < stream["p50_ms"] <= stream["p95_ms"] <= stream["p99_ms"] <= stream["p100_ms"]
        assert stream["peak_mib"] > 20
        assert stream["grown_mib"] >= 0


def test_a_stream_shorter_than_what_the_first_frame_needs_is_timed(model, capsys):
    options = ["--model", model, "--stream", "--seconds", "0.7", "--side", "256", "--chunk", "600"]
    assert main(["bench", *options]) == 0
    table = capsys.readouterr().out
    for word in ("first frame", "651 (chunk 2)", "p99", "grown MiB", "chunks of 600 ms", "face"):
        assert word in table


def test_the_table_names_the_machine(model, capsys):
    options = ["--model", model, "--seconds", "0.7", "--runs", "1", "--side", "256"]
    assert main(["bench", *options, "--threads", "1"]) == 0
    table = capsys.readouterr().out
    for word in ("compositing", "real-time factor", "peak MiB", "cores", "onnxruntime, fp32"):
        assert word in table


def test_an_unknown_model_is_told(capsys):
    assert main(["bench", "--model", "best"]) == 2
    assert "unknown model 'best'" in capsys.readouterr().err


def test_a_photo_whose_face_would_be_too_small_is_refused(capsys):
    assert main(["bench", "--side", "255"]) == 2
    assert "256" in capsys.readouterr().err
