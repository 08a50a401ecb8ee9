"""Starts: true nearest samples, through operators, in flat memory; halving keeps the best."""

import pytest
import torch
from torch import nn

from preimage.core import ImageSpec, InputError, LatentSpace, Unsupported
from preimage.inversion import starts
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Downsample, Identity, Mask
from preimage.inversion.problem import Problem
from preimage.inversion.search import Search, Status
from preimage.inversion.starts import Pool, encoder_start, given_start, halving, mean_start
from preimage.inversion.terms import L2
from preimage.models.wrap import wrap

SQUARED = Objective({"l2": (1.0, L2())})


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 64), nn.Tanh())
    return wrap(net, data=ImageSpec(1, 8, 8), space=LatentSpace((4,)))


@pytest.fixture(scope="module")
def pool(model):
    return Pool.of(model, size=600)


def problem_of(model, n=5, through=None):
    through = through or Identity()
    y = through(model.decode(model.space.sample(n, seed=9))).detach()
    return Problem.of(model, y, SQUARED, through)


def halves(n):
    """A mask an image: the upper half of the even ones is seen, the lower half of the others."""
    mask = torch.zeros(n, 1, 8, 8)
    mask[::2, :, :4] = 1
    mask[1::2, :, 4:] = 1
    return Mask(mask)


@pytest.mark.parametrize(
    "through", [None, Downsample(2), halves(5)], ids=["as it is", "small", "masks"]
)
def test_nearest_is_the_nearest_of_all(model, pool, through):
    problem = problem_of(model, through=through)
    found = pool.nearest(problem, k=3)
    for i in range(len(problem)):
        one = problem.through.select(torch.full((len(pool),), i))
        error = (one(pool.images.float()) - problem.target[i]).square().flatten(1).sum(1)
        assert torch.equal(found[i], pool.z[error.argsort()[:3]])


def test_nearest_in_features(model, pool):
    problem = problem_of(model)
    found = pool.nearest(problem, features=lambda x: x.mean((2, 3)))
    means, target = pool.images.float().mean((1, 2, 3)), problem.target.mean((1, 2, 3))
    expected = (means - target[:, None]).abs().argmin(1)
    assert torch.equal(found[:, 0], pool.z[expected])


def test_nearest_does_not_depend_on_the_batch(model, pool):
    problem = problem_of(model, n=8)
    alone = [pool.nearest(problem.select(torch.tensor([i])), k=2) for i in range(8)]
    assert torch.equal(torch.cat(alone), pool.nearest(problem, k=2))


def test_nearest_holds_one_block_at_a_time(model, pool, monkeypatch):
    monkeypatch.setattr(starts, "BLOCK", 50)
    seen = []

    class Watched(Identity):
        def __call__(self, x):
            seen.append(len(x))
            return x

    problem = problem_of(model)
    watched = Problem.of(model, problem.target, SQUARED, Watched())
    assert torch.equal(pool.nearest(watched, k=4), pool.nearest(problem, k=4))
    assert max(seen[1:]) <= 50


def test_a_pool_of_large_images_has_fewer(model, monkeypatch):
    monkeypatch.setattr(starts, "VALUES", 64 * 10)
    assert len(Pool.of(model, size=600)) == 10


def test_the_same_seed_gives_the_same_pool(model, pool):
    assert torch.equal(Pool.of(model, size=600).z, pool.z)
    assert not torch.equal(Pool.of(model, size=600, seed=1).z, pool.z)


def test_mean_and_given(model):
    problem = problem_of(model)
    assert not mean_start(problem).any()
    z = torch.arange(4.0)
    assert torch.equal(given_start(problem, z), z.expand(5, 4))
    with pytest.raises(InputError, match=r"start= has shape \(3, 4\)"):
        given_start(problem, torch.zeros(3, 4))


def test_an_encoder_starts_from_its_mean(model):
    with pytest.raises(Unsupported):
        encoder_start(problem_of(model))
    with pytest.raises(InputError, match="whole images"):
        encoder_start(problem_of(model, through=Downsample(2)))


def still(problem, z, *, steps, tolerance):
    """A solver that stays where it is."""
    search = Search.begin(problem, z)
    search.iterations += steps
    search.finish(search.active, Status.LIMIT)
    yield search


@pytest.mark.parametrize("k", [1, 2, 5, 8])
def test_halving_keeps_the_best(model, k):
    problem = problem_of(model, n=6)
    z = model.space.sample(6 * k, seed=4).reshape(6, k, 4)
    losses = torch.stack([problem.loss(z[:, j]) for j in range(k)], 1)
    best = halving(problem, z, still, steps=2)
    assert torch.allclose(best.loss, losses.min(1).values)
    assert torch.equal(best.z, z[torch.arange(6), losses.argmin(1)])


def test_halving_spends_most_on_the_best(model):
    problem = problem_of(model, n=1)
    z = model.space.sample(4, seed=4).reshape(1, 4, 4)
    assert halving(problem, z, still, steps=2).iterations.item() == 4 * 2 + 2 * 4


def test_halving_does_not_depend_on_the_batch(model, monkeypatch):
    problem = problem_of(model, n=6)
    z = model.space.sample(24, seed=4).reshape(6, 4, 4)
    together = halving(problem, z, still, steps=1)
    monkeypatch.setattr(starts, "AT_ONCE", 4)
    assert torch.equal(halving(problem, z, still, steps=1).z, together.z)
