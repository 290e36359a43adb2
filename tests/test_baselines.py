"""The baselines have the paper's inputs and outputs, and the faults they are known for."""

import numpy as np
import pytest
from scipy.fft import dct

torch = pytest.importorskip("torch")

import lipglance  # noqa: E402
from lipglance.chung import ChungGenerator, cosine_basis  # noqa: E402
from lipglance.config import from_dict  # noqa: E402
from lipglance.errors import InputError  # noqa: E402
from lipglance.export import export_model, read_generator  # noqa: E402
from lipglance.network_config import GeneratorConfig  # noqa: E402
from lipglance.trainer import RunOptions, train  # noqa: E402
from lipglance.vondrick import VondrickGenerator  # noqa: E402
from synthetic_shards import write_shards  # noqa: E402

CPU = RunOptions(accelerator="cpu", threads=1)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), clips=4)


def tiny(kind, **changes):
    return from_dict(
        {
            "kind": kind,
            "name": kind,
            "steps": 2,
            "batch": 2,
            "warmup": 1,
            "precision": "fp32",
            "discriminator_width": 4,
            "correlation_width": 16,
            "generator": {"width": 4},
            "autoencoder": {"width": 4, "residual_blocks": 1, "steps": 0},
            "loss": {"perceptual": 0, "correlation": 0},
            **changes,
        }
    )


def test_cosine_basis_is_the_orthonormal_dct():
    mel = np.random.default_rng(0).normal(size=(5, 128))
    wanted = dct(mel, norm="ortho")[:, 1:13]
    np.testing.assert_allclose(mel @ cosine_basis(128, 12).numpy(), wanted, atol=1e-5)


def test_chung_makes_each_frame_from_its_own_sound_alone():
    torch.manual_seed(0)
    net = ChungGenerator(GeneratorConfig(width=4)).eval()
    mel, identity = torch.rand(1, 1, 64, 128), torch.rand(1, 3, 64, 64)
    changed = mel.clone()
    changed[:, :, :8] = -1
    with torch.no_grad():
        before, after = net(mel, identity), net(changed, identity)
    assert before.shape == (1, 3, 16, 64, 64)
    # Frame t hears rows 4t - 16 to 4t + 18: from frame 6 on nothing of what was changed.
    assert not torch.equal(before[:, :, 0], after[:, :, 0])
    assert torch.equal(before[:, :, 6:], after[:, :, 6:])


def test_vondrick_does_not_look_at_the_identity_and_repeats_itself_in_evaluation():
    torch.manual_seed(0)
    net = VondrickGenerator(GeneratorConfig(width=4)).eval()
    mel = torch.rand(2, 1, 64, 128)
    with torch.no_grad():
        one = net(mel, torch.rand(2, 3, 64, 64))
        two = net(mel, torch.rand(2, 3, 64, 64))
    assert one.shape == (2, 3, 16, 64, 64)
    torch.testing.assert_close(one, two)
    net.train()
    assert not torch.equal(net(mel, mel), net(mel, mel))


@pytest.mark.parametrize("kind", ["chung", "vondrick"])
def test_trains_exports_and_speaks(kind, shards, tmp_path):
    run = tmp_path / "run"
    train(tiny(kind), [shards], run, CPU)
    folder = export_model(run, tmp_path / kind)
    assert read_generator(folder).config.width == 4
    model = lipglance.load_model(folder)
    sound = np.zeros(16000, np.float32)
    lips = model.start(np.zeros((64, 64, 3), np.uint8))
    frames = np.concatenate([lips.feed(sound), lips.finish()])
    assert frames.shape == (25, 64, 64, 3)


def test_lessons_are_the_papers_models_alone(shards, tmp_path):
    with pytest.raises(InputError, match="for kind lmgg, not chung"):
        train(tiny("chung", audio_lesson=2), [shards], tmp_path / "run", CPU)
