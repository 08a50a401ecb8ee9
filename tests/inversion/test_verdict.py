"""P-values are uniform where they should be, and the search is judged apart from the range."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from preimage.core import ImageSpec, InputError, LatentModel, LatentSpace
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Identity
from preimage.inversion.posterior import ROUNDING
from preimage.inversion.problem import Problem
from preimage.inversion.search import solve
from preimage.inversion.solvers import levenberg_marquardt
from preimage.inversion.terms import L2
from preimage.inversion.verdict import Calibration, calibrate, contrast_of
from preimage.models import wrap

RECOVERY = torch.linspace(1e-6, 5e-6, 199)


def p_of_fresh(draw, *, N: int, repetitions: int) -> np.ndarray:
    """P-values of fresh draws, a new calibration for each."""
    found = []
    for i in range(repetitions):
        g = torch.Generator().manual_seed(i)
        calibration = calibrate(draw(N, g), RECOVERY)
        seeds = torch.randint(1 << 60, (1,), generator=g)
        found.append(calibration.p_value(draw(1, g), seeds=seeds))
    return torch.cat(found).numpy()


def tied(n: int, g: torch.Generator) -> torch.Tensor:
    return torch.randint(4, (n,), generator=g).float()


def untied(n: int, g: torch.Generator) -> torch.Tensor:
    return torch.randn(n, generator=g).exp()


@pytest.mark.parametrize("draw", [untied, tied])
def test_p_values_are_uniform_on_fresh_images_of_the_same_data(draw):
    N = 19
    p = p_of_fresh(draw, N=N, repetitions=1000)
    counts = np.bincount(np.rint(p * (N + 1)).astype(int), minlength=N + 2)[1:]
    assert counts.sum() == 1000
    assert len(counts) == N + 1  # nothing but 1/(N + 1), …, 1
    assert stats.chisquare(counts).pvalue > 1e-3
    jitter = np.random.default_rng(0).uniform(size=len(p)) / (N + 1)  # to the whole of (0, 1)
    assert stats.kstest(p - jitter, "uniform").pvalue > 1e-3


def test_without_seeds_ties_count_against_suspicion():
    calibration = calibrate(torch.tensor([1.0, 2.0, 2.0, 3.0]), RECOVERY)
    assert calibration.p_value(torch.tensor([2.0])).item() == pytest.approx(4 / 5)
    drawn = calibration.p_value(torch.full((300,), 2.0), seeds=torch.arange(300))
    assert sorted(set(drawn.tolist())) == pytest.approx([2 / 5, 3 / 5, 4 / 5])


def test_larger_errors_never_have_larger_p_values():
    g = torch.Generator().manual_seed(0)
    calibration = calibrate(tied(50, g), RECOVERY)
    errors = torch.linspace(-1, 5, 300)
    p = calibration.p_value(errors, seeds=torch.arange(300))
    assert (p.diff() <= 0).all()
    assert p[-1].item() == pytest.approx(1 / 51)
    assert p[0].item() == 1


def test_the_order_of_held_out_images_does_not_matter_nor_does_the_batch():
    g = torch.Generator().manual_seed(0)
    errors, fresh = untied(60, g), untied(9, g)
    one, other = calibrate(errors, RECOVERY), calibrate(errors.flip(0), RECOVERY.flip(0))
    seeds = torch.arange(9)
    assert torch.equal(one.p_value(fresh, seeds=seeds), other.p_value(fresh, seeds=seeds))
    assert one.floor == other.floor
    alone = one.p_value(fresh[4:5], seeds=seeds[4:5])
    assert torch.equal(one.p_value(fresh, seeds=seeds)[4:5], alone)


def test_words_say_how_unusual_an_image_is():
    calibration = calibrate(torch.arange(1.0, 400.0), RECOVERY)
    typical, unusual, outside = calibration.verdict(torch.tensor([100.0, 398.5, 1e9]))
    assert typical.words == "typical of this data"
    assert unusual.words == "unusual: 1 in 200"
    assert outside.words == "outside: larger than all 399 held-out errors"
    assert outside.p_value == pytest.approx(1 / 400)
    few = calibrate(torch.arange(1.0, 20.0), RECOVERY).verdict(torch.tensor([99.0]))[0]
    assert few.words == "larger than all 19 held-out errors, too few to say outside"


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_an_image_whose_inversion_failed_has_the_smallest_p_value(error):
    calibration = calibrate(torch.arange(1.0, 100.0), RECOVERY)
    assert calibration.p_value(torch.tensor([error])).item() == pytest.approx(0.01)


def test_a_blank_image_is_no_easy_one_where_errors_are_relative_to_contrast():
    g = torch.Generator().manual_seed(0)
    images = torch.randn(200, 1, 6, 6, generator=g).clamp(-1, 1)
    blank = torch.full((1, 1, 6, 6), -0.9)
    errors = 0.05 * contrast_of(images) * untied(200, g)
    small = torch.tensor([1e-3])  # a nearly black picture is nearly reproduced
    assert calibrate(errors, RECOVERY).p_value(small) > 0.9
    relative = calibrate(errors, RECOVERY, contrast=contrast_of(images))
    assert relative.p_value(small, contrast=contrast_of(blank)).item() == pytest.approx(1 / 201)
    with pytest.raises(ValueError, match="contrast="):
        relative.p_value(small)


def test_contrast_is_the_variance_of_what_was_seen():
    y = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = y.flatten(1).double().var(1, correction=0)
    torch.testing.assert_close(contrast_of(y), expected)
    weights = torch.zeros_like(y)
    weights[..., :2] = 1
    expected = y[..., :2].flatten(1).double().var(1, correction=0)
    torch.testing.assert_close(contrast_of(y, weights), expected)
    assert contrast_of(torch.ones(1, 1, 2, 2)).item() == pytest.approx(ROUNDING**2)


def test_the_floor_holds_99_of_100_of_the_generators_own_images():
    g = torch.Generator().manual_seed(0)
    below = []
    for _ in range(300):
        floor = calibrate(torch.ones(1), 1e-6 * untied(200, g), noise=1.0).floor
        below.append(1e-6 * untied(20, g) <= floor)
    assert torch.cat(below).float().mean().item() == pytest.approx(0.99, abs=0.004)


def test_a_solver_that_misses_the_generators_own_images_gets_no_higher_floor():
    missed = torch.cat([torch.full((90,), 4e-6), torch.full((10,), 0.05)])
    calibration = calibrate(torch.ones(1), missed)
    assert calibration.floor == pytest.approx(1 / 255**2)
    assert calibration.recovered == pytest.approx(0.9)
    assert calibration.verdict(torch.tensor([0.04]))[0].solved is None


def test_a_search_is_judged_by_the_solvers_floor_and_then_by_other_starts():
    calibration = calibrate(torch.arange(1.0, 100.0), RECOVERY)
    restarts = torch.tensor([[9.0, 9.0], [5.001, 9.0], [2.0, 9.0], [6.0, 7.0], [math.inf] * 2])
    restarts = torch.cat([restarts, restarts[:1]])
    errors = torch.tensor([4e-6, 5.0, 5.0, 5.0, 5.0, math.nan])
    found = calibration.verdict(errors, restarts=restarts)
    assert [v.solved for v in found] == [True, True, False, None, None, False]
    assert found[1].search == "solved: 1 of 2 other starts end at the same error"
    assert found[2].search == "not solved: another start ends 60% lower"
    assert calibration.verdict(errors[1:2])[0].solved is None
    assert {v.words for v in found[:5]} == {"typical of this data"}  # another question


def test_a_calibration_can_be_saved():
    contrast = torch.rand(30) + 0.1
    calibration = calibrate(torch.rand(30), RECOVERY, contrast=contrast, noise=0.01)
    again = Calibration.from_tensors(calibration.to_tensors())
    errors, contrast = torch.rand(5), torch.rand(5) + 0.1
    assert again.relative
    assert again.floor == calibration.floor
    assert torch.equal(
        again.p_value(errors, contrast=contrast), calibration.p_value(errors, contrast=contrast)
    )


@pytest.mark.parametrize("empty", [0, 1])
def test_a_calibration_from_nothing_is_refused(empty):
    errors = [torch.ones(3), torch.ones(3)]
    errors[empty] = torch.empty(0)
    with pytest.raises(InputError, match="held-out"):
        calibrate(*errors)


@pytest.mark.slow
@pytest.mark.real_data
def test_a_generator_of_digits_tells_clothes_from_digits(real_data):
    N = 120
    model = _digits(real_data)
    digits = _images(real_data / "mnist.npz", 2 * N)
    clothes = _images(real_data / "fashion-mnist.npz", N)
    own = ((model.sample(N, seed=9) + 1) * 127.5).round() / 127.5 - 1
    errors = {
        name: _inverted(model, x)
        for name, x in {"heldout": digits[::2], "fresh": digits[1::2], "clothes": clothes}.items()
    }
    calibration = calibrate(
        errors["heldout"], _inverted(model, own), contrast=contrast_of(digits[::2])
    )
    share = {
        "fresh": errors["fresh"] / contrast_of(digits[1::2]),
        "clothes": errors["clothes"] / contrast_of(clothes),
    }
    larger = share["clothes"][:, None] > share["fresh"]
    assert larger.double().mean() > 0.99  # the area under the ROC curve
    p = calibration.p_value(errors["fresh"], contrast=contrast_of(digits[1::2]))
    assert stats.kstest(p.numpy(), "uniform").pvalue > 1e-3
    assert calibration.recovered > 0.95
    verdicts = calibration.verdict(errors["clothes"], contrast=contrast_of(clothes))
    assert sum(v.words.startswith("outside") for v in verdicts) > 0.9 * N


def _digits(real_data: Path) -> LatentModel:
    """A third-party VAE of digits: 20 → 400 → 784."""
    path = real_data / "csinva" / "mnist_vae" / "weights" / "vae_epoch_25.pth"
    weights = torch.load(path, weights_only=True, map_location="cpu")
    net = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784), nn.Sigmoid())
    names = {"0": "fc3", "2": "fc4"}
    net.load_state_dict(
        {
            f"{i}.{kind}": weights[f"{fc}.{kind}"]
            for i, fc in names.items()
            for kind in ("weight", "bias")
        }
    )
    return wrap(net, data=ImageSpec(1, 28, 28), space=LatentSpace((20,)), range=(0, 1))


def _images(path: Path, n: int) -> torch.Tensor:
    with np.load(path) as arrays:
        return torch.from_numpy(arrays["test_images"][:n]).float()[:, None] / 127.5 - 1


def _inverted(model: LatentModel, y: torch.Tensor) -> torch.Tensor:
    """Errors (B,) of Levenberg–Marquardt from the nearest of some samples."""
    problem = Problem.of(model, y, Objective({"l2": (1.0, L2())}), Identity())
    with torch.no_grad():
        z = model.space.sample(1024, seed=5)
        z = z[torch.cdist(y.flatten(1), model.decode(z).flatten(1)).argmin(1)]
    return solve(levenberg_marquardt(problem, z, steps=30, tolerance=0.0)).loss
