"""The loop: bad steps, the moving average, what is best, and going on as if nothing happened."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from small_runs import copied, patterns, same, through_a_file, weights
from torch import nn

from preimage.core import ImageSpec, InputError
from preimage.models import AutoencoderConfig, GANConfig, build
from preimage.nets import MLP, Conv, Patch, Progressive
from preimage.training import adversarial
from preimage.training.adversarial import Adversarial
from preimage.training.likelihood import Likelihood, LikelihoodMethod
from preimage.training.sharpen import Sharpen
from preimage.training.trainer import Diverged, Trainer

SHORT = {"batch_size": 16, "warmup": 0}


def vae(data, net=None, **options):
    torch.manual_seed(0)
    return build(AutoencoderConfig(data.spec, net or MLP((16,)), latent=4, **options))


def gan(data, net=None, critic=None, **options):
    torch.manual_seed(0)
    net = net or MLP((16,))
    return build(GANConfig(data.spec, net, critic or net, latent=4, **options))


@pytest.fixture(autouse=True)
def few_validation_samples(monkeypatch):
    monkeypatch.setattr(adversarial, "VALIDATION_SAMPLES", 64)


@pytest.fixture(scope="module")
def data():
    return patterns()


def trainer(model, data, *stages, **options):
    return Trainer(model, data, stages, device="cpu", precision="fp32", **options)


METHODS = {
    "likelihood": (
        lambda data: vae(data, Conv(4)),
        (Likelihood(steps=12, flip=True, clip=10.0, ema=0.9, **SHORT),),
    ),
    "adversarial": (
        lambda data: gan(data, Conv(4, noise=True)),
        (Adversarial(steps=12, r1=1.0, r2=1.0, lazy=3, augment=("translation",), **SHORT),),
    ),
    "wasserstein": (
        lambda data: gan(data, classes=data.classes),
        (Adversarial(steps=12, loss="wasserstein", lipschitz=10.0, critic_steps=2, **SHORT),),
    ),
    "sharpen": (
        lambda data: vae(data, Conv(4, norm=False), critic=Patch(4, depth=2)),
        (Likelihood(steps=6, **SHORT), Sharpen(steps=6, r1=0.1, **SHORT)),
    ),
    "two stages": (
        lambda data: vae(data, components=2, critic=Conv(4, norm=False)),
        (Likelihood(steps=6, **SHORT), Adversarial(steps=6, r1=1.0, reconstruction=0.1, **SHORT)),
    ),
    "progressive": (
        lambda data: gan(data, Progressive(4), prior="sphere"),
        (Adversarial(steps=12, r1=1.0, **SHORT),),
    ),
}


# --- exact resume ---


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_run_ends_bit_for_bit_as_an_undisturbed_one(name, data):
    make, stages = METHODS[name]
    undisturbed = trainer(make(data), data, *stages, validations=3, seed=5)
    torch.manual_seed(1)
    states = {}
    for step in undisturbed:
        if step.step in (4, 7, 9) and step.step not in states:
            states[step.step] = copied(undisturbed.state())
    end = weights(undisturbed.average)
    for state in states.values():
        resumed = trainer(make(data), data, *stages, validations=3, seed=5)
        resumed.load_state(through_a_file(state))
        torch.manual_seed(99)  # the stream of another process is not to matter
        for _ in resumed:
            pass
        assert same(weights(resumed.average), end)
        assert same(weights(resumed.model), weights(undisturbed.model))


def test_leaving_the_loop_and_taking_it_up_again_changes_nothing(data):
    stage = Likelihood(steps=10, **SHORT)
    whole = trainer(vae(data), data, stage)
    steps = [step.step for step in whole]
    broken = trainer(vae(data), data, stage)
    for step in broken:
        if step.step == 4:
            break
    for _ in broken:
        pass
    assert same(weights(whole.average), weights(broken.average))
    assert steps == [0, *range(1, 11), 10]
    assert whole.finished
    assert whole.done == whole.total == 10


def test_another_seed_is_another_run(data):
    stage = Likelihood(steps=3, **SHORT)
    runs = [trainer(vae(data), data, stage, seed=seed) for seed in (0, 0, 1)]
    for run in runs:
        list(run)
    assert same(weights(runs[0].average), weights(runs[1].average))
    assert not same(weights(runs[0].average), weights(runs[2].average))


# --- steps that go wrong ---


class Sabotage:
    """Makes the loss of some steps something else; wraps a method's `updates`."""

    def __init__(self, trainer, steps, factor):
        self.method, self.steps, self.factor = trainer.method, steps, factor
        self.updates_before = trainer.method.updates
        trainer.method.updates = self.updates

    def updates(self, batch, *, step):
        for update in self.updates_before(batch, step=step):
            yield replace(update, loss=update.loss * self.factor) if step in self.steps else update


@pytest.mark.parametrize("factor", [math.nan, math.inf, 1e9])
@pytest.mark.parametrize("name", ["likelihood", "adversarial"])
def test_a_bad_step_is_skipped_counted_and_leaves_nothing(name, factor, data):
    make, stages = METHODS[name]
    run = trainer(make(data), data, *stages)
    for _ in range(3):
        run.advance()
    Sabotage(run, {3}, factor)
    parameters = [p.clone() for p in run.model.parameters()]
    average = weights(run.average)
    metrics = run.advance()
    assert metrics["skipped"] == run.skipped == 1
    assert all(torch.equal(a, b) for a, b in zip(parameters, run.model.parameters(), strict=True))
    assert same(weights(run.average), average)
    assert run.advance()["skipped"] == 1  # and on it goes
    assert run.skipped_in_a_row == 0
    assert not all(
        torch.equal(a, b) for a, b in zip(parameters, run.model.parameters(), strict=True)
    )


def test_images_that_are_not_numbers_leave_no_trace_in_running_statistics(data):
    run = trainer(vae(data, Conv(4)), data, Likelihood(steps=9, ema=0.9, **SHORT))
    run.advance()
    kept = run.method.batch

    def broken(indices, mirrored=None):
        batch = kept(indices, mirrored)
        return replace(batch, x=batch.x * math.nan)

    run.method.batch = broken
    run.advance()
    run.method.batch = kept
    assert run.skipped == 1
    run.advance()
    for model in (run.model, run.average):
        assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_three_bad_steps_in_a_row_stop_the_run_and_its_weights_are_sound(data):
    run = trainer(vae(data), data, Likelihood(steps=20, learning_rate=0.003, **SHORT))
    Sabotage(run, {2, 5, 6, 7}, math.nan)
    with pytest.raises(Diverged, match=r"3 steps in a row at step 7.*lower.*0\.003") as error:
        list(run)
    assert "\n" not in str(error.value)
    assert run.done == 7
    assert run.skipped == 4
    state = run.state()
    assert all(torch.isfinite(value).all() for value in state.tensors.values())
    assert all(torch.isfinite(value).all() for value in run.result().values())


def test_a_short_stage_of_bad_steps_alone_is_no_finished_one(data):
    run = trainer(vae(data), data, Likelihood(steps=2, **SHORT))
    Sabotage(run, {0, 1}, math.nan)
    with pytest.raises(Diverged, match="2 steps in a row"):
        list(run)
    assert not run.finished


def test_a_learning_rate_beyond_all_measure_stops_the_run_in_one_line(data):
    stage = Likelihood(steps=9, likelihood="bernoulli", learning_rate=1e30, **SHORT)
    with pytest.raises(Diverged, match="learning-rate"):
        list(trainer(vae(data), data, stage))


def test_the_gradient_is_clipped_to_its_norm(data):
    run = trainer(vae(data), data, Likelihood(steps=9, clip=0.01, **SHORT))
    run.advance()
    gradients = [p.grad.flatten() for p in run.model.parameters() if p.grad is not None]
    assert torch.cat(gradients).norm().item() == pytest.approx(0.01, rel=1e-3)


# --- the average, and the best ---


def test_the_average_is_the_exponential_moving_one(data):
    run = trainer(vae(data), data, Likelihood(steps=9, ema=0.5, **SHORT))
    expected = [p.clone() for p in run.model.parameters()]
    for step in range(5):
        run.advance()
        decay = min(0.5, (1 + step) / (10 + step))  # short at first
        expected = [
            decay * a + (1 - decay) * p
            for a, p in zip(expected, run.model.parameters(), strict=True)
        ]
    for a, b in zip(expected, run.average.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


@dataclass(frozen=True, kw_only=True)
class Scripted(Likelihood):
    """A stage whose validation figures are given."""

    figures: tuple[float, ...] = ()

    def method(self, model, context):
        method = LikelihoodMethod(self, model, context)
        figures = iter(self.figures)
        method.validate = lambda _: ({"heldout_loss": next(figures)}, ())
        return method


def test_the_best_is_by_the_metric_and_all_of_one_step(data):
    stage = Scripted(steps=4, figures=(5.0, 3.0, 1.0, 2.0, math.nan), **SHORT)
    run = trainer(vae(data), data, stage, validations=4)
    at = {}
    for step in run:
        if step.step not in at:
            at[step.step] = weights(run.average)
        if step.step == 3:
            assert run.best_step == 2
            assert same(run.result(), at[2])
    assert (run.best_step, run.best_value) == (2, 1.0)
    assert same(weights(run.average), at[2])  # of one step: every part is that step's
    assert not same(at[2], at[4])


def test_of_figures_that_differ_by_their_scatter_the_latest_is_best(data):
    run = trainer(gan(data), data, Adversarial(steps=5, **SHORT), validations=5)
    figures = iter([9.0, 1.0, 1.09, 1.15, 1.2, 1.05])  # 1.15 is too much above 1.0
    best = []
    run.method.validate = lambda _: ({"frechet": next(figures)}, ())
    for step in run:
        if step.step == len(best):
            best.append((run.best_step, run.best_value))
    assert best == [(0, 9.0), (1, 1.0), (2, 1.0), (2, 1.0), (2, 1.0), (5, 1.0)]


def test_a_growing_gan_ends_at_the_resolution_of_its_best_weights(data):
    run = trainer(gan(data, Progressive(4)), data, Adversarial(steps=4, **SHORT), validations=4)
    figures = iter([9.0, 1.0, 2.0, 3.0, 4.0])  # best after the first step, at the first level
    run.method.validate = lambda _: ({"frechet": next(figures)}, ())
    list(run)
    assert run.average.generator.state() == (0, 1.0)


# --- what it reports ---


def test_steps_report_figures_and_pictures_of_fixed_latents(data):
    run = trainer(vae(data), data, Likelihood(steps=4, **SHORT), validations=2)
    steps = list(run)
    assert [step.step for step in steps if step.previews] == [0, 2, 4, 4]
    assert all("heldout_loss" in step.metrics for step in steps if step.previews and step.metrics)
    assert steps[0].previews["samples"].shape == (64, 1, 8, 8)
    pairs = steps[0].previews["reconstructions"]
    shown = data.heldout[:16]
    assert torch.equal(pairs[: len(shown)], data.batch(shown))
    assert "closed form" in steps[0].notes[0]
    assert steps[-1].stage == "done"
    assert all(step.total == 4 for step in steps)


def test_a_model_and_data_that_do_not_fit_are_refused(data):
    wrong = build(AutoencoderConfig(ImageSpec(1, 16, 16), MLP((8,))))
    with pytest.raises(InputError, match=r"16×16 grey.*8×8 grey"):
        trainer(wrong, data, Likelihood())
    named = vae(data, classes=("a", "b"))
    with pytest.raises(InputError, match="classes"):
        trainer(named, data, Likelihood())


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Likelihood(likelihood="poisson"), "no likelihood 'poisson'"),
        (Adversarial(), "needs a model with a critic"),
        (Sharpen(), "needs an autoencoder with a critic"),
    ],
)
def test_a_stage_that_does_not_fit_the_model_says_so(stage, message, data):
    with pytest.raises(InputError, match=message):
        trainer(vae(data), data, stage)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Adversarial(loss="hing"), "no adversarial loss 'hing'"),
        (Adversarial(augment=("blur",)), "no augmentation 'blur'"),
        (Sharpen(loss="hing"), "no adversarial loss 'hing'"),
        (Sharpen(likelihood="poisson"), "no likelihood 'poisson'"),
    ],
)
def test_an_unknown_word_is_refused_before_training(stage, message, data):
    with pytest.raises(InputError, match=message):
        trainer(vae(data, critic=Patch(4, depth=2)), data, stage)
    with pytest.raises(InputError, match="leave variational on"):
        trainer(vae(data, critic=Patch(4, depth=2), variational=False), data, Sharpen())


@pytest.mark.parametrize("stage", [Adversarial(), Sharpen()])
def test_too_few_images_to_judge_by_are_refused_before_the_first_stage(stage):
    few = patterns(n=3)
    model = vae(few, critic=Patch(4, depth=2))
    with pytest.raises(InputError, match="at least 4 images"):
        trainer(model, few, Likelihood(), stage)
    more = patterns(n=4)
    trainer(model, more, Likelihood(), stage)


def test_training_by_likelihood_leaves_the_critic_alone(data):
    run = trainer(vae(data, critic=Patch(4, depth=2)), data, Likelihood(steps=3, **SHORT))
    before = weights(run.model.critic_net)
    list(run)
    assert same(weights(run.model.critic_net), before)


def test_fine_tuning_leaves_the_encoder_alone(data):
    model = vae(data, components=2, critic=Conv(4, norm=False))
    run = trainer(model, data, Adversarial(steps=3, **SHORT))
    x = data.batch(data.train[:8])
    before = model.eval().encode(x).mean
    drawn = model.decode(before)
    for _ in range(3):
        run.advance()
    run.model.eval()
    assert torch.equal(run.model.encode(x).mean, before)
    assert not torch.equal(run.model.decode(before), drawn)


def test_penalties_are_paid_every_so_many_steps_at_as_many_times_the_weight(data):
    def loss_at(step, **options):
        model = gan(data).eval()
        stage = Adversarial(steps=9, r1=1.0, r2=1.0, **SHORT, **options)
        run = trainer(model, data, stage)
        torch.manual_seed(0)
        x = data.batch(data.train[:16])
        updates = run.method.updates(run.method.batch(data.train[:16]), step=step)
        return next(updates).loss.item(), x

    plain, _ = loss_at(0, lazy=1)
    lazy, _ = loss_at(0, lazy=4)
    none, _ = loss_at(1, lazy=4)
    assert lazy - none == pytest.approx(4 * (plain - none), rel=1e-4)
    assert plain > none


def test_batch_statistics_of_the_critic_are_of_reals_or_of_fakes_never_of_both(data):
    run = trainer(gan(data, Conv(4)), data, Adversarial(steps=9, **SHORT))
    seen = []
    (norm, *_) = [m for m in run.model.critic_net.modules() if isinstance(m, nn.Conv2d)]
    norm.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].detach()))
    batch = run.method.batch(data.train[:16])
    next(run.method.updates(batch, step=0))
    assert [len(x) for x in seen] == [16, 16]
    assert torch.equal(seen[0], batch.x)
