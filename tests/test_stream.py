"""Live speech: the frames of the whole file to the bit, whatever the network does to the chunks."""

import gc
import logging
import re
import threading
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from generated import speech_like, write_sound
from lipglance.errors import InputError
from lipglance.media import read_image
from lipglance.models import load_model
from lipglance.portrait import open_portrait
from lipglance.sound_intake import Intake, channel_names
from toy_model import write_toy_model

ROOT = Path(__file__).parents[1]
FACE = Path(str(files("lipglance"))) / "assets" / "sample_face.jpg"
RATE = 16000
CHUNK = 640


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Windows disagree about the frames that they share, so that a shifted one would show."""
    return load_model(write_toy_model(tmp_path_factory.mktemp("toy"), seam=0.05), threads=1)


@pytest.fixture(scope="module")
def portrait(model):
    return open_portrait(np.ascontiguousarray(read_image(FACE)[:256, 96:352]), model.crop)


@pytest.fixture(scope="module")
def sound():
    return speech_like(2.1, RATE)[0]


def whole(model, portrait, samples, rate=RATE, view="lips"):
    return model.generate(portrait.picture, (samples, rate), view=view).frames


def streamed(model, portrait, chunks, rate=RATE, view="lips"):
    """All frames of chunks, each an array or a pair (array, at)."""
    with model.stream(portrait, rate, view=view) as stream:
        pairs = [chunk if isinstance(chunk, tuple) else (chunk, None) for chunk in chunks]
        frames = [frame for chunk, at in pairs for frame in stream.feed(chunk, at)]
        frames += stream.finish()
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert [frame.time for frame in frames] == [k / 25 for k in range(len(frames))]
    return np.stack([frame.image for frame in frames])


def cut(samples, size=CHUNK):
    return [samples[..., first : first + size] for first in range(0, samples.shape[-1], size)]


def stamped(samples, size=CHUNK, rate=RATE, zero=0.0):
    return [(chunk, zero + k * size / rate) for k, chunk in enumerate(cut(samples, size))]


def told(caplog):
    return [record.message for record in caplog.records if record.name == "lipglance"]


@pytest.mark.parametrize("view", ["lips", "face"])
@pytest.mark.parametrize(
    ("rate", "channels", "kind", "size"),
    [
        (16000, 1, np.float32, 640),
        (16000, 2, np.int16, 1),
        (8000, 1, np.float64, 77),
        (44100, 2, np.float32, 1764),
        (48000, 1, np.int16, 960),
        (22050, 6, np.int32, 333),
        (96000, 1, np.uint8, 200_000),
    ],
)
def test_chunks_give_the_frames_of_the_whole_file(
    model, portrait, view, rate, channels, kind, size
):
    seconds = 0.9 if size == 1 else 1.3137
    samples = np.concatenate([speech_like(seconds, rate, seed) for seed in range(channels)])
    if np.issubdtype(kind, np.integer):
        facts = np.iinfo(kind)
        middle = 128 if kind is np.uint8 else 0
        samples = np.round(samples * (facts.max - middle) + middle)
    samples = samples.astype(kind)
    expected = whole(model, portrait, samples, rate, view)
    chunks = cut(samples[0] if channels == 1 else samples, size)
    assert np.array_equal(streamed(model, portrait, chunks, rate, view), expected)
    assert len(expected) == round(samples.shape[1] / rate * 25)
    assert expected.astype(float).std(axis=0).max() > 20


def test_a_frame_is_a_picture_of_the_caller_s_own(model, portrait, sound):
    expected = whole(model, portrait, sound, view="face")
    with model.stream(portrait) as stream:
        for chunk in cut(sound):
            own = chunk.copy()
            for frame in stream.feed(own):
                assert (frame.image.dtype, frame.image.shape) == (np.uint8, (256, 256, 3))
                assert np.array_equal(frame.image, expected[frame.index])
                frame.image[:] = 0
            # A microphone's buffer is used again.
            own[:] = 1
        assert np.array_equal(stream.finish()[-1].image, expected[-1])


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_as_many_frames_as_the_sound_is_long(model, portrait, rate):
    lengths = [0, 1, rate // 50, rate // 50 + 1, rate // 25, 2 * rate // 25 + rate // 50 + 1, rate]
    for length in lengths:
        chunks = [np.zeros(length, np.float32)]
        exact = max(1, round(25 * length / rate))
        assert len(streamed(model, portrait, chunks, rate)) == exact
        if length >= rate / 25:
            assert len(whole(model, portrait, chunks[0], rate)) == exact


def test_frames_come_as_soon_as_they_are_certain(model, portrait, sound):
    with model.stream(portrait, view="lips") as stream:
        # A window of 16 frames and the look-ahead of the ears.
        needed = 16 * CHUNK + 176
        assert stream.feed(sound[: needed - 1]) == []
        assert len(stream.feed(sound[needed - 1 : needed])) == 8
        assert stream.seconds == needed / RATE


def test_a_result_that_nobody_looks_at_costs_its_frames_but_no_sound(model, portrait, sound):
    expected = whole(model, portrait, sound)
    with model.stream(portrait, view="lips") as stream:
        chunks = cut(sound)
        for chunk in chunks[:-1]:
            stream.feed(chunk)
        rest = stream.feed(chunks[-1]) + stream.finish()
    assert rest[-1].index == len(expected) - 1
    for frame in rest:
        assert np.array_equal(frame.image, expected[frame.index])


def test_lost_late_and_repeated_chunks_leave_sound_and_picture_together(
    model, portrait, sound, caplog
):
    chunks = stamped(sound, zero=1.7e9)
    silenced = sound.copy()
    silenced[10 * CHUNK : 12 * CHUNK] = 0
    silenced[20 * CHUNK : 21 * CHUNK] = 0
    lossy = chunks[:10] + chunks[12:20] + chunks[21:]
    # Chunk 10 comes after all, too late; chunks 4 and 14 come twice.
    lossy.insert(12, chunks[10])
    lossy.insert(16, chunks[14])
    lossy.insert(5, chunks[4])
    with caplog.at_level(logging.WARNING, "lipglance"):
        got = streamed(model, portrait, lossy)
    assert np.array_equal(got, whole(model, portrait, silenced))
    assert not np.array_equal(got, whole(model, portrait, sound))
    warnings = told(caplog)
    assert len(warnings) == 2
    assert "40 ms late or twice at 0.20 s" in warnings[0]
    assert "80 ms of sound are missing at 0.40 s" in warnings[1]


def test_an_overlap_is_heard_once(model, portrait, sound):
    overlapping = [
        (sound[max(0, first - 200) : first + CHUNK], max(0, first - 200) / RATE)
        for first in range(0, len(sound), CHUNK)
    ]
    got = streamed(model, portrait, overlapping)
    assert np.array_equal(got, whole(model, portrait, sound))


def test_jitter_of_the_stamps_is_not_heeded_but_a_drifting_clock_is(model, portrait, sound, caplog):
    rng = np.random.default_rng(0)
    expected = whole(model, portrait, sound)
    shaky = [(chunk, at + rng.uniform(-2, 2) / 1000) for chunk, at in stamped(sound)]
    with caplog.at_level(logging.WARNING, "lipglance"):
        assert np.array_equal(streamed(model, portrait, shaky), expected)
    assert not told(caplog)
    # A sender whose clock runs 1 % faster: 2.1 s of its samples last 2.121 s.
    with model.stream(portrait, view="lips") as stream:
        for chunk, at in stamped(sound):
            stream.feed(chunk, at * 1.01)
            end = at * 1.01 + len(chunk) / RATE
            assert abs(stream.seconds - end) < 0.006


def test_stamps_may_begin_late_and_be_left_out(model, portrait, sound):
    chunks = [
        (chunk, 99 + at if k % 7 >= 5 else None) for k, (chunk, at) in enumerate(stamped(sound))
    ]
    assert np.array_equal(streamed(model, portrait, chunks), whole(model, portrait, sound))
    # No sound but a stamp: what lies between is silence.
    with model.stream(portrait, view="lips") as stream:
        frames = stream.feed(sound[:0], 7.0) + stream.feed(sound[:0], 9.0)
        assert stream.seconds == 2.0
        assert len(frames + stream.finish()) == 50


@pytest.mark.parametrize(
    ("at", "what"),
    [
        (11.0, "5.2 s after the sound so far ends; expected at most 5 s"),
        (-6.0, "11.8 s before the sound"),
        (float("nan"), "taken at nan; expected a time in s"),
        ("soon", "taken at 'soon'"),
    ],
)
def test_a_wild_stamp_is_refused_and_the_stream_goes_on(model, portrait, sound, at, what):
    with model.stream(portrait, view="lips") as stream:
        frames = []
        for k, (chunk, stamp) in enumerate(stamped(sound, zero=5.0)):
            if k == 20:
                with pytest.raises(InputError, match=re.escape(what)) as caught:
                    stream.feed(chunk, at)
                assert "\n" not in str(caught.value)
            frames += stream.feed(chunk, stamp)
        frames += stream.finish()
    assert np.array_equal(
        np.stack([frame.image for frame in frames]), whole(model, portrait, sound)
    )


@pytest.mark.parametrize(
    ("chunk", "what"),
    [
        ([0.0, 0.1], "type list"),
        (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\)"),
        (np.zeros((640, 2)), r"shape \(640, 2\)"),
        (np.zeros(640, complex), "complex128; expected float"),
        (np.zeros(640, np.uint16), "uint16; expected float"),
        ("speech.wav", "type str"),
    ],
)
def test_a_chunk_that_is_no_sound_is_refused_and_the_stream_goes_on(
    model, portrait, sound, chunk, what
):
    with model.stream(portrait, view="lips") as stream:
        frames = stream.feed(sound[:20_000])
        with pytest.raises(InputError, match=what):
            stream.feed(chunk)
        frames += stream.feed(sound[20_000:]) + stream.feed(sound[:0]) + stream.finish()
    got = np.stack([frame.image for frame in frames])
    assert np.array_equal(got, whole(model, portrait, sound))


def test_broken_samples_are_silence_and_told_as_in_a_file(model, portrait, sound, caplog):
    broken = sound.copy()
    broken[5000:5400] = np.nan
    broken[9000] = np.inf
    with caplog.at_level(logging.WARNING, "lipglance"):
        got = streamed(model, portrait, cut(broken))
    assert told(caplog) == [
        "the stream's sound: 401 samples are no numbers (NaN or infinity) and are heard as silence"
    ]
    assert np.array_equal(got, whole(model, portrait, broken))


def test_after_its_end_a_stream_takes_nothing_more(model, portrait, sound):
    with model.stream(portrait, view="lips") as stream:
        stream.feed(sound)
        stream.finish()
        for call in (stream.finish, lambda: stream.feed(sound)):
            with pytest.raises(InputError, match="at its end; open a new one"):
                call()
    with pytest.raises(InputError, match="at its end"):
        stream.feed(sound)
    stream.close()


def test_leaving_the_block_frees_what_is_left_and_lets_errors_through(model, portrait, sound):
    stream = model.stream(portrait)
    session = weakref.ref(stream._session)

    def use():
        with stream as entered:
            assert entered is stream
            stream.feed(sound)
            raise KeyError("the caller's own")

    with pytest.raises(KeyError):
        use()
    gc.collect()
    assert session() is None
    with pytest.raises(InputError, match="at its end"):
        stream.finish()


def test_an_error_on_the_way_ends_the_stream(model, portrait, sound, monkeypatch):
    stream = model.stream(portrait, view="lips")

    def broken(samples):
        raise MemoryError

    monkeypatch.setattr(stream._session, "feed", broken)
    with pytest.raises(MemoryError):
        stream.feed(sound)
    with pytest.raises(InputError, match="at its end"):
        stream.feed(sound)


def test_streams_of_one_model_do_not_disturb_each_other(model, portrait):
    sounds = [speech_like(1.5, RATE, seed)[0] for seed in range(6)]
    views = ["face", "lips"] * 3
    expected = [
        whole(model, portrait, samples, view=view)
        for samples, view in zip(sounds, views, strict=True)
    ]
    assert not np.array_equal(expected[0], expected[2])
    start = threading.Barrier(6)

    def speak(k):
        start.wait()
        return streamed(model, portrait, cut(sounds[k]), view=views[k])

    with ThreadPoolExecutor(6) as pool:
        for got, wanted in zip(pool.map(speak, range(6)), expected, strict=True):
            assert np.array_equal(got, wanted)


def test_one_stream_may_be_fed_by_several_threads(model, portrait):
    # All chunks are alike, so that it does not matter whose comes first.
    chunk = speech_like(0.123, RATE)[0]
    expected = whole(model, portrait, np.tile(chunk, 48))
    start = threading.Barrier(4)

    def speak(_):
        start.wait()
        return [frame for _ in range(12) for frame in stream.feed(chunk)]

    with model.stream(portrait, view="lips") as stream, ThreadPoolExecutor(4) as pool:
        frames = [frame for part in pool.map(speak, range(4)) for frame in part]
        frames += stream.finish()
    frames.sort(key=lambda frame: frame.index)
    assert [frame.index for frame in frames] == list(range(len(expected)))
    assert np.array_equal(np.stack([frame.image for frame in frames]), expected)


def test_memory_does_not_grow_with_the_speech(model, portrait, sound):
    chunks = cut(sound[: 50 * CHUNK])
    # The other branch: another rate, stamps, losses.
    with model.stream(portrait, 48000, view="lips") as stream:
        tracemalloc.start()
        held = []
        for k in range(1500):
            if k % 3:
                stream.feed(chunks[k % 50], k * CHUNK / 48000)
            if k in (300, 1499):
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert stream.seconds == pytest.approx(20, abs=0.05)
    assert held[1] - held[0] < 200_000


def test_a_portrait_may_serve_many_streams(model, sound):
    picture = np.ascontiguousarray(read_image(FACE)[:256, 96:352])
    portrait = open_portrait(picture, model.crop)
    for face in (picture, portrait):
        with model.stream(face, view="lips") as stream:
            assert stream.portrait.face == 0
            frames = stream.feed(sound) + stream.finish()
        got = np.stack([frame.image for frame in frames])
        assert np.array_equal(got, whole(model, portrait, sound))


@pytest.mark.parametrize(
    ("rate", "options", "what"),
    [
        (100, {}, "100 Hz; expected a sample rate from 1000"),
        (RATE, {"view": "profile"}, "unknown view 'profile'"),
    ],
)
def test_a_stream_that_cannot_be_is_told_at_once(model, portrait, rate, options, what):
    with pytest.raises(InputError, match=what):
        model.stream(portrait, rate, **options)
    with pytest.raises(InputError, match=what):
        model.stream(portrait.picture, rate, **options)
    with pytest.raises(InputError, match="no face in the picture"):
        model.stream(np.zeros((64, 64, 3), np.uint8))


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [1000, 11025, 12345, 16000, 44100, 192_000])
def test_what_is_heard_does_not_depend_on_the_cuts(rate, channels):
    rng = np.random.default_rng(rate)
    samples = rng.normal(0, 0.3, (channels, rate // 2 + 7)).astype(np.float32)

    def heard(size):
        intake = Intake(RATE)
        names = channel_names(channels)
        out = [part for chunk in cut(samples, size) for part in intake.feed(chunk, names, rate)]
        return np.concatenate([*out, *intake.finish()], axis=1)

    expected = heard(8192)
    assert abs(expected.shape[1] - samples.shape[1] * RATE / rate) <= 0.5
    for size in (7, 640, rate // 25, samples.shape[1]):
        assert heard(size).tobytes() == expected.tobytes()


def test_the_readme_s_example_runs(tmp_path, monkeypatch, capsys):
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Streaming")[1]
    code = section.split("```python")[1].split("```")[0]
    (tmp_path / "face.jpg").write_bytes(FACE.read_bytes())
    write_sound(tmp_path / "speech.wav", speech_like(1.0, RATE), RATE)
    monkeypatch.chdir(tmp_path)
    shown = []
    exec(code, {"show": lambda image, time: shown.append((image.shape, time))})
    assert [time for _, time in shown] == [k / 25 for k in range(25)]
    assert shown[0][0] == read_image(FACE).shape
