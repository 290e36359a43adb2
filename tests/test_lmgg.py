import threading

import numpy as np
import pytest

from generated import speech_like, tone
from lipglance.audio import frames_for
from lipglance.errors import InputError
from lipglance.models import load_model
from toy_model import write_toy_model

RATE = 16000


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_toy_model(tmp_path_factory.mktemp("toy")), threads=1)


@pytest.fixture(scope="module")
def identity():
    """A grey picture with some texture."""
    return np.random.default_rng(0).integers(120, 180, (64, 64, 3)).astype(np.uint8)


def speak(model, identity, samples, cuts=(), frames=None):
    session = model.start(identity)
    parts = [session.feed(piece) for piece in np.split(samples, cuts)]
    return np.concatenate([*parts, session.finish(frames)])


def opening(frames):
    """How dark the middle of the mouth is in each frame."""
    return 255 - frames[:, 30:40, 26:38].mean(axis=(1, 2, 3))


@pytest.mark.parametrize("seconds", [0.01, 0.04, 0.6, 0.64, 0.66, 0.98, 1.0, 1.5, 2.05])
def test_there_are_as_many_frames_as_the_speech_is_long(model, identity, seconds):
    samples = speech_like(seconds)[0]
    frames = speak(model, identity, samples)
    assert frames.shape == (frames_for(len(samples), RATE), 64, 64, 3)
    assert frames.dtype == np.uint8


@pytest.mark.parametrize("seed", range(4))
def test_frames_do_not_depend_on_how_the_sound_arrives(model, identity, seed):
    rng = np.random.default_rng(seed)
    samples = speech_like(rng.uniform(0.5, 3), seed=seed)[0]
    whole = speak(model, identity, samples)
    few = np.sort(rng.integers(0, len(samples), 5))
    even = np.arange(640, len(samples), 640)
    for cuts in (few, even):
        np.testing.assert_array_equal(speak(model, identity, samples, cuts), whole)


def test_frames_come_as_soon_as_their_sound_is_known(model, identity):
    session = model.start(identity)
    counts = [len(session.feed(piece)) for piece in np.split(speech_like(2.0)[0], 50)]
    # A window of 16 frames and 11 ms of the next one let the first 8 go.
    assert counts[:16] == [0] * 16
    assert counts[16] == 8
    assert sum(counts) == 40
    assert len(session.finish()) == 10


def test_silence_leaves_the_identity_alone(model, identity):
    frames = speak(model, identity, np.zeros(RATE, np.float32))
    assert np.abs(frames.astype(int) - identity).max() <= 1


def test_the_mouth_follows_the_sound_without_delay(model, identity):
    rng = np.random.default_rng(0)
    level = np.repeat((np.arange(50) // 5 % 2).astype(np.float32), 640)
    samples = (0.3 * level * rng.standard_normal(level.size)).astype(np.float32)
    seen = opening(speak(model, identity, samples))
    assert np.corrcoef(seen, level[::640])[0, 1] > 0.95


def test_windows_that_disagree_are_blended_without_a_seam(identity, tmp_path):
    sound = tone(3.0)[0]
    jumps = {}
    for overlap in (0, 8):
        directory = write_toy_model(tmp_path / str(overlap), seam=0.2, overlap=overlap)
        frames = speak(load_model(directory, threads=1), identity, sound)
        assert len(frames) == 75
        level = frames[8:-8, :8, :8].mean(axis=(1, 2, 3))
        jumps[overlap] = np.abs(np.diff(level)).max()
    # Full range of the disagreement is 0.4 of 2, that is 51 grey levels.
    assert jumps[0] > 40
    assert jumps[8] < 5


def test_a_caller_may_fix_the_number_of_frames(model, identity):
    samples = speech_like(1.0)[0]
    whole = speak(model, identity, samples)
    longer = speak(model, identity, samples, frames=61)
    assert len(longer) == 61
    assert len(speak(model, identity, samples, frames=21)) == 21
    np.testing.assert_array_equal(longer[:16], whole[:16])
    assert np.abs(longer[-10:].astype(int) - identity).max() <= 1
    with pytest.raises(InputError, match="16 are out already"):
        speak(model, identity, samples, frames=3)


def test_the_identity_must_be_a_crop_of_the_model_s_size(model):
    with pytest.raises(InputError, match=r"\(32, 32, 3\)"):
        model.start(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(InputError, match="uint8"):
        model.start(np.zeros((64, 64, 3), np.float32))


def test_sessions_of_one_model_run_side_by_side(model):
    rng = np.random.default_rng(0)
    people = [rng.integers(0, 255, (64, 64, 3)).astype(np.uint8) for _ in range(4)]
    speeches = [speech_like(1.3, seed=k)[0] for k in range(4)]
    alone = [speak(model, *pair) for pair in zip(people, speeches, strict=True)]
    together = [None] * 4

    def work(k):
        cuts = np.arange(1000 + k, len(speeches[k]), 1000)
        together[k] = speak(model, people[k], speeches[k], cuts)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for expected, got in zip(alone, together, strict=True):
        np.testing.assert_array_equal(got, expected)
