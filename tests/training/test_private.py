"""Private training: the price is right, and nothing but noisy clipped sums sees the images."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import kstest, norm
from small_runs import copied, patterns, same, through_a_file, weights

from preimage.core import Gaussian, ImageSpec, InputError
from preimage.data import Dataset
from preimage.models import build
from preimage.nets import MLP, Conv, Gated, Residual, Transformer
from preimage.training import secret
from preimage.training.order import Poisson
from preimage.training.private import PrivateLikelihood
from preimage.training.private_plan import RECIPES, check_private, private
from preimage.training.recipes import RECIPES as ALL
from preimage.training.recipes import Facts, plan
from preimage.training.stage import Batch
from preimage.training.trainer import Trainer

opacus = pytest.importorskip("opacus", reason="needs the extra 'private'")

from preimage.training.accounting import Spending, least_noise  # noqa: E402

CLASSES = ("lying", "upright")


@pytest.fixture(scope="module")
def data():
    return patterns(n=320)


def private_plan(data, recipe="vae-mlp", epsilon=8.0, **options):
    facts = Facts(data.spec, len(data.train), tuple(data.classes))
    return private(plan(recipe, facts), facts.n, epsilon=epsilon, recipe=recipe, **options)


def trainer(data, recipe="vae-mlp", steps=6, net=None, secret=1, **options):
    options = {"batch_size": 24, "warmup": 0, "noise_multiplier": 1.0, **options}
    made = private_plan(data, recipe, **options)
    torch.manual_seed(0)
    model = build(made.model if net is None else replace(made.model, net=net))
    stage = replace(made.stages[0], steps=steps)
    return Trainer(
        model, data, (stage,), device="cpu", precision="fp32", validations=2, secret=secret
    )


# --- the price ---


def of_gaussian(σ, δ):
    """ε of one Gaussian mechanism of sensitivity 1: Balle & Wang 2018, theorem 8."""

    def excess(ε):
        a, b = 1 / (2 * σ), ε * σ
        return norm.cdf(a - b) - math.exp(ε) * norm.cdf(-a - b) - δ

    return brentq(excess, 0, 200)


@pytest.mark.parametrize(("σ", "δ"), [(1.4, 1e-5), (0.7, 1e-3), (5.0, 1e-6)])
@pytest.mark.parametrize("steps", [1, 30])
def test_without_sampling_the_price_is_that_of_one_gaussian(σ, δ, steps):
    found = Spending(1.0, δ, σ * math.sqrt(steps), 1.0).spent(steps)
    exact = of_gaussian(σ, δ)
    assert exact <= found <= exact + 0.03  # a bound, and near


def test_the_price_with_sampling_lies_below_renyis_and_grows():
    spending = Spending(1.0, 1e-5, 1.0, 0.02)
    ours = [spending.spent(steps) for steps in (0, 10, 100, 1000)]
    assert ours == sorted(ours)
    assert ours[0] == 0
    renyi = opacus.accountants.RDPAccountant()
    renyi.history = [(1.0, 0.02, 1000)]
    assert 0.7 * renyi.get_epsilon(1e-5) < ours[-1] < renyi.get_epsilon(1e-5)


@pytest.mark.parametrize("epsilon", [0.5, 3.0])
def test_the_noise_is_the_least_that_keeps_the_budget(epsilon):
    asked = {"delta": 1e-5, "sample_rate": 0.05}
    σ = least_noise(epsilon=epsilon, steps=200, **asked)
    spending = Spending(epsilon, 1e-5, σ, 0.05)
    assert spending.spent(200) <= epsilon
    assert replace(spending, noise_multiplier=0.97 * σ).spent(200) > epsilon


def test_reaching_the_budget_ends_the_run(data):
    run = trainer(data, epsilon=2.0, noise_multiplier=1.0, steps=200)
    spending = run.stages[0].spending
    assert 0 < run.total < 200
    assert spending.spent(run.total) <= 2.0 < spending.spent(run.total + 1)
    for _ in run:
        pass
    assert run.finished
    assert run.done == run.total
    assert run.guarantee.epsilon == pytest.approx(spending.spent(run.total))


def test_the_promise_is_what_was_spent_so_far(data):
    run = trainer(data, steps=6)
    assert run.guarantee.epsilon == 0
    run.advance()
    assert 0 < run.guarantee.epsilon < 8.0
    assert run.guarantee.delta == pytest.approx(1 / (10 * len(data.train)))
    assert run.guarantee.images == len(data.train)


# --- gradients ---


@pytest.fixture
def noiseless(monkeypatch):
    """Latents that an image decides alone, so that it may be looked at by itself."""
    monkeypatch.setattr(Gaussian, "sample", lambda q: q.mean + 0.5 * q.std)


def single_gradients(method, batch):
    """The gradient of each image by itself, flat: (B, P)."""
    parameters = list(method.model.parameters())
    rows = []
    for i in range(len(batch.x)):
        labels = None if batch.labels is None else batch.labels[i : i + 1]
        loss = method.loss(method.model, Batch(batch.x[i : i + 1], labels))[0]
        rows.append(flat(torch.autograd.grad(loss, parameters)))
    return torch.stack(rows).double()  # a length of many numbers is not for float32


def flat(tensors):
    return torch.cat([t.flatten() for t in tensors])


NETS = {
    "residual": Residual(4, dense=16),
    "transformer": Transformer(width=16, depth=1, heads=2),
    "named channels": Conv(channels=(4, 8), strides=(1, 2), norm=False, dense=8),
}


@pytest.mark.parametrize("recipe", [*RECIPES, *NETS])
def test_sums_are_those_of_single_images_clipped(recipe, noiseless):
    data = patterns(n=80, size=8)
    net = NETS.get(recipe)
    run = trainer(data, "vae-mlp" if net else recipe, net=net)
    run.model.train()
    batch = run.method.batch(data.train[:7])
    with torch.no_grad():
        batch.x[0] *= 0.01  # of another length than the others
    single = single_gradients(run.method, batch)
    lengths = single.norm(dim=1)
    for C in (1.0, lengths.median().item(), 1e6):
        run.method.config = replace(run.method.config, max_grad_norm=C)
        expected = (single * (C / lengths).clamp(max=1)[:, None]).sum(0)
        found = flat(run.method.clipped_sum(batch))
        assert (found - expected).norm() < 1e-5 * expected.norm()


def test_chunks_do_not_matter(data, noiseless, monkeypatch):
    from preimage.training import private as module

    run = trainer(data)
    run.model.train()
    batch = run.method.batch(data.train[:20])
    whole = flat(run.method.clipped_sum(batch))
    monkeypatch.setattr(module, "CHUNK", 3)
    assert torch.allclose(flat(run.method.clipped_sum(batch)), whole, atol=1e-6)


@pytest.mark.parametrize("value", [1e4, math.inf, math.nan])
def test_no_outlier_moves_a_sum_by_more_than_the_clipping_length(value, data, noiseless):
    run = trainer(data, max_grad_norm=0.5, likelihood="gaussian")
    run.model.train()
    batch = run.method.batch(data.train[:9])
    labels = batch.labels
    usual = flat(run.method.clipped_sum(Batch(batch.x[:8], labels[:8])))
    batch.x[8] = value
    moved = (flat(run.method.clipped_sum(batch)) - usual).norm().item()
    assert moved <= 0.5 * (1 + 1e-5)
    if math.isfinite(value):
        assert moved > 0.4  # it has a say, and its gradient is far longer
        run.method.config = replace(run.method.config, max_grad_norm=1e9)
        free = flat(run.method.clipped_sum(Batch(batch.x[8:], labels[8:])))
        assert free.norm() > 100


def test_noise_has_the_stated_deviation(data):
    run = trainer(data, noise_multiplier=1.7, max_grad_norm=2.5)
    stage = run.stages[0]
    run.model.train()
    nobody = run.method.batch(data.train[:0])
    draws = []
    for step in range(3):
        (update,) = run.method.updates(nobody, step=step)
        draws.append(flat(update.gradients).double() * stage.sample_rate * len(data.train))
    noise = torch.cat(draws)
    σC = stage.noise_multiplier * 2.5
    assert noise.std().item() == pytest.approx(σC, rel=5 / math.sqrt(2 * len(noise)))
    assert abs(noise.mean().item()) < 5 * σC / math.sqrt(len(noise))
    assert kstest(noise[:50_000] / σC, "norm").pvalue > 1e-3
    correlation = torch.corrcoef(torch.stack(draws))
    assert (correlation - torch.eye(3)).abs().max() < 5 / math.sqrt(len(draws[0]))


def test_secret_numbers_are_uniform_and_depend_on_all_that_is_said():
    a = secret.uniform(100_000, 7, "noise", 0)
    assert kstest(a, "uniform").pvalue > 1e-3
    assert a.min() >= 0
    assert a.max() < 1
    others = [secret.uniform(100_000, *place) for place in ((8, "noise", 0), (7, "noise", 1))]
    assert all(abs(np.corrcoef(a, b)[0, 1]) < 0.02 for b in others)
    assert np.array_equal(a, secret.uniform(100_000, 7, "noise", 0))
    assert secret.fresh() != secret.fresh()
    z = secret.normal(99_999, 7, "noise", 0)
    assert kstest(z.numpy(), "norm").pvalue > 1e-3


# --- batches ---


def test_batches_are_poisson():
    n, q, steps = 400, 0.05, 3000
    order = Poisson(np.arange(n), rate=q, secret=3)
    batches = [order.batch(step) for step in range(steps)]
    sizes = np.array([len(batch) for batch in batches])
    variance = n * q * (1 - q)
    assert sizes.mean() == pytest.approx(n * q, abs=5 * math.sqrt(variance / steps))
    assert sizes.var() == pytest.approx(variance, rel=5 * math.sqrt(2 / steps))
    seen = np.bincount(np.concatenate(batches), minlength=n)
    z = (seen - steps * q) / math.sqrt(steps * q * (1 - q))
    assert kstest(z, "norm").pvalue > 1e-3
    assert np.array_equal(order.batch(17), Poisson(np.arange(n), rate=q, secret=3).batch(17))


def test_empty_batches_are_steps_too(data):
    run = trainer(data, steps=20, sample_rate=0.002)
    sizes = [len(run.order.batch(step)) for step in range(20)]
    assert 0 in sizes
    before = weights(run.model)
    run.step = sizes.index(0)
    run.advance()
    assert not same(before, weights(run.model))  # noise alone
    assert all(torch.isfinite(p).all() for p in run.model.parameters())


# --- what looks at training images ---


def test_no_training_image_is_looked_at_but_in_its_batches(data, monkeypatch):
    run = trainer(data, steps=5)
    members = {int(i) for step in range(5) for i in run.order.batch(step)}
    looked = set()
    real = Dataset.batch

    def watched(self, indices):
        looked.update(int(i) for i in np.asarray(indices))
        return real(self, indices)

    monkeypatch.setattr(Dataset, "batch", watched)
    steps = list(run)
    assert looked - set(data.heldout.tolist()) == members
    assert members < set(data.train.tolist())
    for step in steps:  # no losses of training images, no sizes of batches
        known = {n for n in step.metrics if not n.startswith("heldout_")}
        assert known <= {"skipped", "epsilon"}


def test_the_last_weights_are_kept_whoever_judges_them(data):
    run = trainer(data, steps=4)
    figures = iter([1.0, 2.0, 9.0])
    run.method.validate = lambda _: ({"heldout_loss": next(figures)}, ())
    for _ in run:
        pass
    assert run.best_step == 4


def test_noise_does_not_follow_from_the_seed(data):
    runs = [trainer(data, steps=2, secret=secret) for secret in (None, None, 5, 5)]
    for run in runs:
        run.advance()
    assert not same(weights(runs[0].model), weights(runs[1].model))
    assert same(weights(runs[2].model), weights(runs[3].model))


# --- going on ---


def test_a_resumed_private_run_ends_bit_for_bit_as_an_undisturbed_one(data):
    options = {"recipe": "vae-conv", "net": Conv(4, norm=False), "flip": True, "ema": 0.9}
    undisturbed = trainer(data, steps=8, **options)
    states = {}
    for step in undisturbed:
        if step.step in (0, 3, 5) and step.step not in states:
            states[step.step] = copied(undisturbed.state())
    for steps, state in states.items():
        resumed = trainer(data, steps=8, secret=None, **options)
        resumed.load_state(through_a_file(state))
        assert resumed.guarantee.epsilon == pytest.approx(resumed.stages[0].spending.spent(steps))
        for _ in resumed:
            pass
        assert same(weights(resumed.average), weights(undisturbed.average))


def test_the_secret_is_kept_until_the_end_and_no_longer(data):
    run = trainer(data, steps=2, secret=0xABCDEF)
    assert run.state().numbers["private"]["secret"] == "abcdef"
    for _ in run:
        pass
    assert "abcdef" not in str(run.state().numbers)


def test_a_run_goes_on_at_no_other_price(data):
    begun = trainer(data, steps=6)
    begun.advance()
    kept = copied(begun.state())
    for changed in ({"epsilon": 4.0}, {"max_grad_norm": 3.0}, {"delta": 1e-4}):
        other = trainer(data, steps=6, **changed)
        with pytest.raises(InputError, match="trained with"):
            other.load_state(kept)


# --- what cannot be private ---


@pytest.mark.parametrize("recipe", sorted(ALL.keys() - set(RECIPES)))
def test_recipes_that_look_at_images_without_noise_are_refused(recipe):
    facts = Facts(ImageSpec(1, 28, 28), 1000, CLASSES)
    with pytest.raises(InputError, match=f"recipe '{recipe}' cannot hide.*vae-mlp") as error:
        private(plan(recipe, facts), 1000, epsilon=8.0, recipe=recipe)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"linear": True}, "linear starts from principal"),
        ({"components": 5}, "components are fitted"),
        ({"axes": 8}, "axes are principal"),
        ({"critic": MLP((8,))}, "critic learns"),
        ({"max_grad_norm": 0}, "max_grad_norm=0 is not possible"),
        ({"max_grad_norm": -1.0}, "max_grad_norm=-1.0 is not possible"),
        ({"delta": -1e-5}, "delta=-1e-05 is not possible"),
        ({"delta": 0.01}, "delta=0.01 is not possible"),
        ({"likelihood": "learned-sigma"}, "learned-sigma takes its σ"),
        ({"likelihood": "gausian"}, "did you mean 'gaussian'"),
        ({"epsilon": 0.0}, "epsilon=0 "),
        ({"epsilon": -1.0}, "epsilon=-1 "),
        ({"epsilon": math.nan}, "epsilon=nan "),
        ({"epsilon": 1e6}, "epsilon=1e\\+06 "),
        ({"noise_multiplier": 0.01}, "hides next to nothing"),
        ({"noise_multiplier": 0.3, "epsilon": 0.1}, "spends more"),
    ],
)
def test_options_that_are_not_private_are_refused(options, said, data):
    with pytest.raises(InputError, match=said) as error:
        trainer(data, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (Conv(8), "norm mixes"),
        (Residual(8, deviation=True), "deviation mixes"),
        (MLP((8,), noise=True), "noise is drawn"),
        (Gated(8), "the net Gated cannot"),
    ],
)
def test_nets_that_mix_images_are_refused(net, said, data):
    with pytest.raises(InputError, match=said):
        private_plan(data, net=net)


def test_every_feature_that_is_not_private_is_off(data):
    for recipe in RECIPES:
        made = private_plan(data, recipe)
        assert isinstance(made.stages[0], PrivateLikelihood)
        assert not made.model.linear
        assert not made.model.components
        modules = {type(module).__name__ for module in build(made.model).modules()}
        assert not [name for name in modules if "Norm" in name]


def test_nothing_held_out_is_refused(data):
    bare = replace(data, heldout=data.heldout[:0])
    with pytest.raises(InputError, match="holds no images out"):
        trainer(bare)


def test_privacy_goes_with_no_choice_by_held_out_images_and_its_options_with_it():
    with pytest.raises(InputError, match="'frechet' \\(--best\\)"):
        check_private(8.0, "frechet", {})
    with pytest.raises(InputError, match="delta is of private training"):
        check_private(None, None, {"delta": 1e-5})
    check_private(None, "frechet", {"latent": 3})
