"""Terms of the objective: closed forms, ‖r‖² = loss, slopes, and means over what was seen."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace

import pytest
import scipy.ndimage
import torch
from torch import Tensor, nn

from preimage.core import ImageSpec, InputError, LatentModel, LatentSpace, Unsupported
from preimage.inversion.losses import NOISE, objective
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Blur, Downsample, Grey, Identity, Mask
from preimage.inversion.problem import Problem
from preimage.inversion.terms import (
    L1,
    L2,
    LPIPS,
    SSIM,
    Adversarial,
    FeatureDistance,
    Huber,
    Pyramid,
)

SHAPE = (3, 3, 12, 12)


def images(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1


def feature_maps(x: Tensor) -> list[Tensor]:
    """Two maps of any image: its slopes, squashed, and its channels' means."""
    return [torch.tanh(x[:, :, 1:] - x[:, :, :-1]), x.mean((2, 3)) + 0.1]


def critic(x: Tensor) -> Tensor:
    return 3 * x.flatten(1).mean(1) - x.square().flatten(1).mean(1)


TERMS = {
    "l2": L2(),
    "l1": L1(),
    "huber": Huber(0.3),
    "pyramid": Pyramid(3),
    "gaussian pyramid": Pyramid(3, pool="gaussian"),
    "ssim": SSIM(),
    "features": FeatureDistance(feature_maps),
    "adversarial": Adversarial(critic),
}

OPERATORS = {
    "identity": Identity(),
    "mask": Mask((images(5, (12, 12)) > 0).double()),
    "soft mask an image": Mask((images(6, (3, 1, 12, 12)).abs() - 0.3).clamp_min(0)),
    "small": Grey().then(Downsample(2)),
    "mask, blur": Mask((images(7, (12, 12)) > 0.3).double()).then(Blur(0.7)),
}

every_term = pytest.mark.parametrize("T", TERMS.values(), ids=TERMS.keys())
every_operator = pytest.mark.parametrize("A", OPERATORS.values(), ids=OPERATORS.keys())


@every_term
@every_operator
def test_squared_residual_is_the_loss(T, A):
    y, a = A(images(1)), A(images(2))
    prepared = T.prepare(y, A.weights(y))
    assert len(prepared) == len(y)
    loss, r = T.loss(a, prepared), T.residual(a, prepared)
    assert loss.shape == (3,)
    assert (loss > 0).all()
    if isinstance(T, L1 | SSIM):
        assert r is None
    else:
        torch.testing.assert_close(r.square().sum(1), loss)


@every_term
@every_operator
def test_batches_do_not_couple(T, A):
    y, a, row = A(images(1)), A(images(2)), torch.tensor([1])
    weights = A.weights(y)
    among = T.loss(a, T.prepare(y, weights))
    alone = T.loss(a[row], T.prepare(y[row], None if weights is None else weights[row]))
    torch.testing.assert_close(alone, among[row])
    torch.testing.assert_close(T.loss(a[row], T.prepare(y, weights)[row]), among[row])


@every_term
def test_slopes(T):
    A = Mask((images(6, (4, 4)) > -0.5).double())
    y, x = A(images(1, (1, 2, 4, 4))), images(2, (1, 2, 4, 4)).requires_grad_()
    prepared = T.prepare(y, A.weights(y))
    assert torch.autograd.gradcheck(lambda x: T.loss(A(x), prepared), x)
    if T.residual(y, prepared) is not None:
        assert torch.autograd.gradcheck(lambda x: T.residual(A(x), prepared), x)


@every_term
def test_nothing_to_gain_where_images_agree(T):
    """The loss is 0 there, and so is its slope: no NaN from the root of 0."""
    if isinstance(T, Adversarial):
        return
    y = images(1)
    a = y.clone().requires_grad_()
    loss = T.loss(a, T.prepare(y))
    torch.testing.assert_close(loss.detach(), torch.zeros_like(loss), atol=1e-12, rtol=0)
    (slope,) = torch.autograd.grad(loss.sum(), a)
    assert slope.abs().max() < 1e-7
    r = T.residual(a, T.prepare(y))
    if r is not None:
        (slope,) = torch.autograd.grad(r.sum(), a)
        assert slope.isfinite().all()


@every_operator
@pytest.mark.parametrize("d", [0.05, -0.7])
def test_an_error_of_one_size_costs_the_same_through_any_operator(A, d):
    """A mean over observed values does not depend on how many there are."""
    y = A(images(1))
    a = y + d * (torch.ones_like(y) if A.weights(y) is None else (A.weights(y) > 0))
    for T, cost in [
        (L2(), d**2),
        (L1(), abs(d)),
        (Huber(0.1), d**2 if abs(d) < 0.1 else 0.2 * abs(d) - 0.01),
        (Pyramid(3), d**2),
        (Pyramid(3, pool="gaussian"), d**2),
    ]:
        loss = T.loss(a, T.prepare(y, A.weights(y)))
        torch.testing.assert_close(loss, torch.full_like(loss, cost))


def test_weighted_mean_by_hand():
    y, a = torch.zeros(1, 1, 1, 3), torch.tensor([[[[0.4, 0.8, 7.0]]]])
    A = Mask(torch.tensor([[1.0, 0.5, 0.0]]))
    for T, expected in [
        (L2(), (0.16 + 0.5 * 0.64) / 1.5),
        (L1(), (0.4 + 0.5 * 0.8) / 1.5),
        (Huber(0.5), (0.16 + 0.5 * (0.8 - 0.25)) / 1.5),
    ]:
        loss = T.loss(A(a), T.prepare(A(y), A.weights(y)))
        assert loss.item() == pytest.approx(expected)


def test_huber_is_smooth_where_its_pieces_meet():
    T, e = Huber(0.3), torch.tensor([0.3 - 1e-9, 0.3 + 1e-9], dtype=torch.float64)
    e.requires_grad_()
    (slope,) = torch.autograd.grad(T.root(e).sum(), e)
    torch.testing.assert_close(slope, torch.ones_like(e))
    assert T.root(-e).tolist() == (-T.root(e)).tolist()


def test_pyramid_by_hand():
    a = torch.tensor([[1.0, 3.0], [-1.0, 1.0]]).reshape(1, 1, 2, 2)
    y = torch.zeros_like(a)
    # full size: (1 + 9 + 1 + 1) / 4 = 3; one pixel: 1² = 1; and no third level
    assert Pyramid(5).loss(a, Pyramid(5).prepare(y)).tolist() == [pytest.approx(2.0)]
    noise, shift = torch.tensor([1.0, -1.0]).repeat(32).reshape(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    T, zero = Pyramid(3), torch.zeros(1, 1, 8, 8)
    assert T.loss(noise, zero) < T.loss(shift, zero)  # what is fine counts less


def test_ssim_against_scipy():
    a, y = images(1, (1, 1, 12, 12)), images(2, (1, 1, 12, 12))

    def smooth(x: Tensor) -> Tensor:
        found = scipy.ndimage.gaussian_filter(x[0, 0].numpy(), 1.5, mode="nearest", truncate=3.5)
        return torch.from_numpy(found)

    μa, μy = smooth(a), smooth(y)
    va, vy, cov = smooth(a * a) - μa**2, smooth(y * y) - μy**2, smooth(a * y) - μa * μy
    C1, C2 = 0.02**2, 0.06**2
    ssim = (2 * μa * μy + C1) * (2 * cov + C2) / ((μa**2 + μy**2 + C1) * (va + vy + C2))
    torch.testing.assert_close(SSIM().loss(a, y), 1 - ssim.mean()[None])


def test_feature_distance_is_relative():
    """Twice the features is a relative squared error of 1, whatever their scale."""
    for scale in (1.0, 1000.0):
        T = FeatureDistance(lambda x, s=scale: {"one": s * x, "two": x.flatten(1)})
        y = images(1)
        torch.testing.assert_close(
            T.loss(2 * y, T.prepare(y)), torch.ones(3).double(), atol=0.1, rtol=0
        )


def test_adversarial_by_hand():
    T = Adversarial(lambda x: x.flatten(1)[:, 0])
    a = torch.tensor([[0.0], [2.0], [-200.0], [200.0]]).double().requires_grad_()
    loss = T.loss(a, T.prepare(a))
    expected = [math.log(2), math.log1p(math.exp(-2)), 200.0, 0.0]
    assert loss.tolist() == pytest.approx(expected)
    (slope,) = torch.autograd.grad(T.residual(a, T.prepare(a)).sum(), a)
    assert slope.isfinite().all()  # though the loss has vanished


def test_lpips_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(InputError, match="pip install 'preimage"):
        LPIPS()


def test_lpips_takes_grey_images(monkeypatch):
    class Net(nn.Module):
        def forward(self, a, y):
            assert a.shape[1] == y.shape[1] == 3
            return (a - y).square().mean((1, 2, 3), keepdim=True)

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=lambda **_: Net()))
    T, y, a = LPIPS(), images(1, (2, 1, 8, 8)).float(), images(2, (2, 1, 8, 8)).float()
    torch.testing.assert_close(T.loss(a, T.prepare(y)), (a - y).square().mean((1, 2, 3)))


# --- from what a person writes ---


class Painter(LatentModel):
    """A linear generator with features and a critic of its own."""

    def __init__(self, **space):
        super().__init__()
        self.data = ImageSpec(1, 4, 4)
        self.spaces = {"z": LatentSpace((5,), **space)}
        self.G = nn.Parameter(images(3, (5, 16)).float())

    def decode(self, z, labels=None, *, space=None):
        return (z @ self.G).reshape(-1, 1, 4, 4)

    def features(self, x):
        return x.flatten(1)[:, :7]

    def critic(self, x, labels=None):
        return x.flatten(1).sum(1)


class Bare(Painter):
    features = LatentModel.features
    critic = LatentModel.critic


def test_what_a_person_writes():
    model = Painter()
    assert {n: w for n, (w, _) in objective(model).terms.items()} == {"l2": 1.0}
    assert objective(model, ["l2", "features"]).terms["features"][0] == 0.1
    written = objective(model, {"l1": 2, "adversarial": 0.5}, prior="l2", project="box", clip=True)
    assert {n: w for n, (w, _) in written.terms.items()} == {"l1": 2, "adversarial": 0.5}
    assert written.penalties["l2"][0] == pytest.approx(NOISE**2 * 5 / 16)
    assert len(written.projections) == 2
    assert objective(model, written) is written


def test_default_prior_weight_is_the_posterior():
    """F = MSE + v ‖z‖²/d is the negative log-posterior, times 2σ²/N."""
    model, σ, N = Painter(), 0.2, 16
    y, z = images(1, (3, 1, 4, 4)).float(), torch.randn(3, 5)
    squares = (model(z) - y).square().flatten(1).sum(1)
    posterior = squares / (2 * σ**2) + z.square().sum(1) / 2
    for prior in ("l2", "density"):
        problem = Problem.of(model, y, objective(model, prior=prior, noise=σ), Identity())
        torch.testing.assert_close(problem.loss(z), posterior * 2 * σ**2 / N)
        torch.testing.assert_close(problem.residual(z).square().sum(1), problem.loss(z))


def test_what_a_mask_hides_is_never_looked_at():
    seen = torch.ones(4, 4)
    seen[1:3] = 0
    y, z = images(1, (2, 1, 4, 4)).float(), torch.randn(2, 5)
    painted = torch.where(seen > 0, y, torch.nan)
    model = Painter()
    F = objective(model, {"l2": 1, "pyramid": 1, "features": 1, "adversarial": 1, "ssim": 1})
    one, other = (Problem.of(model, image, F, Mask(seen)) for image in (y, painted))
    assert torch.equal(one.loss(z), other.loss(z))
    assert torch.equal(one.seeds, other.seeds)
    torch.testing.assert_close(
        Problem.of(model, y, objective(model), Mask(seen)).loss(z),
        (model(z) - y).square().flatten(1)[:, seen.flatten() > 0].mean(1),
    )


def test_problem_of_some_rows_keeps_their_masks():
    A = Mask((images(6, (3, 1, 4, 4)) > 0).float())
    y, z, rows = images(1, (3, 1, 4, 4)).float(), torch.randn(3, 5), torch.tensor([2, 0, 2])
    problem = Problem.of(Painter(), y, objective(Painter(), ["huber", "pyramid"]), A)
    torch.testing.assert_close(problem.select(rows).loss(z[rows]), problem.loss(z)[rows])
    torch.testing.assert_close(problem.select(rows).residual(z[rows]), problem.residual(z)[rows])


MISTAKES = {
    "no loss 'hubr'; did you mean 'huber'": lambda: objective(Painter(), "hubr"),
    "no prior 'l3'; did you mean": lambda: objective(Painter(), prior="l3"),
    "no project 'typcal'; did you mean 'typical'": lambda: objective(Painter(), project="typcal"),
    "the weight of 'l2' is 'much'": lambda: objective(Painter(), {"l2": "much"}),
    "the weight of 'l2' is 0; give one above 0": lambda: objective(Painter(), {"l2": 0}),
    "no term on the image": lambda: objective(Painter(), {}),
    "loss=7; give a name": lambda: objective(Painter(), 7),
    "give feature_net=": lambda: objective(Bare(), "features"),
    "no critic for the loss": lambda: objective(Bare(), "adversarial"),
    "feature_net= is for the loss": lambda: objective(Bare(), feature_net=feature_maps),
    "an Objective is complete": lambda: objective(Painter(), Objective({"l2": (1, L2())}), clip=2),
    "does not take observations": lambda: FeatureDistance(nn.Linear(4, 4)).prepare(images()),
    "'pyramid' is for images": lambda: Pyramid().prepare(torch.ones(2, 5)),
    "'ssim' is for images": lambda: SSIM().prepare(torch.ones(2, 5)),
    "give observations of that shape": lambda: L2().loss(images(), L2().prepare(images()[..., 1:])),
    "delta -1": lambda: Huber(-1),
    "at least 1": lambda: Pyramid(0),
    "no pool 'maximum'": lambda: Pyramid(pool="maximum"),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_said_in_a_line(message):
    with pytest.raises(InputError, match=message) as caught:
        MISTAKES[message]()
    assert "\n" not in str(caught.value)


def test_a_model_that_cannot_is_unsupported():
    with pytest.raises(Unsupported):
        objective(Bare(), "features")
    features = objective(Bare(), "features", feature_net=feature_maps).terms["features"]
    assert features[0] == 1.0
