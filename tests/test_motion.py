"""Hearing at run time is the trained network's, and frames do not depend on how speech is cut."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lipglance.audio import log_mel  # noqa: E402
from lipglance.checkpoint import read_checkpoint  # noqa: E402
from lipglance.crop import CropConfig, picture_crop  # noqa: E402
from lipglance.emphasis import SLIGHT  # noqa: E402
from lipglance.errors import InputError  # noqa: E402
from lipglance.export import export_model  # noqa: E402
from lipglance.face_points import INNER_LIP_BOTTOM, INNER_LIP_TOP, LOWER_FACE  # noqa: E402
from lipglance.geometry import crop_image  # noqa: E402
from lipglance.look_learner import load_look  # noqa: E402
from lipglance.motion import UNHEARD, Motion  # noqa: E402
from lipglance.motion_net import load_hearing  # noqa: E402
from lipglance.trainer import train  # noqa: E402
from synthetic_shards import FACE, draw_clip, write_shards  # noqa: E402
from test_motion_learner import CPU, looked, tiny  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("motion")
    shards = write_shards(root / "shards", crop=FACE)
    train(tiny(steps=3), [shards], root / "run", CPU, looked(shards, root / "look"))
    return root / "run"


@pytest.fixture(scope="module")
def motion(run, tmp_path_factory):
    return Motion(export_model(run, tmp_path_factory.mktemp("models") / "motion"), threads=1)


def speech(seconds):
    rng = np.random.default_rng(0)
    return (rng.normal(0, 0.1, int(seconds * 16000))).astype(np.float32)


def drawn(frame):
    """Landmarks and crop of a drawn face."""
    crops, _, points = draw_clip(3)
    return points[frame], crops[frame]


def test_is_what_was_trained(run, motion):
    state = read_checkpoint(run / "last.pt")
    net, look = load_hearing(state), load_look(state["seeing"])
    landmarks, crop = drawn(10)
    sound = speech(0.8)
    session = motion.start(landmarks, crop)
    got = np.concatenate([session.feed(sound), session.finish()])
    shape = motion.basis.shapes(landmarks) - motion.basis.mean
    with torch.no_grad():
        mel = torch.from_numpy(log_mel(sound))[None]
        code, _ = net(net.padded(mel), net.silence(1))
        cut = crop_image(crop, picture_crop(landmarks, CropConfig.face(64)), 64, smooth=True)
        seen = torch.from_numpy(cut.transpose(2, 0, 1)[None] / 127.5 - 1).float()
        code = code[0] - look(seen, torch.from_numpy(shape[None]).float())
    wanted = motion.basis.decode(code.numpy())
    assert got.shape == (20, len(motion.basis.mean), 2)
    np.testing.assert_allclose(got, wanted, atol=0.02 * np.abs(wanted).max())


def emphasised(run, folder, **values):
    """The run's motion with other values of emphasis."""
    state = read_checkpoint(run / "last.pt")
    state["config"]["motion"] |= values
    torch.save(state, folder / "last.pt")
    return Motion(export_model(folder, folder / "model"), threads=1)


def opening(changes):
    """How far apart the inner lips go, (T,), in displacements (T, P, 2)."""
    top, bottom = LOWER_FACE.index(INNER_LIP_TOP), LOWER_FACE.index(INNER_LIP_BOTTOM)
    return changes[..., bottom, 1] - changes[..., top, 1]


def test_emphasis_opens_the_mouth_further_than_silence_has_it(run, motion, tmp_path):
    loud = emphasised(run, tmp_path, emphasis=2.0)
    said = []
    for one in (motion, loud):
        session = one.begin()
        said.append(np.concatenate([session.feed(speech(1.0)), session.finish()]))
    silent = motion.basis.decode(motion.silent)
    heard, told = (opening(part - silent) for part in said)
    np.testing.assert_allclose(told, 2 * heard, atol=1e-6)
    quiet = loud.begin()
    kept = np.concatenate([quiet.feed(np.zeros(5 * 16000, np.float32)), quiet.finish()])
    # Silence is where it was, but for what is left of the beginning.
    np.testing.assert_allclose(kept[-25:], np.broadcast_to(silent, kept[-25:].shape), atol=2e-3)


def test_a_mumble_is_stressed_and_pieces_do_not_change_it(run, motion, tmp_path):
    loud = emphasised(run, tmp_path, emphasis=1.2, wide=1.0)
    silent, sound = motion.basis.decode(motion.silent), speech(2.0)
    plain, whole, session = motion.begin(), loud.begin(), loud.begin()
    said = np.concatenate([plain.feed(sound), plain.finish()]) - silent
    expected = np.concatenate([whole.feed(sound), whole.finish()])
    parts = [session.feed(piece) for piece in np.array_split(sound, 7)]
    assert np.concatenate([*parts, session.finish()]).tobytes() == expected.tobytes()
    gains = opening(expected - silent) / opening(said)
    assert 1.2 - 1e-6 <= gains[0] < gains[-1] <= 1.7


def test_small_openings_are_held_back_where_the_model_says_so(run, motion, tmp_path):
    # All openings are small beside a hundred times the distance of the eyes.
    careful = emphasised(run, tmp_path, emphasis=1.5, small=100.0)
    silent, sound = motion.basis.decode(motion.silent), speech(1.0)
    plain, held = motion.begin(), careful.begin()
    heard = opening(np.concatenate([plain.feed(sound), plain.finish()]) - silent)
    told = opening(np.concatenate([held.feed(sound), held.finish()]) - silent)
    np.testing.assert_allclose(told, SLIGHT * heard, atol=1e-6)


def test_where_a_crop_lies_tells_nothing(motion):
    """Crops of a video are centred on what its mouth does later too; a photo's are not."""
    landmarks, crop = drawn(10)
    shifted = landmarks + np.array([4, -3], np.float32), np.roll(crop, (-3, 4), (0, 1))
    said = [motion.start(*picture)._rest for picture in ((landmarks, crop), shifted, drawn(20))]
    np.testing.assert_allclose(said[0], said[1], atol=1e-3)
    assert np.abs(said[0] - said[2]).max() > 5e-3


def test_pieces_give_the_same_bits(motion):
    picture, sound = drawn(0), speech(1.0)
    whole = motion.start(*picture)
    expected = np.concatenate([whole.feed(sound), whole.finish()])
    session = motion.start(*picture)
    parts = [session.feed(piece) for piece in np.array_split(sound, 13)]
    got = np.concatenate([*parts, session.finish()])
    assert got.tobytes() == expected.tobytes()
    assert len(got) == 25


def test_the_last_rows_are_heard_by_nothing_and_the_one_before_them_is(motion):
    rows = (motion.past + 1 + motion.ahead) * 4
    mel = np.random.default_rng(0).uniform(-1, 1, (1, rows, 128)).astype(np.float32)
    memory = np.zeros((2, 1, motion.memory), np.float32)
    said = motion.hear({"mel": mel, "memory": memory}).copy()
    mel[:, -UNHEARD:] = 0.5
    assert np.array_equal(motion.hear({"mel": mel, "memory": memory}), said)
    mel[:, -UNHEARD - 1] = 0.5
    assert not np.array_equal(motion.hear({"mel": mel, "memory": memory}), said)


def test_says_a_frame_as_soon_as_it_has_heard_what_it_needs(motion):
    session = motion.start(*drawn(0))
    needed = (1 + motion.ahead) * 640 - UNHEARD * 160 + 256 - 80
    assert len(session.feed(speech(1)[: needed - 1])) == 0
    assert len(session.feed(np.zeros(1, np.float32))) == 1


@pytest.mark.parametrize("frames", [1, 25, 31])
def test_as_many_frames_as_asked(motion, frames):
    session = motion.start(*drawn(0))
    sound = speech(1.0)[: min(frames, 25) * 640]
    assert len(session.feed(sound)) + len(session.finish(frames)) == frames


def test_too_few_asked_and_no_face_are_one_clear_line(motion, tmp_path):
    session = motion.start(*drawn(0))
    session.feed(speech(1.0))
    with pytest.raises(InputError, match="asked to finish after 2 frames"):
        session.finish(2)
    with pytest.raises(InputError, match="no face in the picture"):
        motion.start(np.full((468, 2), np.nan), drawn(0)[1])
    with pytest.raises(InputError, match=r"holds no motion network \(FileNotFoundError"):
        Motion(tmp_path)
