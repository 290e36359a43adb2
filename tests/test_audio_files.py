"""Speech from files and arrays: level, length, place in time, and what can be wrong with it."""

import logging
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from generated import clicks, moving, onsets, speech_like, tone, write_sound, write_video
from lipglance.audio_files import Recording, _Placing, as_speech, audio_info, iter_audio, read_audio
from lipglance.errors import InputError

RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000]
OPUS_RATE = 48000


def told(caplog):
    return [record.message for record in caplog.records if record.name == "lipglance"]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_u8"])
def test_wav_of_any_rate_and_depth(tmp_path, rate, codec, caplog):
    path = write_sound(tmp_path / "a.wav", tone(1, rate, 440, 0.5), rate, codec)
    sound = read_audio(path)
    assert sound.dtype == np.float32
    assert sound.shape == (16000,)
    wanted = tone(1, 16000, 440, 0.5)[0]
    inner = slice(800, -800)  # the resampler rings where the tone is cut off
    assert np.abs(sound - wanted)[inner].max() < (0.02 if codec == "pcm_u8" else 2e-3)
    info = audio_info(path)
    assert (info.rate, info.channels, info.duration) == (rate, 1, pytest.approx(1.0))
    assert not told(caplog)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "opus", "m4a", "mkv"])
def test_encodings_keep_place_and_length(tmp_path, suffix):
    rate = 48000
    times = [0.0, 0.25, 1.0, 1.9]
    path = write_sound(tmp_path / f"a.{suffix}", clicks(2.01, times, rate), rate)
    sound = read_audio(path, rate)
    # AAC in Matroska and MP3 may keep a last block filled up with silence, never less than all.
    assert sound.size == pytest.approx(2.01 * rate, abs=2 if suffix != "mp3" else 1200)
    assert onsets(sound, rate) == pytest.approx(times, abs=0.002)


def test_vorbis(tmp_path):
    soundfile = pytest.importorskip("soundfile", reason="only libsndfile can write Vorbis here")
    soundfile.write(tmp_path / "a.ogg", clicks(1, [0.3], 44100)[0], 44100, subtype="VORBIS")
    sound = read_audio(tmp_path / "a.ogg", 44100)
    assert sound.size == pytest.approx(44100, abs=128)  # the decoder leaves out a last short block
    assert onsets(sound, 44100) == pytest.approx([0.3], abs=0.002)


@pytest.mark.parametrize("seconds", [0.04, 0.1, 1 / 3, 1.2345, 2.0])
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_length_is_exact_after_resampling(tmp_path, seconds, rate):
    path = write_sound(tmp_path / "a.wav", tone(seconds, rate), rate)
    count = round(seconds * rate)
    assert read_audio(path).size == round(count * 16000 / rate)
    assert read_audio(path, 48000).size == round(count * 48000 / rate)


def test_channels_are_mixed(tmp_path):
    left, right = tone(1, 16000, 300, 0.4), tone(1, 16000, 900, 0.2)
    path = write_sound(tmp_path / "a.wav", np.vstack([left, right]))
    assert np.abs(read_audio(path) - (left + right)[0] / 2).max() < 1e-3
    two = np.concatenate(list(iter_audio(path, 16000, channels=2)), axis=1)
    assert np.abs(two - np.vstack([left, right])).max() < 1e-3
    mono = write_sound(tmp_path / "m.wav", left)
    both = np.concatenate(list(iter_audio(mono, 16000, channels=2)), axis=1)
    assert (both[0] == both[1]).all()
    with pytest.raises(InputError, match="expected 1 or 2"):
        iter_audio(path, 16000, channels=3)


@pytest.mark.parametrize("suffix", ["wav", "flac", "m4a"])
def test_surround_sound_is_mixed_mostly_from_its_centre(tmp_path, suffix):
    # FL FR FC LFE SL SR
    speech = speech_like(1, 48000)[0]
    surround = np.zeros((6, 48000), np.float32)
    surround[2] = speech
    surround[3] = tone(1, 48000, 60, 0.9)
    path = write_sound(tmp_path / f"a.{suffix}", surround, 48000)
    mono = read_audio(path, 48000)
    gain = np.dot(mono, speech) / np.dot(speech, speech)
    assert 0.4 < gain < 0.8
    assert np.abs(mono - gain * speech).max() < 0.05  # nothing of the bass
    assert np.abs(mono).max() <= 1


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "mpg"])
@pytest.mark.parametrize("start", [0.0, 0.32, -0.32])
def test_sound_is_placed_by_the_first_picture(tmp_path, suffix, start):
    if suffix == "mpg" and start < 0:
        pytest.skip("this muxer does not write it")
    rate = 44100 if suffix == "mpg" else 48000
    path = write_video(
        tmp_path / f"v.{suffix}", moving(50), 25, clicks(2, [0.5, 1.5], rate), rate,
        sound_start=start,
    )  # fmt: skip
    sound = read_audio(path, rate)
    assert onsets(sound, rate) == pytest.approx([0.5 + start, 1.5 + start], abs=0.0025)
    # The encoder of .mpg fills its last block.
    assert sound.size / rate == pytest.approx(2 + start, abs=0.03 if suffix == "mpg" else 0.0025)


def test_cover_art_is_no_picture_to_be_placed_by(tmp_path):
    import av

    path = tmp_path / "a.mp3"
    with av.open(str(path), "w") as container:
        track = container.add_stream("libmp3lame", rate=16000, layout="mono")
        cover = container.add_stream("mjpeg", rate=25, width=64, height=64, pix_fmt="yuvj420p")
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame(64, 64, "yuvj420p")
        container.mux(cover.encode(picture))
        container.mux(cover.encode(None))
        resampler = av.AudioResampler("s16p", "mono", 16000, frame_size=576)
        frame = av.AudioFrame.from_ndarray(clicks(1, [0.5]), format="fltp", layout="mono")
        frame.sample_rate = 16000
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(track.encode(piece))
        container.mux(track.encode(None))
    assert onsets(read_audio(path), 16000) == pytest.approx([0.5], abs=0.002)


def test_arrays_are_taken_as_speech():
    speech = speech_like(0.5)
    assert (read_audio(speech) == speech[0]).all()
    assert (read_audio(speech[0]) == speech[0]).all()
    assert (read_audio(Recording(speech, 16000)) == speech[0]).all()
    whole = np.round(speech * 32767).astype(np.int16)
    assert np.abs(read_audio(whole) - speech[0]).max() < 1e-4
    assert np.abs(read_audio((speech, 16000), 48000)[::3] - speech[0])[100:-100].max() < 0.01
    assert read_audio((tone(1, 44100), 44100)).size == 16000
    assert np.abs(read_audio(np.vstack([speech, -speech]))).max() < 1e-6
    assert audio_info(whole).duration == 0.5


@pytest.mark.parametrize(
    "speech",
    [
        None,
        [0.0] * 16000,
        np.zeros((20, 16000), np.float32),
        np.zeros((2, 2, 16000), np.float32),
        (np.zeros(16000, np.float32), 10),
        np.zeros(16000, np.complex64),
        np.zeros(16000, bool),
    ],
    ids=["None", "list", "20 channels", "3-D", "10 Hz", "complex", "bool"],
)
def test_what_is_no_speech_is_refused(speech):
    with pytest.raises(InputError, match="expected"):
        as_speech(speech)


@pytest.mark.parametrize("count", [0, 1, 10, 639])
def test_less_than_one_video_frame_is_refused(tmp_path, count):
    with pytest.raises(InputError, match=f"holds {count} samples of sound.*expected at least"):
        read_audio(np.zeros(count, np.float32))
    if count:
        path = write_sound(tmp_path / "a.wav", np.full((1, count), 0.1, np.float32))
        with pytest.raises(InputError, match=f"holds {count} samples"):
            read_audio(path)


def test_a_little_less_than_one_video_frame_does_not_look_like_one(tmp_path):
    for rate, count in ((16000, 639), (48000, 1919)):
        path = write_sound(tmp_path / "a.wav", np.full((1, count), 0.1, np.float32), rate)
        with pytest.raises(InputError, match=r"\(39\.9 ms\); expected .* \(40 ms\)"):
            read_audio(path)


def test_exactly_one_video_frame_is_enough():
    assert read_audio(tone(0.04)).size == 640


def test_samples_that_are_no_numbers_are_silenced_with_a_warning(tmp_path, caplog):
    speech = speech_like(1, 44100)
    bad = speech.copy()
    bad[0, 1000:1010] = np.nan
    bad[0, 2000] = np.inf
    bad[0, 3000] = -np.inf
    bad[0, 4000] = 1e30
    path = write_sound(tmp_path / "a.wav", bad, 44100, "pcm_f32le")
    with caplog.at_level(logging.WARNING, "lipglance"):
        sound = read_audio(path, 44100)
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() <= 1
    assert (sound[1000:1010] == 0).all()
    same = np.ones(44100, bool)
    same[[*range(1000, 1010), 2000, 3000, 4000]] = False
    assert (sound[same] == speech[0, same]).all()
    assert [m for m in told(caplog) if "12 samples are no numbers" in m and str(path) in m]
    # Resampling does not spread them either.
    assert np.isfinite(read_audio(path, 16000)).all()


def test_clipping_is_told_and_loud_speech_is_not(tmp_path, caplog):
    speech = speech_like(2)
    loud = speech / np.abs(speech).max() * 0.999
    with caplog.at_level(logging.WARNING, "lipglance"):
        read_audio(write_sound(tmp_path / "loud.wav", loud))
        assert not told(caplog)
        clipped = np.clip(speech * 6, -1, 1)
        read_audio(write_sound(tmp_path / "clipped.wav", clipped))
        read_audio(clipped * 5)
    assert [m for m in told(caplog) if "clipped.wav is clipped" in m]
    assert [m for m in told(caplog) if "the speech given is clipped" in m]


def test_silence_is_told(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "lipglance"):
        sound = read_audio(write_sound(tmp_path / "quiet.wav", np.zeros((1, 16000), np.float32)))
    assert (sound == 0).all()
    assert [m for m in told(caplog) if "quiet.wav is silent" in m]


def test_channels_that_cancel_each_other_are_told(tmp_path, caplog):
    one = speech_like(1.0)
    with caplog.at_level(logging.WARNING, "lipglance"):
        read_audio(write_sound(tmp_path / "both.wav", np.concatenate([one, 0.5 * one])))
        assert not told(caplog)
        read_audio(write_sound(tmp_path / "against.wav", np.concatenate([one, -one])))
    assert [m for m in told(caplog) if "against.wav is silent when its channels are mixed" in m]


@pytest.mark.parametrize("suffix", ["wav", "flac", "mkv", "mp4"])
def test_of_a_truncated_sound_what_there_is(tmp_path, caplog, suffix):
    path = tmp_path / f"a.{suffix}"
    speech = speech_like(4, 48000)
    if suffix == "mp4":
        write_video(path, moving(100), 25, speech, 48000, options={"movflags": "faststart"})
    else:
        write_sound(path, speech, 48000)
    whole = read_audio(path, 48000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with caplog.at_level(logging.WARNING, "lipglance"):
        cut = read_audio(path, 48000)
    assert 0.4 * whole.size < cut.size < 0.75 * whole.size
    assert np.abs(cut[:48000] - whole[:48000]).max() < 1e-6
    assert [m for m in told(caplog) if "cut short" in m or "breaks off" in m]
    path.write_bytes(data[:40])
    with pytest.raises(InputError):
        read_audio(path)


def test_damage_is_told_and_the_rest_heard(tmp_path, caplog):
    path = write_sound(tmp_path / "a.m4a", speech_like(4))
    data = bytearray(path.read_bytes())
    for place in np.random.default_rng(0).integers(len(data) // 4, len(data) * 3 // 4, 40):
        data[place] ^= 255
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING, "lipglance"):
        sound = read_audio(path)
    # Lost packets are silence: what comes after them stays in its place.
    assert sound.size == 64000
    assert [m for m in told(caplog) if "damaged" in m]


def test_the_iterator_gives_the_same_in_pieces(tmp_path):
    path = write_sound(tmp_path / "a.m4a", speech_like(3, 44100), 44100)
    pieces = list(iter_audio(path, 16000))
    assert len(pieces) > 5
    assert all(piece.shape[0] == 1 and piece.dtype == np.float32 for piece in pieces)
    assert (np.concatenate(pieces, axis=1)[0] == read_audio(path)).all()


def test_ten_minutes_in_constant_memory(tmp_path):
    path = write_sound(tmp_path / "a.wav", np.tile(speech_like(6, 16000), 100))
    tracemalloc.start()
    count = sum(piece.shape[1] for piece in iter_audio(path, 48000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 600 * 48000
    assert peak < 4e6


@pytest.mark.parametrize("suffix", ["ogg", "flac", "ts"])
def test_recordings_put_one_after_another_are_heard_in_a_row(tmp_path, caplog, suffix):
    codec = {"ogg": "libopus", "flac": "flac", "ts": "aac"}[suffix]
    part = write_sound(tmp_path / f"s.{suffix}", speech_like(2.0, 48000), 48000, codec)
    path = tmp_path / f"both.{suffix}"
    path.write_bytes(part.read_bytes() * 2)
    once, twice = read_audio(part), read_audio(path)
    assert len(twice) == pytest.approx(2 * len(once), abs=700)
    assert np.corrcoef(twice[8000:24000], once[8000:24000])[0, 1] > 0.99
    assert np.abs(twice[40000:]).max() > 0.1
    assert sum("begins its time stamps anew" in text for text in told(caplog)) == 1


def test_one_wrong_time_stamp_moves_nothing():
    place = _Placing(Path("s.wav"), 0.0, None)
    block = np.ones((1, 1600), np.float32)
    stamps = [0.0, 0.1, 0.2, 0.05, 0.4, 0.5]
    assert [place(block, stamp, 16000).shape[1] for stamp in stamps] == [1600] * 6
    # A short step back is an overlap, of which the rest is heard.
    place = _Placing(Path("s.wav"), 0.0, None)
    assert [place(block, s, 16000).shape[1] for s in (0.0, 0.06, 0.16)] == [1600, 960, 1600]


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_tags_in_another_alphabet_s_encoding_do_not_keep_a_sound_from_being_heard(tmp_path, suffix):
    path = write_sound(tmp_path / f"s.{suffix}", speech_like(1.0))
    tag = b"Caf\xe9"
    if suffix == "mp3":  # ID3v1: the last 128 bytes
        path.write_bytes(path.read_bytes() + b"TAG" + tag.ljust(125, b"\0"))
    else:
        text = b"INFOINAM" + len(tag).to_bytes(4, "little") + tag
        data = path.read_bytes() + b"LIST" + len(text).to_bytes(4, "little") + text
        path.write_bytes(data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:])
    assert len(read_audio(path)) == pytest.approx(16000, abs=1600)


def test_wav_of_64_bits(tmp_path):
    wanted = speech_like(0.5)
    path = write_sound(tmp_path / "s.wav", wanted, 16000, "pcm_s32le")
    data = path.read_bytes()
    at = data.index(b"fmt ") + 8
    begin = data.index(b"data") + 8
    wide = (np.frombuffer(data[begin:], "<i4").astype("<i8") << 32).tobytes()
    form = b"\x01\0" + data[at + 2 : at + 8] + (16000 * 8).to_bytes(4, "little") + b"\x08\0\x40\0"
    body = b"WAVEfmt \x10\0\0\0" + form + b"data" + len(wide).to_bytes(4, "little") + wide
    path.write_bytes(b"RIFF" + len(body).to_bytes(4, "little") + body)
    assert np.allclose(read_audio(path), wanted.reshape(-1), atol=1e-3)
