"""`method="auto"`: planted latents come back, whatever the objective, operator and start."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from preimage.core import ImageSpec, LatentSpace, seeds
from preimage.inversion.auto import (
    ACCELERATED,
    FOREIGN,
    NEAR,
    SHRINKING,
    Prepared,
    _consult_others,
    auto,
    is_plain,
    suited,
)
from preimage.inversion.cascade import STAGES, fit
from preimage.inversion.constraints import SquaredNorm
from preimage.inversion.noise import normal
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Downsample, Identity
from preimage.inversion.problem import Problem
from preimage.inversion.rough import SAMPLES, fitting_roughly, mean_curvature
from preimage.inversion.search import Search, Status, solve
from preimage.inversion.solvers.anderson import anderson
from preimage.inversion.solvers.cma import cma
from preimage.inversion.solvers.gauss_newton import gauss_newton
from preimage.inversion.solvers.lbfgs import lbfgs
from preimage.inversion.solvers.levenberg_marquardt import levenberg_marquardt
from preimage.inversion.solvers.preconditioned_lbfgs import preconditioned_lbfgs
from preimage.inversion.starts import Pool, prior_latents
from preimage.inversion.terms import L1, L2, SSIM
from preimage.models.wrap import wrap

SQUARED = Objective({"l2": (1.0, L2())})


def convolutional(d=6):
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Linear(d, 8 * 4 * 4), nn.Unflatten(1, (8, 4, 4)), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    for module in net:
        if isinstance(module, nn.Linear | nn.ConvTranspose2d):
            module.weight.data *= 3
    return wrap(net, data=ImageSpec(1, 16, 16), space=LatentSpace((d,))).requires_grad_(False)


@pytest.fixture(scope="module")
def model():
    return convolutional()


@pytest.fixture(scope="module")
def prepared(model):
    return Prepared(cascade=fit(model, pairs=512, stages=3), pool=Pool.of(model, size=256))


def problem_of(model, z, objective=SQUARED, through=None):
    through = through or Identity()
    return Problem.of(model, through(model.decode(z)), objective, through)


def relative(found, z):
    return (found - z).norm(dim=1) / z.norm(dim=1)


def test_planted_latents_are_found(model, prepared):
    z = model.space.sample(24, seed=5)
    search = solve(auto(problem_of(model, z), steps=30, tolerance=1e-10, prepared=prepared))
    assert (search.status == Status.REACHED).all()
    assert relative(search.z, z).quantile(0.9) < 1e-2


@pytest.mark.parametrize("use", ["cascade", "pool", "nothing"])
def test_whatever_was_prepared(model, prepared, use):
    known = {"cascade": Prepared(prepared.cascade), "pool": Prepared(pool=prepared.pool)}
    z = model.space.sample(8, seed=6)
    problem = problem_of(model, z)
    search = solve(auto(problem, steps=30, tolerance=1e-10, prepared=known.get(use)))
    assert (search.loss < 1e-4).float().mean() > 0.6
    assert torch.allclose(problem.loss(search.z), search.loss, rtol=1e-2, atol=1e-9)


def test_from_a_given_start(model, prepared):
    z = model.space.sample(8, seed=6)
    near = z + 0.02 * torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    search = solve(auto(problem_of(model, z), near, steps=20, tolerance=1e-10, prepared=prepared))
    assert relative(search.z, z).max() < 1e-3


def test_through_an_operator(model):
    through = Downsample(2)
    z = model.space.sample(8, seed=7)
    prepared = Prepared(fit(model, through, pairs=512, stages=3))
    problem = problem_of(model, z, through=through)
    search = solve(auto(problem, steps=30, tolerance=1e-10, prepared=prepared))
    assert relative(search.z, z).median() < 1e-2


def test_another_objective_starts_where_squares_are_least(model, prepared):
    z = model.space.sample(4, seed=7)
    problem = problem_of(model, z, Objective({"l1": (1.0, L1())}))
    search = solve(auto(problem, steps=20, tolerance=1e-6, prepared=prepared))
    assert search.loss.median() < 1e-3


def test_the_penalised_minimum_is_stationary(model, prepared):
    z = model.space.sample(4, seed=7)
    objective = Objective({"l2": (1.0, L2())}, {"l2": (0.01, SquaredNorm())})
    problem = problem_of(model, z, objective)
    search = solve(auto(problem, steps=40, tolerance=0.0, prepared=prepared))
    slope = problem.loss_and_gradient(search.z)[1].norm(dim=1)
    assert (slope < 1e-2 * problem.loss_and_gradient(torch.zeros(4, 6))[1].norm(dim=1)).all()


def test_the_solver_suits_the_objective(model):
    z = model.space.sample(2, seed=1)
    assert suited(problem_of(model, z), z) is levenberg_marquardt
    assert suited(problem_of(model, z, Objective({"ssim": (1.0, SSIM())})), z) is lbfgs
    wide = wrap(nn.Linear(200, 16), data=ImageSpec(1, 4, 4), space=LatentSpace((200,)))
    assert suited(problem_of(wide, wide.space.sample(2)), wide.space.sample(2)) is gauss_newton

    class Rounded(nn.Module):
        def forward(self, z):
            return z.detach().round()

    rough = wrap(Rounded(), data=ImageSpec(1, 2, 3), space=LatentSpace((6,)))
    assert suited(problem_of(rough, z), z) is cma


def test_only_the_squared_error_is_plain():
    assert is_plain(SQUARED)
    assert not is_plain(Objective({"l2": (1.0, L2())}, {"l2": (0.1, SquaredNorm())}))
    assert not is_plain(Objective({"l1": (1.0, L1())}))


def test_an_image_has_the_same_answer_alone_and_among_others(model, prepared):
    problem = problem_of(model, model.space.sample(6, seed=9))
    together = solve(auto(problem, steps=20, tolerance=1e-9, prepared=prepared))
    for i in (0, 5):
        alone = solve(
            auto(problem.select(torch.tensor([i])), steps=20, tolerance=1e-9, prepared=prepared)
        )
        assert torch.allclose(alone.z[0], together.z[i], atol=1e-3)


def test_status_and_counts_go_on_from_one_solver_to_the_next(model, prepared):
    problem = problem_of(model, model.space.sample(6, seed=9))
    last = None
    for search in auto(problem, steps=12, tolerance=0.0, prepared=prepared):
        if last is not None:
            assert (search.evaluations >= last[0]).all()
            assert (search.loss <= last[1]).all()
        last = search.evaluations.clone(), search.loss.clone()
    assert (search.status != Status.RUNNING).all()


def test_an_encoder_that_is_nearer_is_followed(model, prepared):
    """Where the cascade was fitted to something else, the latents are the encoder's."""
    z = model.space.sample(8, seed=6)
    y = model.decode(z)

    class Knowing(nn.Module):
        def forward(self, x):
            return z[(x.flatten(1)[:, None] - y.flatten(1)).square().sum(2).argmin(1)]

    with_encoder = wrap(model.generator, data=model.data, space=model.space, encoder=Knowing())
    wrong = replace(prepared.cascade, maps=torch.zeros_like(prepared.cascade.maps))
    search = solve(
        auto(problem_of(with_encoder, z), steps=2, tolerance=1e-10, prepared=Prepared(wrong))
    )
    assert relative(search.z, z).max() < 1e-3


def test_images_that_cannot_be_drawn_come_as_near_as_patient_search_brings_them(model, ready):
    """Drawn images with noise: two roads lead to one bottom, and the quick one is auto's."""
    z = model.space.sample(24, seed=9)
    noise = 0.3 * torch.randn(24, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    x = model.decode(z) + noise
    problem = Problem.of(model, x, SQUARED, Identity())
    search = solve(auto(problem, steps=60, tolerance=1e-10, prepared=ready))
    patient = solve(levenberg_marquardt(problem, z, steps=200, fall=1e-7))
    assert (search.loss > NEAR).all()
    assert (search.loss <= 1.02 * patient.loss).float().mean() > 0.9
    assert search.evaluations.float().mean() < 60 + 2 * ACCELERATED
    assert torch.allclose(problem.loss(search.z), search.loss, rtol=1e-4)


def test_what_is_known_of_curvature_is_its_mean(model):
    z = prior_latents(model, SAMPLES, seeds.generator(0, "curvature"))
    J = torch.func.vmap(torch.func.jacrev(lambda z: model.decode(z[None]).flatten()))(z)
    expected = (J.mT @ J).mean(0) / (16 * 16)  # the squared error is a mean over pixels
    assert torch.allclose(mean_curvature(model), expected, rtol=1e-3, atol=1e-6)


def test_a_rough_start_bears_noise_that_the_exact_one_does_not(model, prepared):
    z = model.space.sample(64, seed=11)
    noise = 0.2 * torch.randn(64, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    problem = Problem.of(model, (model.decode(z) + noise).clamp(-1, 1), SQUARED, Identity())
    *_, rough = fitting_roughly(model)
    found, loss = rough.latents(problem)
    assert torch.allclose(problem.loss(found), loss, rtol=1e-4)
    assert loss.mean() < prepared.cascade.latents(problem)[1].mean()
    assert (loss <= problem.loss(rough.start(problem)) + 1e-6).all()


def noisy(model, n, *, seed):
    z = model.space.sample(n, seed=seed)
    noise = 0.3 * torch.randn(n, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    return model.decode(z) + noise


@pytest.fixture(scope="module")
def ready(model, prepared):
    *_, rough = fitting_roughly(model)
    return replace(prepared, rough=rough, curvature=mean_curvature(model))


def test_a_weight_changes_nothing_but_the_scale(model, ready):
    x = torch.cat([noisy(model, 6, seed=3), model.decode(model.space.sample(6, seed=4))])
    found = {}
    for weight in (1.0, 100.0):
        problem = Problem.of(model, x, Objective({"l2": (weight, L2())}), Identity())
        tolerance = 1e-10 * weight
        found[weight] = solve(auto(problem, steps=30, tolerance=tolerance, prepared=ready))
    assert torch.allclose(100 * found[1.0].loss[:6], found[100.0].loss[:6], rtol=1e-3)
    assert (found[1.0].evaluations[:6] - found[100.0].evaluations[:6]).abs().max() <= 5
    assert torch.equal(found[1.0].status[6:], found[100.0].status[6:])


def test_images_of_both_kinds_do_not_meet(model, ready):
    own = model.decode(model.space.sample(8, seed=7))
    x = torch.cat([noisy(model, 8, seed=8), own, ((own + 1) * 127.5).round() / 127.5 - 1])
    problem = Problem.of(model, x, SQUARED, Identity())
    together = solve(auto(problem, steps=20, tolerance=1e-10, prepared=ready))
    for i in (0, 5, 9, 14, 17):
        one = problem.select(torch.tensor([i]))
        alone = solve(auto(one, steps=20, tolerance=1e-10, prepared=ready))
        assert torch.allclose(alone.loss, together.loss[i : i + 1], rtol=0.02, atol=1e-8)


@pytest.mark.parametrize("starts", [1, 4])
def test_an_image_counts_as_done_only_when_it_is(model, ready, starts):
    """Whoever stops a search keeps what has ended: it must be what the whole search would give."""
    x = torch.cat([noisy(model, 6, seed=5), model.decode(model.space.sample(6, seed=6))])
    problem = Problem.of(model, x, SQUARED, Identity())
    options = {"steps": 20, "tolerance": 1e-10, "prepared": ready, "starts": starts}
    ends = solve(auto(problem, **options)).loss
    for search in auto(problem, **options):
        done = search.status != Status.RUNNING
        assert (search.loss[done] <= ends[done] + 1e-9).all()
    assert done.all()


def test_the_cascade_is_given_up_only_where_something_takes_its_place(model, prepared):
    problem = Problem.of(model, noisy(model, 12, seed=10), SQUARED, Identity())
    searches = {
        limit: solve(
            anderson(
                problem, prepared.cascade.start(problem), steps=20, tolerance=1e-10,
                cascade=prepared.cascade, hopeless=limit,
            )
        )
        for limit in (1e-2, torch.inf)
    }  # fmt: skip
    maps = len(prepared.cascade.maps)
    left = searches[1e-2].loss > 1e-2
    assert left.any()
    assert (searches[1e-2].iterations[left] == maps - 1).all()
    assert (searches[torch.inf].iterations > maps).all()
    penalised = Objective({"l2": (1.0, L2())}, {"l2": (1e-3, SquaredNorm())})
    other = Problem.of(model, noisy(model, 4, seed=10), penalised, Identity())
    rough = replace(prepared, rough=prepared.cascade, curvature=torch.eye(6))
    one, two = (solve(auto(other, steps=5, tolerance=0.0, prepared=p)) for p in (prepared, rough))
    assert torch.equal(one.z, two.z)


def test_of_a_long_chain_an_image_that_is_far_off_does_not_see_the_end(model, prepared):
    maps = prepared.cascade.maps
    longer = replace(prepared.cascade, maps=torch.cat([maps, maps[-1:].repeat(9, 1, 1)]))
    problem = Problem.of(model, noisy(model, 12, seed=10), SQUARED, Identity())
    options = {"steps": 20, "tolerance": 1e-10, "cascade": longer, "hopeless": 1e-2}
    search = solve(anderson(problem, longer.start(problem), **options))
    left = search.loss > 1e-2
    assert left.any()
    assert (search.evaluations[left] == STAGES).all()


def test_the_best_of_the_cascades_latents_bears_what_is_no_number(model, prepared):
    x = model.decode(model.space.sample(3, seed=2))
    x[1] = torch.nan
    problem = Problem.of(model, x, SQUARED, Identity())
    z, loss = prepared.cascade.latents(problem)
    assert loss[[0, 2]].isfinite().all()
    assert loss[1] == torch.inf
    assert torch.allclose(problem.loss(z)[[0, 2]], loss[[0, 2]], rtol=1e-4)


class Waves(nn.Module):
    """Each latent's sine and cosine, six to the spread of the prior: valley beside valley."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(9, 256)

    def forward(self, z):
        waves = torch.cat([(6 * z).sin(), (6 * z).cos(), 0.15 * z], 1)
        return self.mix(waves).unflatten(1, (1, 16, 16)).tanh()


def test_several_starts_find_deeper_valleys():
    """Drawn with noise: a search that leaves more than the planted latents is in another valley.

    The start knows nothing here, so that one alone is often there.
    """
    torch.manual_seed(3)
    model = wrap(Waves(), data=ImageSpec(1, 16, 16), space=LatentSpace((3,))).requires_grad_(False)
    *_, rough = fitting_roughly(model)
    nothing = replace(rough, maps=torch.zeros_like(rough.maps))
    known = Prepared(cascade=nothing, rough=nothing, curvature=mean_curvature(model))
    z = model.space.sample(48, seed=9)
    noise = 0.2 * torch.randn(48, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    problem = Problem.of(model, model.decode(z) + noise, SQUARED, Identity())
    options = {"steps": 60, "tolerance": 1e-10, "prepared": known}
    one, many = (solve(auto(problem, starts=k, **options)) for k in (1, 12))
    deep = 1.02 * problem.loss(z)
    assert (one.loss < deep).float().mean() < 0.55
    assert (many.loss < deep).float().mean() > 0.6
    assert (many.loss <= one.loss).all()
    assert torch.allclose(problem.loss(many.z), many.loss, rtol=1e-4)
    assert (many.evaluations > one.evaluations).all()
    for i in (0, 17, 40):
        alone = solve(auto(problem.select(torch.tensor([i])), starts=12, **options))
        assert torch.allclose(alone.loss, many.loss[i : i + 1], rtol=0.01)


@pytest.fixture
def taken(monkeypatch):
    """How many images took the rough way."""
    counts = []

    def counted(problem, z, **options):
        counts.append(len(problem))
        return preconditioned_lbfgs(problem, z, **options)

    monkeypatch.setattr("preimage.inversion.auto.preconditioned_lbfgs", counted)
    return counts


def test_who_takes_the_rough_way(model, prepared, ready, taken):
    z = model.space.sample(8, seed=12)
    own = problem_of(model, z)
    solve(auto(own, steps=10, tolerance=1e-10, prepared=ready))
    assert not taken
    rounded = Problem.of(model, (own.target * 127.5).round() / 127.5, SQUARED, Identity())
    solve(auto(rounded, steps=10, tolerance=1e-10, prepared=ready))
    assert not taken
    noise = 0.2 * torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    grainy = Problem.of(model, own.target + noise, SQUARED, Identity())
    solve(auto(grainy, steps=10, tolerance=1e-10, prepared=ready))
    assert taken.pop() >= 6  # where the rough cascade is nearer
    helpless = replace(ready, rough=prepared.cascade)  # never nearer than itself
    strange = Problem.of(model, own.target + 3 * noise, SQUARED, Identity())
    solve(auto(strange, steps=10, tolerance=1e-10, prepared=helpless))
    assert taken.pop() == 8  # where the cascade fails altogether
    solve(auto(strange, z, steps=10, tolerance=1e-10, prepared=ready))
    assert not taken  # a start of one's own


def test_what_the_generator_could_draw_and_was_not_found_has_several_starts_too(
    model, ready, taken, monkeypatch
):
    monkeypatch.setattr("preimage.inversion.auto.PATIENT", 0)
    poor = fit(model, pairs=256, stages=1)
    known = replace(ready, cascade=poor, rough=poor)  # so that nobody takes the rough way at first
    problem = problem_of(model, model.space.sample(24, seed=13))
    options = {"steps": 0, "tolerance": 1e-12, "prepared": known}
    missed = int((solve(auto(problem, **options)).loss > NEAR).sum())
    assert not taken
    kept = solve(auto(problem, starts=4, **options)).loss
    assert missed > 12
    assert taken == [missed] * 3
    for before in auto(problem, starts=4, **options):
        done = before.status != Status.RUNNING
        assert torch.equal(before.loss[done], kept[done])


@pytest.mark.parametrize("steps", [4, 60])
def test_later_starts_are_an_images_own_and_lie_beside_its_best(model, ready, monkeypatch, steps):
    """Beyond what came to rest, about what was still falling."""
    started = []

    def noted(problem, z, **options):
        started.append(z.clone())
        return preconditioned_lbfgs(problem, z, **options)

    monkeypatch.setattr("preimage.inversion.auto.preconditioned_lbfgs", noted)
    problem = Problem.of(model, noisy(model, 6, seed=21), SQUARED, Identity())
    options = {"steps": steps, "tolerance": 1e-10, "prepared": ready}
    best = [solve(auto(problem, starts=k, **options)) for k in (1, 2)]
    started.clear()
    solve(auto(problem, starts=3, **options))
    assert len(started) == 3
    for k, (found, start) in enumerate(zip(best, started[1:], strict=True), 1):
        noise = normal(problem.seeds, problem.d, draw=k)
        falling = (found.status == Status.LIMIT)[:, None]
        assert falling.all() if steps == 4 else not falling.any()
        beside = torch.where(falling, found.z + 0.3 * noise, 2 * found.z + noise)
        assert torch.allclose(start, beside, atol=1e-3)
    together = started[1][4]
    started.clear()
    solve(auto(problem.select(torch.tensor([4])), starts=2, **options))
    assert torch.allclose(started[1][0], together, atol=1e-2)


def test_what_has_no_further_start_is_done_meanwhile_and_a_failure_is_not_told(model, ready):
    """So that a search that is stopped keeps what it has."""

    def fragile(z, labels=None):
        x = model.decode(z, labels)
        return torch.where((z.square().sum(1) > 30)[:, None, None, None], torch.nan, x)

    z = model.space.sample(6, seed=12)
    own = (model.decode(z) * 127.5).round() / 127.5
    problem = Problem.of(
        model, torch.cat([own, noisy(model, 6, seed=21)]), SQUARED, Identity(), decode=fragile
    )
    states = [
        (s.status.clone(), s.iterations.clone())
        for s in auto(problem, steps=60, tolerance=1e-10, prepared=ready, starts=4)
    ]
    ended = torch.stack([status != Status.RUNNING for status, _ in states])
    iterations = torch.stack([iterations for _, iterations in states])
    assert not any((status == Status.FAILED).any() for status, _ in states)
    assert (ended[1:] >= ended[:-1]).all()  # nobody is called back
    for i in range(12):
        first = int(ended[:, i].int().argmax())
        assert iterations[first, i] == iterations[-1, i]  # nor goes on in secret
    for i in range(6):  # near enough to be polished: told at once
        last = int((iterations[:, i] == iterations[-1, i]).int().argmax())
        assert ended[last + 1, i]
    assert len(set(ended[-40:].sum(1).tolist())) > 2  # the last round ends one by one


def test_an_image_keeps_the_word_on_the_search_that_found_its_best(model, ready, monkeypatch):
    """Later searches here get nowhere, and have no iterations to spend."""
    budgets = [60, 0, 0]

    def helpless(problem, z, *, steps, **options):
        return preconditioned_lbfgs(problem, z, steps=budgets.pop(0), **options)

    monkeypatch.setattr("preimage.inversion.auto.preconditioned_lbfgs", helpless)
    problem = Problem.of(model, noisy(model, 6, seed=21), SQUARED, Identity())
    found = solve(auto(problem, steps=60, tolerance=1e-10, prepared=ready, starts=3))
    assert (found.status == Status.STALLED).all()


def test_strangers_start_nearer_the_priors_mean_and_nothing_gets_worse(model, ready, monkeypatch):
    started = []

    def noted(problem, z, **options):
        started.append(z.clone())
        return preconditioned_lbfgs(problem, z, **options | {"steps": 0})

    monkeypatch.setattr("preimage.inversion.auto.preconditioned_lbfgs", noted)
    problem = Problem.of(model, noisy(model, 8, seed=12), SQUARED, Identity())
    search = solve(auto(problem, steps=10, tolerance=0.0, prepared=ready))
    rough, loss = ready.rough.latents(problem)
    taken = (started[0][:, None] - SHRINKING * rough[None]).norm(dim=2).amin(1)
    assert len(taken) >= 6
    assert (taken < 1e-6).all()
    assert (search.loss <= loss + 1e-6).all()


def test_a_rough_cascade_that_gives_no_number_moves_no_start(model, ready):
    problem = Problem.of(model, noisy(model, 6, seed=14), SQUARED, Identity())
    search = Search.begin(problem, ready.cascade.start(problem))
    broken = replace(ready.rough, maps=ready.rough.maps * torch.nan)
    foreign, start = _consult_others(problem, search, replace(ready, rough=broken), 1e-10)
    assert torch.equal(start, search.z)
    assert torch.equal(foreign, search.loss > FOREIGN)


def test_what_comes_near_late_is_polished(model, ready, monkeypatch):
    """A cascade too poor for the generator's own images, some of which take the rough way at first.

    There they make one step only; Levenberg–Marquardt goes on from what that counts as near.
    """

    def one_step(problem, z, **options):
        return preconditioned_lbfgs(problem, z, **options | {"steps": 1})

    monkeypatch.setattr("preimage.inversion.auto.preconditioned_lbfgs", one_step)
    monkeypatch.setattr("preimage.inversion.auto.PATIENT", 0)
    known = replace(ready, cascade=fit(model, pairs=256, stages=1))
    problem = problem_of(model, model.space.sample(24, seed=13))
    found = []
    for late, polished in ((0.0, 12), (torch.inf, 0), (torch.inf, 12)):
        monkeypatch.setattr("preimage.inversion.auto.LATE", late)
        monkeypatch.setattr("preimage.inversion.auto.POLISHED", polished)
        search = solve(auto(problem, steps=14, tolerance=1e-12, prepared=known))
        found.append((search.loss < 1e-11).sum())
    assert found[0] == found[1] <= 21
    assert found[2] == 24
