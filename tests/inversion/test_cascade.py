"""The cascade and its acceleration: exact for linear generators, planted truths for others."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from preimage.core import ImageSpec, LatentSpace
from preimage.inversion.cascade import Cascade, Features, fit
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Downsample, Identity
from preimage.inversion.problem import Problem
from preimage.inversion.search import Status, solve
from preimage.inversion.solvers.anderson import anderson
from preimage.inversion.terms import L2
from preimage.models.wrap import wrap

SQUARED = Objective({"l2": (1.0, L2())})


def linear(d=5, scale=0.1):
    torch.manual_seed(0)
    layer = nn.Linear(d, 64)
    nn.init.normal_(layer.weight, std=scale)
    return wrap(layer, data=ImageSpec(1, 8, 8), space=LatentSpace((d,))), layer


def convolutional(d=8):
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Linear(d, 16 * 4 * 4), nn.Unflatten(1, (16, 4, 4)), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    net(torch.randn(64, d))  # statistics of the batch normalisation
    net[-2].weight.data *= 8  # so that some pixels saturate
    return wrap(net, data=ImageSpec(1, 16, 16), space=LatentSpace((d,)))


@pytest.fixture(scope="module")
def conv():
    model = convolutional()
    return model, fit(model, pairs=1024)


def problem_of(model, z, through=None):
    through = through or Identity()
    with torch.no_grad():
        y = through(model.decode(z))
    return Problem.of(model, y, SQUARED, through)


def accelerated(problem, cascade, *, steps=30, tolerance=1e-10):
    z = cascade.start(problem)
    return solve(anderson(problem, z, steps=steps, tolerance=tolerance, cascade=cascade))


def relative(found, z):
    return (found - z).norm(dim=1) / z.norm(dim=1)


def test_the_first_regression_inverts_a_linear_generator():
    model, _ = linear()
    cascade = fit(model, pairs=1024, stages=1)
    z = model.space.sample(16, seed=3)
    assert relative(cascade.start(problem_of(model, z)), z).max() < 1e-2


def test_noise_makes_the_first_regression_the_posterior_mean():
    """E[z | y] = (AᵀA + σ² I)⁻¹ Aᵀ (y − b) of y = A z + b + σ ε, z ~ N(0, I)."""
    model, layer = linear()
    sigma = 0.2
    cascade = fit(model, pairs=16384, stages=1, noise=sigma)
    z = model.space.sample(64, seed=3)
    y = model.decode(z).detach() + sigma * torch.randn(64, 1, 8, 8)
    A, b = layer.weight.detach(), layer.bias.detach()
    posterior = torch.linalg.solve(A.T @ A + sigma**2 * torch.eye(5), A.T @ (y.flatten(1) - b).T).T
    found = cascade.start(Problem.of(model, y, SQUARED, Identity()))
    assert (found - posterior).norm() < 0.15 * (found - z).norm()


def test_each_map_comes_nearer_on_fresh_pairs(conv):
    errors = conv[1].errors
    assert (errors[1:] < errors[:-1]).all()


def test_a_saturating_generator_is_regressed_before_its_nonlinearity(conv):
    assert conv[1].features.link == "tanh"


def test_acceleration_recovers_planted_latents(conv):
    model, cascade = conv
    z = model.space.sample(32, seed=5)
    search = accelerated(problem_of(model, z), cascade)
    assert (search.status == Status.REACHED).float().mean() > 0.9
    assert relative(search.z, z).median() < 1e-3


def test_acceleration_solves_a_linear_generator_from_a_wrong_map():
    """In exact arithmetic type II ends within d + 1 steps: it is GMRES there (Walker & Ni, §2)."""
    model, _ = linear(d=5)
    right = fit(model, pairs=1024, stages=1)
    wrong = right.maps * (0.2 + torch.rand(5))  # each latent moves too little, or too much
    cascade = Cascade(right.features, right.means, right.centres, wrong, right.errors)
    z = model.space.sample(4, seed=3)
    search = accelerated(problem_of(model, z), cascade, steps=8, tolerance=1e-11)
    assert (search.status == Status.REACHED).all()


def test_acceleration_begins_with_the_first_of_several_maps():
    """Six maps that go half the way each would, unmixed, leave a 256th of the error after four."""
    model, _ = linear(d=5)
    right = fit(model, pairs=1024, stages=1)
    cascade = replace(right, maps=(0.5 * right.maps).expand(6, -1, -1))
    problem = problem_of(model, model.space.sample(4, seed=3))
    before = problem.loss(cascade.start(problem))
    search = accelerated(problem, cascade, steps=4, tolerance=0.0)
    assert (search.loss < 1e-6 * before).all()


def test_acceleration_keeps_the_best_latents_and_counts(conv):
    model, cascade = conv
    problem = problem_of(model, model.space.sample(8, seed=6))
    z = cascade.start(problem)
    losses = [
        search.loss.clone()
        for search in anderson(problem, z, steps=6, tolerance=0.0, cascade=cascade)
    ]
    assert all((b <= a).all() for a, b in pairwise(losses))
    search = accelerated(problem, cascade, steps=6, tolerance=0.0)
    assert torch.allclose(problem.loss(search.z), search.loss, rtol=1e-3, atol=1e-12)
    assert (search.evaluations == search.iterations + 1).all()


def test_an_image_has_the_same_answer_alone_and_among_others(conv):
    model, cascade = conv
    problem = problem_of(model, model.space.sample(12, seed=7))
    together = accelerated(problem, cascade, steps=10)
    alone = accelerated(problem.select(torch.tensor([4])), cascade, steps=10)
    assert torch.allclose(alone.z[0], together.z[4], atol=1e-3)
    assert alone.iterations[0] == together.iterations[4]


def test_a_cascade_through_an_operator(conv):
    model, _ = conv
    through = Downsample(2)
    cascade = fit(model, through, pairs=1024)
    z = model.space.sample(16, seed=5)
    assert cascade.maps.shape[1] == 64
    search = accelerated(problem_of(model, z, through), cascade)
    assert relative(search.z, z).median() < 1e-2


def test_as_tensors_and_back(conv):
    model, cascade = conv
    again = Cascade.from_tensors(cascade.to_tensors(), latent=model.space.size, classes=1)
    problem = problem_of(model, model.space.sample(4, seed=9))
    assert again.features.link == cascade.features.link
    assert torch.equal(again.start(problem), cascade.start(problem))


def test_the_slope_of_features_is_their_derivative():
    features = Features(torch.arange(6), "tanh", 1e-3)
    a = torch.linspace(-0.9, 0.9, 6, dtype=torch.float64)[None].requires_grad_()
    h = features(a)
    (derivative,) = torch.autograd.grad(h.sum(), a)
    assert torch.allclose(features.slope(h), derivative)


def test_classes_have_means_of_their_own():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.A, self.b = torch.randn(3, 16) * 0.1, torch.randn(2, 16)

        def forward(self, z, labels):
            return z @ self.A + self.b[labels]

    model = wrap(
        Shifted(),
        data=ImageSpec(1, 4, 4),
        space=LatentSpace((3,)),
        range=(-4, 4),
        classes=("a", "b"),
    )
    cascade = fit(model, pairs=1024, stages=1)
    z, labels = model.space.sample(8, seed=1), torch.tensor([0, 1] * 4)
    problem = Problem.of(model, model.decode(z, labels), SQUARED, Identity(), labels=labels)
    assert relative(cascade.start(problem), z).max() < 2e-2
