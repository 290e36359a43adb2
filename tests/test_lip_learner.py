"""One step trains what it should, each loss is a switch, and the four terms do their work."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from lipglance.batches import Batch  # noqa: E402
from lipglance.config import from_dict  # noqa: E402
from lipglance.lip_learner import LipLearner  # noqa: E402


def tiny(**loss):
    return from_dict(
        {
            "steps": 10,
            "warmup": 1,
            "discriminator_width": 4,
            "correlation_width": 16,
            "generator": {"width": 4, "residual_blocks": 1},
            "autoencoder": {"width": 4, "residual_blocks": 1},
            "loss": loss,
        }
    )


def random_batch(seed=0, size=2):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.rand(size, *shape, generator=generator) * 2 - 1

    sound = (draw(1, 64, 128), draw(1, 64, 128))
    return Batch(draw(3, 16, 64, 64), draw(3, 64, 64), *sound, draw(16, 4) * 0.1)


def learner(config):
    torch.manual_seed(0)
    return LipLearner(config, torch.device("cpu"), lambda parameters: None)


def snapshot(net):
    return [p.detach().clone() for p in net.parameters()]


def moved(net, before):
    return any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


ALL = {"pixel": 1, "perceptual": 1, "correlation": 0.5, "adversarial": 0.1}
NETS = {
    "discriminator": "adversarial",
    "audio_encoder": "correlation",
    "flow_encoder": "correlation",
}


def test_full_objective_reports_and_trains_every_part():
    part = learner(tiny(**ALL))
    before = {name: snapshot(net) for name, net in part.networks.items()}
    terms = part.step([random_batch()], 0)
    assert {"pixel", "perceptual", "correlation/real", "correlation/fake", "adversarial"} <= set(
        terms
    )
    assert {"discriminator/real", "discriminator/fake", "discriminator/mismatched"} <= set(terms)
    for name in ("generator", "average", *NETS):
        assert moved(part.networks[name], before[name]), name
    assert not moved(part.autoencoder, before["autoencoder"])


@pytest.mark.parametrize("off", ["perceptual", "correlation", "adversarial"])
def test_weight_zero_switches_a_term_and_its_networks_off(off):
    part = learner(tiny(**{**ALL, off: 0}))
    before = {name: snapshot(part.networks[name]) for name in NETS}
    terms = part.step([random_batch()], 0)
    assert not any(name.startswith(off) for name in terms)
    for name, term in NETS.items():
        assert moved(part.networks[name], before[name]) is (term != off)


def test_two_stream_discriminator_sees_no_mismatched_pairs():
    part = learner(tiny(**ALL, audio_stream=False))
    assert "discriminator/mismatched" not in part.step([random_batch()], 0)


def test_square_error_is_a_switch():
    assert "square" not in learner(tiny(**ALL)).step([random_batch()], 0)
    assert "square" in learner(tiny(**ALL, square=2)).step([random_batch()], 0)


def test_painting_goes_on_beside_the_objective_with_a_fixed_code():
    part = learner(tiny(**ALL, painting=0.5))
    before = snapshot(part.lessons.code)
    terms = part.step([random_batch()], 0, random_batch(1))
    assert terms["painting/pixel"] > 0
    assert not moved(part.lessons.code, before)
    assert all(p.grad is None for p in part.lessons.code.parameters())
    assert "painting/pixel" not in part.step([random_batch()], 1)


def test_terms_can_start_late():
    part = learner(tiny(**ALL, adversarial_start=2, correlation_start=1))
    assert "adversarial" not in part.step([random_batch()], 0)
    second = part.step([random_batch()], 1)
    assert "adversarial" not in second
    assert "correlation/fake" in second
    assert "adversarial" in part.step([random_batch()], 2)


def test_correlation_loss_reaches_the_generators_pictures():
    part = learner(tiny(pixel=0, perceptual=0, correlation=1, adversarial=0))
    before = [p.detach().clone() for p in part.generator.decoder.rgb.parameters()]
    part.step([random_batch()], 0)
    after = list(part.generator.decoder.rgb.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_pixel_loss_falls_when_one_batch_is_learnt():
    part = learner(tiny(pixel=1, perceptual=0, correlation=0, adversarial=0))
    part.optimizers.named["generator"].param_groups[0]["betas"] = (0.9, 0.99)
    batch = random_batch()
    flat = replace(batch, video=batch.video * 0 + 0.5)
    losses = [part.step([flat], 0)["pixel"] for _ in range(40)]
    assert losses[-1] < 0.8 * losses[0]


def test_autoencoder_learns():
    part = learner(tiny(**ALL))
    part.optimizers.named["autoencoder"].param_groups[0]["lr"] = 5e-3
    losses = [part.autoencoder_step(random_batch())["autoencoder/l1"] for _ in range(15)]
    assert losses[-1] < losses[0]


def test_state_round_trip():
    one, batch = learner(tiny(**ALL)), random_batch()
    one.step([batch], 0)
    two = learner(tiny(**ALL))
    two.load(one.state())
    assert one.step([batch], 1) == pytest.approx(two.step([batch], 1), rel=1e-5)


def test_warm_start_paints_what_the_autoencoder_paints():
    part = learner(tiny(**ALL))
    for step in range(3):
        part.autoencoder_step(random_batch(), step)
    identity = random_batch().identity
    part.warm_start(identity)
    # Silence what an untrained audio encoder says, to compare the picture alone.
    torch.nn.init.zeros_(part.generator.fusion.audio.spatial.weight)
    painted = part.generator.eval()(random_batch().mel, identity)
    expected = part.autoencoder(identity)
    for frame in range(16):
        torch.testing.assert_close(painted[:, :, frame], expected, atol=2e-3, rtol=1e-2)


def test_lessons_learn():
    part = learner(tiny(**ALL))
    part.autoencoder_step(random_batch(), 0)
    batch = random_batch()
    part.warm_start(batch.identity)
    painted = [part.painting_lesson(batch, 0) for _ in range(25)]
    assert painted[-1]["painting_lesson/pixel"] < painted[0]["painting_lesson/pixel"]
    told = [part.audio_lesson(batch.mel, batch.shape, 0) for _ in range(25)]
    for name in told[0]:
        assert told[-1][name] < told[0][name]
    part.begin()
    for slow, fast in zip(part.average.parameters(), part.generator.parameters(), strict=True):
        assert torch.equal(slow, fast)
