"""One call inverts anything: what it finds, what it says, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import preimage as pi
from preimage.core import ImageSpec, InputError, LatentModel, LatentSpace, Unsupported
from preimage.inversion import Inverter, Inverting, Settings, Status, Targets
from preimage.inversion.inverter import Work

D, SIDE = 4, 6
DATA = ImageSpec(1, SIDE, SIDE)


class Curved(nn.Module):
    """A fixed, mildly nonlinear generator with D latents and, perhaps, classes."""

    def __init__(self, classes: int = 0, seed: int = 0):
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        self.W = nn.Parameter(torch.randn(SIDE * SIDE, D, generator=random) / 4)
        self.bias = nn.Parameter(torch.randn(max(classes, 1), SIDE * SIDE, generator=random) / 2)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        bias = self.bias[0] if labels is None else self.bias[labels]
        return torch.tanh(z @ self.W.T + bias)


def generator(classes: tuple[str, ...] = (), seed: int = 0) -> LatentModel:
    module = Curved(len(classes), seed)
    return pi.wrap(module, data=DATA, space=LatentSpace((D,)), classes=classes)


@pytest.fixture(scope="module")
def ready() -> Inverter:
    inverter = Inverter(generator())
    for _ in inverter.prepare(Settings()):
        pass
    return inverter


def planted(inverter: Inverter, n: int, seed: int = 3) -> tuple[Tensor, Tensor]:
    z = inverter.model.space.sample(n, seed=seed)
    return z, inverter.model.decode(z).detach()


def test_planted_latents_are_found_without_being_seen(ready: Inverter) -> None:
    z, x = planted(ready, 20)
    found = pi.invert(ready, x)
    assert torch.allclose(found.z, z, atol=1e-3)
    assert (found.error < 1e-8).all()
    assert set(found.reasons) <= {"reached the tolerance", "no longer improving"}
    assert torch.allclose(found.images, x, atol=1e-3)
    assert (found.trace[:, 1:] <= found.trace[:, :-1]).all()  # the lowest so far never rises


@pytest.mark.parametrize("method", ["adam", "l-bfgs", "levenberg-marquardt", "gauss-newton"])
def test_every_named_method_is_used_from_every_named_start(ready: Inverter, method: str) -> None:
    z, x = planted(ready, 3)
    for start in ("mean", "nearest", z + 0.1):
        found = pi.invert(ready, x, method=method, start=start, steps=300, tolerance=1e-9)
        assert (found.z - z).norm(dim=1).max() < 0.05, start


def test_an_image_has_one_answer_whoever_travels_with_it(ready: Inverter) -> None:
    """To 1e-3 of the latent: matrix products round differently in batches of other sizes."""
    _, x = planted(ready, 33)
    x = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
    together = pi.invert(ready, x, batch_size=33)
    for i in (0, 7, 32):
        alone = pi.invert(ready, x[i : i + 1])
        assert torch.allclose(alone.z[0], together.z[i], atol=1e-3)
        assert torch.allclose(alone.error[0], together.error[i], rtol=1e-3)
    in_parts = pi.invert(ready, x, batch_size=5)
    assert torch.allclose(in_parts.z, together.z, atol=1e-3)


def test_the_best_of_many_starts_goes_on(ready: Inverter) -> None:
    _, x = planted(ready, 5)
    one = pi.invert(ready, x, method="adam", start="mean", steps=3)
    many = pi.invert(ready, x, method="adam", start="mean", starts=8, steps=3)
    assert (many.error < one.error).all()


def test_several_starts_are_never_worse_than_one() -> None:
    ready = Inverter(generator())
    _, x = planted(ready, 24)
    x = (x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
    one = pi.invert(ready, x)
    many = pi.invert(ready, x, starts=6)
    assert (many.error <= (1 + 1e-5) * one.error).all()
    assert (many.evaluations > one.evaluations).all()
    assert ready.pool is None
    pi.invert(ready, pi.Grey()(x), through=pi.Grey(), starts=2)  # no rough start, so the nearest
    assert ready.pool is not None


def test_small_images_are_searched_for_in_larger_batches() -> None:
    small, large = (pi.ImageSpec(3, side, side) for side in (32, 64))
    assert [Settings().images_at_once(data) for data in (small, large)] == [256, 128]
    assert Settings(batch_size=7).images_at_once(small) == 7


def test_what_a_mask_hides_counts_for_nothing(ready: Inverter) -> None:
    z, x = planted(ready, 6)
    mask = torch.ones(SIDE, SIDE)
    mask[:, : SIDE // 2] = 0
    painted = torch.where(mask.bool(), x, 1.0)
    found = pi.invert(ready, painted, through=pi.Mask(mask))
    assert torch.allclose(found.z, z, atol=1e-2)
    assert torch.allclose(found.images, x, atol=1e-2)  # what was hidden has come back


def test_each_image_may_have_a_mask_of_its_own(ready: Inverter) -> None:
    z, x = planted(ready, 5)
    masks = (torch.rand(5, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) > 0.4).float()
    found = pi.invert(
        ready, torch.where(masks.bool(), x, -1.0), through=pi.Mask(masks), batch_size=2
    )
    assert torch.allclose(found.z, z, atol=1e-2)


def test_small_observations_are_inverted_through_what_made_them(ready: Inverter) -> None:
    z, x = planted(ready, 6)
    small = pi.Downsample(2)
    found = pi.invert(ready, small(x), through=small)
    assert found.observed.shape == (6, 1, SIDE // 2, SIDE // 2)
    assert torch.allclose(found.z, z, atol=2e-2)


def test_the_class_of_a_conditional_model_is_given_or_found() -> None:
    model = generator(("a", "b", "c"))
    z = model.space.sample(9, seed=1)
    labels = torch.arange(9) % 3
    x = model.decode(z, labels).detach()
    found = pi.invert(model, x)
    assert found.labels is not None
    assert torch.equal(found.labels, labels)
    assert torch.allclose(found.z, z, atol=1e-2)
    wrong = pi.invert(model, x, label="a")
    assert (wrong.labels == 0).all()
    assert (wrong.error[labels != 0] > found.error[labels != 0]).all()


def test_spatial_latents_are_found_in_their_own_shape() -> None:
    grow = nn.Sequential(nn.ConvTranspose2d(2, 4, 2, stride=2), nn.Tanh(), nn.Conv2d(4, 1, 1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for p in grow.parameters():
            nn.init.normal_(p, std=0.3)
    model = pi.wrap(grow, data=ImageSpec(1, 6, 6), space=LatentSpace((2, 3, 3)))
    z = model.space.sample(4, seed=0)
    found = pi.invert(model, model.decode(z).detach(), starts=8)
    assert found.z.shape == z.shape
    assert found.error.max() < 1e-6


def test_an_own_callable_and_an_objective_of_several_terms(ready: Inverter) -> None:
    z, x = planted(ready, 4)
    rows = lambda x: x[..., ::2]  # noqa: E731
    assert torch.allclose(pi.invert(ready, rows(x), through=rows).z, z, atol=2e-2)
    mixed = pi.invert(ready, x, loss={"huber": 1.0, "pyramid": 0.5}, tolerance=1e-12)
    assert torch.allclose(mixed.z, z, atol=1e-2)
    assert torch.allclose(pi.invert(ready, x, loss="l1", steps=300).z, z, atol=2e-2)


def test_a_prior_draws_latents_to_the_mode(ready: Inverter) -> None:
    _, x = planted(ready, 6)
    free = pi.invert(ready, x)
    held = pi.invert(ready, x, prior={"density": 1.0})
    assert (held.z.norm(dim=1) < free.z.norm(dim=1)).all()
    on_shell = pi.invert(ready, x, method="adam", project="typical", steps=50)
    assert torch.allclose(on_shell.z.norm(dim=1), torch.tensor(D**0.5), atol=1e-4)


def test_verdicts_tell_other_images_from_those_of_the_data(ready: Inverter) -> None:
    inverter = Inverter(ready.model)
    random = torch.Generator().manual_seed(0)

    def real(n: int) -> Tensor:
        z = torch.randn(n, D, generator=random)
        noise = 0.05 * torch.randn(n, 1, SIDE, SIDE, generator=random)
        return (inverter.model.decode(z) + noise).clamp(-1, 1).detach()

    for step in inverter.calibrating(real(150)):
        assert 0 <= step.step <= step.total
    same = pi.invert(inverter, real(40)).verdicts
    other = pi.invert(inverter, 2 * torch.rand(10, 1, SIDE, SIDE, generator=random) - 1).verdicts
    assert same is not None
    assert other is not None
    p = torch.tensor([v.p_value for v in same])
    assert 0.25 < p.mean() < 0.75
    assert all(v.p_value < 0.02 and "outside" in v.words for v in other)
    own = pi.invert(inverter, inverter.model.sample(5, seed=9)).verdicts
    assert own is not None
    assert all(v.solved for v in own)  # the solver did its work, whatever the range says
    assert pi.invert(inverter, real(3), restarts=3).verdicts[0].search != same[0].search


def test_latents_that_an_image_leaves_open_are_named(ready: Inverter) -> None:
    _, x = planted(ready, 2)
    mask = torch.zeros(SIDE, SIDE)
    mask[0, :2] = 1  # two values seen, four latents wanted
    through = pi.Mask(mask)
    settings = Settings.of(through=through)
    open_, closed = pi.invert(ready, through(x), through=through), pi.invert(ready, x)
    few = ready.posterior(open_, settings).effective_dimension
    assert (few < 2.01).all()
    assert (ready.posterior(closed).effective_dimension > 3.5).all()
    asked = pi.invert(ready, x, posterior=True, restarts=4)
    assert asked.latent_std is not None
    assert asked.latent_std.shape == asked.z.shape
    assert asked.undetermined is not None
    assert asked.solutions is not None
    assert all(len(s) >= 1 for s in asked.solutions)


def test_a_stream_hands_its_answers_over_and_keeps_none(ready: Inverter) -> None:
    _, x = planted(ready, 10)
    seen: list[Tensor] = []
    job = pi.inverting(ready, x, batch_size=4, sink=lambda index, found: seen.append(index))
    steps = list(job)
    assert torch.equal(torch.cat(seen), torch.arange(10))
    assert steps[-1].step == steps[-1].total == 10
    with pytest.raises(InputError, match="no image was inverted"):
        _ = job.result


def test_stopping_keeps_the_images_that_are_done(ready: Inverter) -> None:
    _, x = planted(ready, 12)
    job = pi.inverting(ready, x, batch_size=4)
    for step in job:
        if step.step >= 5:
            job.stop()
    found = job.result
    assert 4 <= len(found) < 12
    assert (found.status != Status.RUNNING).all()


def test_previews_are_drawn_when_they_are_looked_at(ready: Inverter) -> None:
    _, x = planted(ready, 4)
    decoded: list[int] = []
    jobs = [pi.inverting(ready, x, method="levenberg-marquardt", start="mean") for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        draw = Work.images
        patch.setattr(Work, "images", lambda work, z: decoded.append(len(z)) or draw(work, z))
        assert any(step.previews for step in jobs[0])
        assert not decoded
        first = next(step.previews for step in jobs[1] if step.previews)
        assert torch.equal(first["images"], first["images"])
        assert decoded == [4]
    assert list(first) == ["images"]
    assert len(first) == 1
    assert "samples" not in first


def test_batches_may_come_from_anywhere(ready: Inverter) -> None:
    z, x = planted(ready, 6)
    batches = (Targets(torch.tensor([i]), x[i : i + 1]) for i in range(6))
    job = Inverting(ready, batches, total=6, settings=Settings())
    first, *_ = (bool(step.previews) for step in job)
    assert first
    assert torch.allclose(job.result.z, z, atol=1e-3)


def test_images_of_another_size_or_mode_are_fitted_and_it_is_said(ready: Inverter) -> None:
    _, x = planted(ready, 2)
    large = x.repeat_interleave(2, 2).repeat_interleave(2, 3).expand(-1, 3, -1, -1)
    job = pi.inverting(ready, large)
    said = " ".join(note for step in job for note in step.notes)
    assert "3 channels" in said
    assert "resized" in said
    assert len(job.result) == 2


def test_values_from_0_to_255_are_no_images_of_a_models(ready: Inverter) -> None:
    _, x = planted(ready, 2)
    counts = (x + 1) * 127.5
    with pytest.raises(InputError, match=r"give x / 127\.5 - 1"):
        pi.invert(ready, counts)
    found = pi.invert(ready, counts, through=lambda x: (x + 1) * 127.5, steps=3)
    assert len(found) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lm"}, "no method 'lm'"),
        ({"start": "encodr"}, "did you mean 'encoder'"),
        ({"stps": 4}, "did you mean 'steps'"),
        ({"starts": 0}, "starts=0 is not possible; give 1 or more"),
        ({"loss": "l3"}, "no loss 'l3'"),
        ({"through": pi.Mask(torch.ones(3, 3))}, "mask is for 3×3 images"),
        ({"start": torch.zeros(7, 3)}, "start= has shape"),
        ({"start": "encoder"}, "has no encoder|without an encoder"),
        ({"method": "encoder"}, "has no encoder|without an encoder"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_a_line(
    ready: Inverter, options: dict[str, object], message: str
) -> None:
    _, x = planted(ready, 2)
    with pytest.raises(InputError, match=message) as error:
        pi.invert(ready, x, **options)
    assert "\n" not in str(error.value)


def test_a_mask_that_covers_everything_is_refused() -> None:
    with pytest.raises(InputError, match="covers everything"):
        pi.Mask(torch.zeros(SIDE, SIDE))


class Broken(nn.Module):
    def __init__(self, value: float):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, z: Tensor) -> Tensor:
        return self.value.expand(len(z), 1, SIDE, SIDE)


@pytest.mark.parametrize(
    ("value", "message"), [(float("nan"), "not finite"), (0.5, "do not depend on the latent")]
)
def test_a_generator_that_is_none_is_refused(value: float, message: str) -> None:
    model = pi.wrap(Broken(value), data=DATA, space=LatentSpace((D,)))
    with pytest.raises(InputError, match=message):
        Inverter(model)


def test_a_generator_in_training_mode_is_taken_out_of_it_and_that_is_said() -> None:
    net = nn.Sequential(nn.Linear(D, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, SIDE**2))
    model = pi.wrap(net, data=DATA, space=LatentSpace((D,)))
    net.train()
    job = pi.inverting(model, torch.zeros(2, 1, SIDE, SIDE), steps=2)
    said = " ".join(note for step in job for note in step.notes)
    assert "BatchNorm1d" in said
    assert not any(module.training for module in model.modules())


class Stepped(Curved):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(z.detach(), labels)


def test_without_a_gradient_the_search_does_without_or_says_so() -> None:
    model = pi.wrap(Stepped(), data=DATA, space=LatentSpace((D,)))
    z = model.space.sample(3, seed=2)
    x = model.decode(z).detach()
    assert torch.allclose(pi.invert(model, x, method="cma", tolerance=1e-7).z, z, atol=5e-2)
    assert (pi.invert(model, x).error < 1e-3).all()
    with pytest.raises(Unsupported, match="no gradient for 'adam'; use method='cma'"):
        pi.invert(model, x, method="adam")


def test_concatenated_traces_stay_at_their_last_value(ready: Inverter) -> None:
    from preimage.inversion import Inversion

    _, x = planted(ready, 2)
    found = pi.invert(ready, x)
    short = replace(found, trace=found.trace[:, :1])
    both = Inversion.concatenated([found, short])
    assert len(both) == 4
    assert both.trace.shape[1] == found.trace.shape[1]
    assert (both.trace[2:] == found.trace[:, :1]).all()


class Blob(nn.Module):
    """A small bright spot at the place that two latents name."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(5.0))

    def forward(self, z: Tensor) -> Tensor:
        at = 16 + self.scale * z  # (B, 2)
        i = torch.arange(32.0)
        y, x = (torch.exp(-((i - at[:, k, None]) ** 2) / 8) for k in (0, 1))
        return 2 * y[:, None, :, None] * x[:, None, None, :] - 1


def test_low_resolution_first_shows_the_way_where_details_do_not_overlap() -> None:
    model = pi.wrap(Blob(), data=ImageSpec(1, 32, 32), space=LatentSpace((2,)))
    z = torch.tensor([[1.6, -1.5], [-1.8, 0.4], [1.2, 1.9]])
    x = model.decode(z).detach()
    options = {"method": "levenberg-marquardt", "start": "mean"}
    lost = pi.invert(model, x, **options)
    found = pi.invert(model, x, **options, coarse=True)
    assert ((lost.z - z).norm(dim=1) > 0.5).any()
    assert torch.allclose(found.z, z, atol=1e-3)
    unseen = torch.ones(32, 32)
    unseen[::3] = 0
    hidden = torch.where(unseen.bool(), x, 0.0)
    behind = pi.invert(model, hidden, **options, coarse=True, through=pi.Mask(unseen))
    assert torch.allclose(behind.z, z, atol=1e-2)


def test_samples_are_nearest_in_features_where_that_is_asked_for(ready: Inverter) -> None:
    z, x = planted(ready, 3)
    corner = lambda x: x[:, :, :3, :3].flatten(1)  # noqa: E731
    found = pi.invert(
        ready, x, start="nearest-features", feature_net=corner, loss=["l2", "features"], steps=60
    )
    assert (found.z - z).norm(dim=1).max() < 0.1
    pixels = pi.invert(ready, x, start="nearest", steps=60)
    assert not torch.equal(found.start, pixels.start)


@pytest.mark.parametrize("factor", [2, 3])
def test_a_prior_weighs_as_much_as_there_are_values_to_outweigh_it(
    ready: Inverter, factor: int
) -> None:
    """So that F = −log p(z | y) · 2σ²/N + constant, however many values N an observation has."""
    σ, through = 0.3, pi.Compose(pi.Downsample(factor), pi.Noise(0.3))
    z, x = planted(ready, 4)
    y = through(x) + 0.1
    problem = ready.problem(y, settings=Settings.of(through=through, prior=["density"]))
    error = (problem.observe(z) - y).square().flatten(1).sum(1)
    N = y[0].numel()
    expected = (error / (2 * σ**2) + z.square().sum(1) / 2) * 2 * σ**2 / N
    assert torch.allclose(problem.loss(z), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": [0, 1]}, "without classes"),
        ({"n": -1}, "n=-1"),
        ({"starts": 2.5}, "starts=2.5 is no whole number"),
        ({"steps": -3}, "steps=-3 is not possible; give 0 or more"),
        ({"steps": "a"}, "steps='a' is no whole number"),
        ({"steps": True}, "steps=True is no whole number"),
        ({"seed": 1.5}, "seed=1.5 is no whole number"),
        ({"tolerance": math.nan}, "tolerance=nan is not possible; give 0 or more"),
        ({"tolerance": "little"}, "tolerance=little is not possible"),
        ({"restarts": -1}, "restarts=-1 is not possible"),
    ],
)
def test_numbers_that_cannot_be_are_refused(ready: Inverter, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pi.invert(ready, torch.zeros(2, *DATA.shape), **options)


@pytest.mark.parametrize("labels", [[0, 2], [-1, 0], [0.0, 1.0], [0], [[0], [1]]])
def test_labels_are_classes_that_the_model_has(labels: list) -> None:
    with pytest.raises(InputError, match="label"):
        pi.invert(generator(("a", "b")), torch.zeros(2, *DATA.shape), labels=labels)


def test_a_calibration_is_of_the_images_given_last_and_none_is_asked_for_by_zero() -> None:
    ready = Inverter(generator())
    _, x = planted(ready, 4)
    near, far = ready.model.sample(30, seed=8), torch.ones(30, 1, SIDE, SIDE)
    x = (x + 0.05).clamp(-1, 1)
    odd = pi.invert(ready, x, calibration=near).verdicts
    assert odd is not None
    made = ready.calibrations.copy()
    pi.invert(ready, x, calibration=near)
    assert ready.calibrations == made  # not anew
    next(ready.calibrating(far))  # and stopped, so that there is none
    again = pi.invert(ready, x, calibration=near).verdicts
    assert again is not None
    assert [a.p_value for a in again] == [a.p_value for a in odd]
    usual = pi.invert(ready, x, calibration=far).verdicts
    assert usual is not None
    assert all(a.p_value < b.p_value for a, b in zip(odd, usual, strict=True))
    assert pi.invert(ready, x, calibration=0).verdicts is None
    assert pi.invert(ready, x).verdicts is not None


@pytest.mark.parametrize("n", [6, 7, 8])
def test_masks_of_their_own_are_told_from_one_for_all_whatever_the_batch(n: int) -> None:
    ready = Inverter(generator())
    masks = (torch.rand(n, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) > 0.4).float()
    _, x = planted(ready, n)
    through = pi.Mask(masks)
    found = pi.invert(ready, through(x), through=through, batch_size=6)
    assert len(found.error) == n
    assert found.error.median() < 1e-6
    more = planted(ready, n + 1)[1]
    with pytest.raises(InputError, match=f"{n} masks for at least {n + 1} images"):
        pi.invert(ready, more, through=through, batch_size=n + 1)


class Nowhere(nn.Module):
    """An encoder that says the same of every image."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * torch.ones(len(x), D)


def test_beside_an_encoders_answer_other_searches_are_run_to_their_end() -> None:
    model = pi.wrap(Curved(), data=DATA, space=LatentSpace((D,)), encoder=Nowhere())
    x = model.sample(3, seed=2)
    found = pi.invert(model, x, method="encoder", restarts=4)
    assert (found.error > 1e-2).all()
    assert found.solutions is not None
    assert all(solutions.error.min() < 1e-6 for solutions in found.solutions)


class Rounded(nn.Module):
    """A generator that gives no gradient."""

    def forward(self, z: Tensor) -> Tensor:
        return (z @ torch.ones(D, SIDE * SIDE)).tanh().mul(127).round().byte().float() / 127.5


def test_without_a_gradient_there_is_no_posterior() -> None:
    model = pi.wrap(Rounded(), data=DATA, space=LatentSpace((D,)))
    x = model.sample(2, seed=1)
    with pytest.raises(Unsupported, match="a posterior takes the generator's derivative"):
        pi.invert(model, x, posterior=True, steps=2)
    ready = pi.inverter(model)
    with pytest.raises(Unsupported, match="a posterior takes the generator's derivative"):
        ready.posterior(pi.invert(ready, x, steps=2))


def test_a_start_that_is_no_number_is_named(ready: Inverter) -> None:
    _, x = planted(ready, 2)
    with pytest.raises(InputError, match="start= holds values that are not finite"):
        pi.invert(ready, x, start=torch.full((2, D), float("nan")))
