"""Learning rate, order of the data, precision, budgets and the warning of collapse."""

import math
from itertools import count, pairwise

import numpy as np
import pytest
import torch

from preimage.core import InputError
from preimage.data import from_arrays
from preimage.models import AutoencoderConfig, build
from preimage.nets import MLP
from preimage.training import precision
from preimage.training.adversarial import Adversarial
from preimage.training.budget import RESERVE, TIMED_STEPS, within_minutes
from preimage.training.collapse import collapse_warning, diversity, relative_diversity
from preimage.training.likelihood import Likelihood
from preimage.training.order import Order
from preimage.training.precision import accelerator, best_device, bfloat16
from preimage.training.recipes import Plan
from preimage.training.stage import Stage


def test_the_rate_warms_up_and_falls_along_a_cosine_to_its_end():
    stage = Stage(steps=1000, warmup=9, final=0.1)
    rates = [stage.rate(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.1, rel=1e-3)
    assert rates[4] == pytest.approx(0.5, rel=1e-3)
    assert max(rates) == pytest.approx(1, rel=1e-3)
    assert all(a >= b for a, b in pairwise(rates[9:]))
    assert rates[500] == pytest.approx(0.55, rel=1e-3)
    assert rates[999] == pytest.approx(0.1, rel=1e-3)
    assert Stage(steps=10, warmup=0, final=1.0).rate(7) == 1


def test_every_epoch_is_a_permutation_of_its_own():
    indices = np.arange(100, 150)
    order = Order(indices, batch_size=10, seed=0)
    epochs = [np.concatenate([order.batch(5 * e + i) for i in range(5)]) for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == indices.tolist()
    assert not np.array_equal(epochs[0], epochs[1])


@pytest.mark.parametrize("batch_size", [7, 10, 130])
def test_batches_straddle_epochs_and_lose_nothing(batch_size):
    order = Order(np.arange(50), batch_size=batch_size, seed=0)
    steps = 350 // batch_size + 1
    stream = np.concatenate([order.batch(step) for step in range(steps)])
    assert len(stream) == steps * batch_size
    for epoch in range(7):
        assert sorted(stream[50 * epoch : 50 * epoch + 50]) == list(range(50))


def test_a_step_sees_the_same_batch_whatever_was_asked_before():
    walked, jumped = (Order(np.arange(50), batch_size=7, seed=3) for _ in range(2))
    batches = [walked.batch(step) for step in range(40)]
    for step in (39, 3, 17):
        assert np.array_equal(jumped.batch(step), batches[step])
    other = Order(np.arange(50), batch_size=7, seed=4)
    assert not np.array_equal(other.batch(0), batches[0])


def test_precision_is_as_asked_and_never_bf16_on_an_unknown_device():
    cpu = torch.device("cpu")
    assert bfloat16("bf16", cpu)
    assert not bfloat16("fp32", cpu)
    assert not bfloat16("auto", torch.device("mps"))
    with pytest.raises(InputError, match=r"no precision 'fp16'.*bf16"):
        bfloat16("fp16", cpu)


@pytest.mark.parametrize(
    ("instructions", "gain", "quick"), [(True, 5.0, True), (True, 0.6, False), (False, None, False)]
)
def test_bf16_is_taken_where_it_was_seen_to_be_quicker(instructions, gain, quick, monkeypatch):
    monkeypatch.setattr(precision, "_has_instructions", lambda: instructions)
    monkeypatch.setattr(precision, "_gain", lambda: gain)  # not asked where it is emulated
    assert bfloat16("auto", torch.device("cpu")) is quick


def test_trying_bf16_draws_no_random_number():
    state = torch.get_rng_state()
    assert precision._gain.__wrapped__() > 0
    assert torch.equal(torch.get_rng_state(), state)


def test_a_device_that_is_not_there_is_said():
    assert accelerator("cpu").device.type == "cpu"
    for device in ("nonsense", "xpu:7"):
        with pytest.raises(InputError, match="--device cpu"):
            accelerator(device)


def test_the_device_that_was_named_is_the_one(monkeypatch):
    monkeypatch.setattr(precision, "_has", lambda device: True)
    for device in ("cuda:1", "cpu", "cuda:0"):  # in one process, one after the other
        assert accelerator(device).device == torch.device(device)
        assert best_device(device) == torch.device(device)


def test_diversity_is_the_distance_between_pairs():
    x = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    pairs = torch.cdist(x, x).square()
    assert diversity(x) == pytest.approx(math.sqrt(pairs.mean().item()), rel=1e-4)
    assert diversity(x[:1]) == 0
    assert relative_diversity(0.5, 2.0) == 0.25
    assert relative_diversity(0.5, 0.0) == 1  # images all alike warn of nothing


def test_the_warning_comes_below_its_threshold_only():
    assert collapse_warning(0.41) == ()
    (warning,) = collapse_warning(0.1)
    assert "10%" in warning
    assert "lower the learning rate" in warning


def test_a_budget_of_minutes_becomes_steps_by_the_time_a_step_takes():
    numbers = np.random.default_rng(0)
    data = from_arrays(numbers.integers(0, 255, (80, 8, 8), dtype=np.uint8))
    model = build(AutoencoderConfig(data.spec, MLP((8,)), critic=MLP((8,))))
    stages = (Likelihood(steps=300, batch_size=8), Adversarial(steps=100, batch_size=8))
    before = [p.clone() for p in model.parameters()]
    ticks = count()  # a clock that shows a second more at each look
    found = within_minutes(
        Plan(model.config, stages), model, data, 2.0, clock=lambda: float(next(ticks)), device="cpu"
    )
    lengths = [stage.steps for stage in found.stages]
    assert sum(lengths) == int(RESERVE * 120 * TIMED_STEPS)  # 16 steps a second
    assert lengths[0] == pytest.approx(3 * lengths[1], abs=2)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
