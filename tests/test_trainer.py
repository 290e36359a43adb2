"""A tiny run trains, stops, resumes exactly, and refuses what does not fit it."""

import json
import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from lipglance.checkpoint import read_checkpoint  # noqa: E402
from lipglance.cli import main  # noqa: E402
from lipglance.config import from_dict  # noqa: E402
from lipglance.errors import InputError  # noqa: E402
from lipglance.trainer import RunOptions, arithmetic, train  # noqa: E402
from synthetic_shards import write_shards  # noqa: E402

CPU = RunOptions(accelerator="cpu", threads=1)


def tiny(**changes):
    return from_dict(
        {
            "steps": 4,
            "batch": 2,
            "warmup": 1,
            "log_every": 1,
            "precision": "fp32",
            "discriminator_width": 4,
            "correlation_width": 16,
            "generator": {"width": 4, "residual_blocks": 1},
            "autoencoder": {"width": 4, "residual_blocks": 1, "steps": 2, "batch": 8},
            "loss": {"adversarial_start": 1, "correlation_start": 1},
            **changes,
        }
    )


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), clips=4)


@pytest.fixture(scope="module")
def finished(shards, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(tiny(), [shards], run, CPU)
    return run


def weights(run, network="generator"):
    return read_checkpoint(run / "last.pt")["networks"][network]


def assert_same(one, two, **tolerance):
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], **tolerance)


def test_run_folder(finished):
    state = read_checkpoint(finished / "last.pt")
    assert state["progress"]["step"] == 4
    assert state["progress"]["autoencoder"] == 2
    assert state["progress"]["hours"] > 0
    assert state["progress"]["hardware"]
    assert json.loads((finished / "config.json").read_text())["name"] == "lmgg"
    assert list((finished / "samples").glob("*.png"))
    assert list(finished.glob("events.*"))


def test_scalars_are_finite(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished)).Reload()
    names = events.Tags()["scalars"]
    assert {"pixel", "perceptual", "correlation/fake", "adversarial", "val/l1"} <= set(names)
    for name in names:
        assert all(abs(event.value) < 1e4 for event in events.Scalars(name))


def test_same_seed_same_weights_and_another_seed_others(shards, finished, tmp_path):
    train(tiny(), [shards], tmp_path / "again", CPU)
    assert_same(weights(finished), weights(tmp_path / "again"), rtol=0, atol=0)
    train(tiny(seed=1), [shards], tmp_path / "other", CPU)
    one, two = weights(finished), weights(tmp_path / "other")
    assert any(not torch.equal(one[name], two[name]) for name in one)


def test_resumed_run_equals_the_unbroken_one(shards, finished, tmp_path, monkeypatch):
    """Broken off inside the autoencoder's phase and again inside the generator's."""
    from lipglance import trainer

    class StopError(Exception):
        pass

    def break_after(calls):
        count = {"left": calls}
        keep = trainer._Run._due

        def due(self, seconds, minutes):
            count["left"] -= 1
            if count["left"] < 0:
                self._save(1.0)
                raise StopError
            return keep(self, seconds, minutes)

        return due

    for calls in (0, 2, None):
        with monkeypatch.context() as patch:
            if calls is None:
                train(tiny(), [shards], tmp_path / "broken", CPU)
            else:
                patch.setattr(trainer._Run, "_due", break_after(calls))
                with pytest.raises(StopError):
                    train(tiny(), [shards], tmp_path / "broken", CPU)
    assert_same(weights(finished), weights(tmp_path / "broken"), rtol=0, atol=0)
    assert_same(
        weights(finished, "discriminator"),
        weights(tmp_path / "broken", "discriminator"),
        rtol=0,
        atol=0,
    )


def test_time_limit_stops_with_a_checkpoint(shards, tmp_path):
    options = RunOptions(minutes=1e-6, accelerator="cpu", threads=1)
    train(tiny(steps=1000), [shards], tmp_path / "short", options)
    progress = read_checkpoint(tmp_path / "short" / "last.pt")["progress"]
    assert progress["step"] + progress["autoencoder"] < 5


def test_lessons_come_before_the_first_step(shards, tmp_path):
    config = tiny(warm_start=True, painting_lesson=2, audio_lesson=1, steps=1)
    train(config, [shards], tmp_path / "run", CPU)
    progress = read_checkpoint(tmp_path / "run" / "last.pt")["progress"]
    done = {name: progress[name] for name in ("painting_lesson", "audio_lesson", "step")}
    assert done == {"painting_lesson": 2, "audio_lesson": 1, "step": 1}


def test_several_runs_begin_with_the_same_lessons(shards, tmp_path):
    taught = {"warm_start": True, "painting_lesson": 2, "audio_lesson": 1}
    lessons, row = tmp_path / "lessons", tmp_path / "row"
    train(tiny(**taught, steps=0), [shards], lessons, CPU)
    two_streams = {"adversarial_start": 0, "audio_stream": False}
    train(tiny(**taught, steps=2, loss=two_streams), [shards], row, CPU, lessons)
    assert_same(weights(lessons, "autoencoder"), weights(row, "autoencoder"), rtol=0, atol=0)
    progress = read_checkpoint(row / "last.pt")["progress"]
    assert (progress["painting_lesson"], progress["step"]) == (2, 2)
    # The same as a run that had the lessons itself.
    train(tiny(**taught, steps=2), [shards], tmp_path / "own", CPU)
    train(tiny(**taught, steps=2), [shards], tmp_path / "begun", CPU, lessons)
    assert_same(weights(tmp_path / "own"), weights(tmp_path / "begun"), rtol=0, atol=0)
    with pytest.raises(InputError, match="cannot begin this run: audio_lesson"):
        train(tiny(**{**taught, "audio_lesson": 2}), [shards], tmp_path / "no", CPU, lessons)
    with pytest.raises(InputError, match="gone beyond its lessons"):
        train(tiny(**taught), [shards], tmp_path / "no", CPU, row)


def test_accumulation_and_bf16(shards, tmp_path):
    config = tiny(batch=4, accumulate=2, steps=1, precision="bf16")
    train(config, [shards], tmp_path / "run", CPU)
    assert read_checkpoint(tmp_path / "run" / "last.pt")["progress"]["step"] == 1


@pytest.mark.parametrize("known", [True, False])
def test_bf16_only_where_the_cpu_has_it(known, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: known)
    assert arithmetic("bf16", "cpu") == ("bf16" if known else "fp32")
    assert arithmetic("bf16", "cuda") == "bf16"
    assert arithmetic("fp32", "cpu") == "fp32"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"accelerator": "foo"}, "--accelerator foo; expected auto, cpu or cuda"),
        ({"accelerator": "cuda"}, "torch finds 0 CUDA GPUs.*--accelerator cpu"),
        ({"minutes": float("nan")}, "--minutes nan; expected"),
        ({"cache_gib": float("inf")}, "--cache-gib inf; expected"),
    ],
)
def test_options_that_make_no_sense(monkeypatch, options, told):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match=told):
        RunOptions(**options)


def test_a_missing_accelerator_is_told_in_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    command = ["train", "c.yaml", "--data", str(tmp_path), "--run", str(tmp_path / "run")]
    assert main([*command, "--accelerator", "cuda"]) == 2
    error = capsys.readouterr().err
    assert "CUDA" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_another_config_in_the_same_folder_is_refused(shards, finished):
    with pytest.raises(InputError, match="batch"):
        train(tiny(batch=3), [shards], finished, CPU)


def test_more_steps_go_on(shards, tmp_path):
    train(tiny(steps=1), [shards], tmp_path / "run", CPU)
    train(tiny(steps=2), [shards], tmp_path / "run", CPU)
    assert read_checkpoint(tmp_path / "run" / "last.pt")["progress"]["step"] == 2


def test_damaged_checkpoint_is_one_clear_line(tmp_path):
    (tmp_path / "last.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="no checkpoint"):
        read_checkpoint(tmp_path / "last.pt")


def run_script(code, folder):
    """Run Python code as a script of its own in a folder, with the modules of these tests."""
    script = folder / "two.py"
    script.write_text(code)
    paths = [str(p) for p in sys.path if p]
    return subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.mark.slow
def test_two_processes_stay_together(shards, tmp_path):
    """Both processes end with the same weights although they see different clips."""
    code = f"""
import torch
from lipglance.trainer import RunOptions, _Run, train
from test_trainer import tiny
def go(self):
    self.progress.done["autoencoder"] = 99
    for _ in range(2):
        self._next()
    flat = torch.cat([p.detach().flatten() for p in self.learner.generator.parameters()])
    mean = self.fabric.all_reduce(flat.clone(), reduce_op='sum') / 2
    apart = float((flat - mean).abs().max())
    open(f'apart{{self.fabric.global_rank}}.txt', 'w').write(str(apart))
_Run.go = go
if __name__ == '__main__':
    train(tiny(), [{str(shards)!r}], {str(tmp_path / "two")!r},
          RunOptions(accelerator='cpu', devices=2, threads=1))
"""
    done = run_script(code, tmp_path)
    apart = [float(path.read_text()) for path in tmp_path.glob("apart*.txt")]
    assert len(apart) == 2, done.stderr[-2000:]
    assert max(apart) < 1e-7


@pytest.mark.slow
def test_two_processes_stop_together_when_the_time_is_over(shards, tmp_path):
    code = f"""
from dataclasses import replace
from lipglance.trainer import RunOptions, train
from test_trainer import tiny
if __name__ == '__main__':
    train(replace(tiny(), steps=10**6, checkpoint_minutes=0.01), [{str(shards)!r}], 'two',
          RunOptions(minutes=0.05, accelerator='cpu', devices=2, threads=1))
"""
    done = run_script(code, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "two" / "last.pt").is_file()
