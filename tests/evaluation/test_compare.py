"""Planted differences between generators must show in the scores, and nowhere else."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from preimage.core import ImageSpec, InputError, LatentSpace, Step
from preimage.data import from_arrays
from preimage.evaluation import MEASURES, Comparison, compare, report, table
from preimage.models import wrap

SIDE = 16
SPEC = ImageSpec(1, SIDE, SIDE)
SPACE = LatentSpace((8,))


class Bars(nn.Module):
    """Images with edges: z gives the place, slope and width of a bright bar, and a background."""

    def __init__(self, *, blur: int = 0, spread: float = 1.0):
        super().__init__()
        self.blur, self.spread = blur, spread
        rough = torch.randn(1, SPACE.size - 3, 4, 4, generator=torch.Generator().manual_seed(2))
        self.register_buffer("patterns", nn.functional.interpolate(rough, SIDE, mode="bicubic")[0])

    def forward(self, z):
        z = z * self.spread
        x = torch.linspace(-1, 1, SIDE)[None, None, :] - 0.4 * z[:, 0, None, None]
        y = torch.linspace(-1, 1, SIDE)[None, :, None] * 0.5 * z[:, 1, None, None]
        width = 0.3 + 0.1 * z[:, 2, None, None].tanh()
        background = 0.4 * torch.einsum("bk,khw->bhw", z[:, 3:], self.patterns)
        images = torch.tanh(4 * (width - (x - y).abs()) + background)[:, None]
        for _ in range(self.blur):
            images = nn.functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
        return images


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        weights = torch.randn(SPACE.size, SIDE * SIDE, generator=torch.Generator().manual_seed(1))
        self.register_buffer("weights", 0.1 * weights)

    def forward(self, z):
        return z @ self.weights


class Leap(nn.Module):
    """One of two images, by the sign of the first latent."""

    def forward(self, z):
        return torch.sign(z[:, :1]).expand(-1, SIDE * SIDE)


class Hollow(Bars):
    """Nothing is drawn near the centre of the space, where straight paths lead through."""

    def forward(self, z):
        empty = z.norm(dim=1) < 0.85 * SPACE.size**0.5
        return torch.where(empty[:, None, None, None], 0.0, super().forward(z))


def wrapped(module, **options):
    return wrap(module, data=SPEC, space=SPACE, **options)


@pytest.fixture(scope="module")
def data():
    z = SPACE.sample(2000, seed=99)
    images = Bars()(z)
    return from_arrays(((images.numpy() + 1) * 127.5).astype(np.uint8), name="bars")


def compared(data, n=1000, **models) -> Comparison:
    *_, comparison = compare(models, data, n=n)
    return comparison


@pytest.fixture(scope="module")
def found(data):
    models = {
        "true": Bars(),
        "blurred": Bars(blur=2),
        "collapsed": Bars(spread=0.01),
        "linear": Linear(),
        "leap": Leap(),
        "hollow": Hollow(),
    }
    comparison = compared(data, **{name: wrapped(module) for name, module in models.items()})
    return {c.name: c.scores for c in comparison.contenders} | {"real": comparison.null}


def test_the_true_generator_scores_as_real_images_do(found):
    true, real = found["true"], found["real"]
    assert true.sharpness.low < 1 < true.sharpness.high
    assert abs(true.coverage.value - real.coverage.value) < 0.1
    assert abs(true.realism.value - real.realism.value) < 0.1
    assert true.frechet.low < real.frechet.high
    assert true.novelty.low < 1 < true.novelty.high


def test_blur_shows_as_lost_sharpness(found):
    assert found["blurred"].sharpness.high < 0.8 * found["true"].sharpness.low
    assert found["blurred"].frechet.value > 1.5 * found["true"].frechet.value


def test_collapse_shows_as_lost_coverage_but_not_as_lost_realism(found):
    collapsed = found["collapsed"]
    assert collapsed.coverage.high < 0.2 < 0.7 < found["true"].coverage.low
    assert collapsed.realism.value > 0.9


def test_a_linear_generator_walks_evenly_and_a_leap_is_one_step(found):
    assert found["linear"].continuity.value == pytest.approx(1, abs=1e-4)
    leap = found["leap"].continuity  # paths with a leap: 15 / 1; without: 0 / 0, read as 0
    assert leap.high > 5
    assert 1 < found["true"].continuity.value < 5


def test_halfway_between_two_cross_faded_images_is_not_among_real_ones(found):
    assert found["real"].midpoint.low > 1.2
    assert found["true"].midpoint.high < found["real"].midpoint.low


def test_a_hollow_space_shows_halfway(found):
    assert found["hollow"].midpoint.low > 1.3 * found["true"].midpoint.high


def test_a_copy_of_the_training_set_is_not_new(data):
    class Copies(nn.Module):
        def forward(self, z):
            row = (torch.special.ndtr(z[:, 0]) * len(data.train)).long()
            return data.batch(data.train[row.clamp_max(len(data.train) - 1)])

    comparison = compared(data, copies=wrapped(Copies()))
    assert comparison.contenders[0].scores.novelty.high < 0.05


def test_what_a_model_was_trained_on_is_no_real_image_and_tells_what_it_copies(data):
    seen = data.heldout[:100]
    more = replace(data, train=np.sort([*data.train, *seen]), heldout=data.heldout[100:])

    class Copies(nn.Module):
        def forward(self, z):
            return data.batch(seen[(torch.special.ndtr(z[:, 0]) * 99).long()])

    models = {"true": wrapped(Bars()), "copies": wrapped(Copies())}
    *_, found = compare(models, data, trained={"copies": more})
    assert found.n == len(data.heldout) - 100
    assert f"100 of the {len(data.heldout)} held-out images" in found.notes[0]
    assert found.notes[0] in table(found).caption
    true, copies = (contender.scores.novelty for contender in found.contenders)
    assert true.low < 1 < true.high
    assert copies.high < 0.05
    *_, unknown = compare(models, data, trained={"copies": None}, n=50)
    assert unknown.contenders[1].scores.novelty is None
    assert not unknown.notes
    everything = replace(data, train=np.arange(len(data)))
    with pytest.raises(InputError, match="0 held-out images that no model was trained on"):
        list(compare(models, data, trained={"copies": everything}))


def test_reconstruction_error_is_the_mean_square(data):
    class Constant(nn.Module):
        def forward(self, z):
            return torch.zeros(len(z), *SPEC.shape)

    class Nothing(nn.Module):
        def forward(self, x):
            return torch.zeros(len(x), SPACE.size)

    comparison = compared(data, constant=wrapped(Constant(), encoder=Nothing()))
    error = comparison.contenders[0].scores.error
    assert error.value == pytest.approx(data.batch(data.heldout).square().mean().item(), rel=1e-5)
    assert torch.equal(comparison.originals, comparison.real[: len(comparison.originals)])


def test_no_score_depends_on_the_company(data, found):
    alone = compared(data, true=wrapped(Bars())).contenders[0].scores
    assert alone == found["true"]


def test_the_report_holds_every_measure_and_the_json_reads_back(data):
    comparison = compared(data, one=wrapped(Bars()), two=wrapped(Linear()))
    values = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    assert set(values["scores"]) == {"real images", "one", "two"}
    assert set(values["scores"]["one"]) == set(MEASURES)
    assert values["scores"]["one"]["error"] is None
    names = [row[0] for row in table(comparison).rows]
    assert names == [name for field, (name, _) in MEASURES.items() if field != "error"]
    text = report(comparison)
    assert all(name in text for name in names)
    assert text.count("data:image/png") == 5  # samples of three, interpolations of two


def test_steps_come_before_the_comparison(data):
    *steps, last = compare({"one": wrapped(Bars())}, data, n=50)
    assert isinstance(last, Comparison)
    assert last.n == 50
    assert all(isinstance(step, Step) for step in steps)
    assert steps[-1].step == steps[-1].total


def test_a_model_of_other_images_is_refused(data):
    other = wrap(nn.Linear(SPACE.size, 64), data=ImageSpec(1, 8, 8), space=SPACE)
    with pytest.raises(InputError, match="small draws 8×8 grey, but bars has 16×16 grey"):
        list(compare({"small": other}, data))


def test_too_few_held_out_images_are_refused():
    few = from_arrays(np.random.default_rng(0).integers(0, 255, (30, 16, 16)).astype(np.uint8))
    with pytest.raises(InputError, match="comparing needs 20"):
        list(compare({"true": wrapped(Bars())}, few))
