"""Every recipe builds and trains on any small data; options reach it; plans scale."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest

from preimage.core import ImageSpec, InputError
from preimage.data import from_arrays
from preimage.models import Autoencoder, AutoencoderConfig, build
from preimage.nets import MLP, Residual
from preimage.training import adversarial
from preimage.training.adversarial import Adversarial
from preimage.training.likelihood import Likelihood
from preimage.training.recipes import RECIPES, Facts, chosen, customised, plan, scaled
from preimage.training.trainer import Trainer


def tiny(size, channels, n=96):
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, 3, n)
    images = numbers.integers(0, 100, (n, channels, size, size)) + 50 * labels[:, None, None, None]
    classes = ("dark", "middle", "bright")
    return from_arrays(images.astype(np.uint8), labels, classes=classes, name="tiny")


def facts_of(data):
    return Facts(data.spec, len(data.train), data.classes)


@pytest.fixture(autouse=True)
def few_validation_samples(monkeypatch):
    monkeypatch.setattr(adversarial, "VALIDATION_SAMPLES", 32)


@pytest.mark.parametrize(
    ("size", "channels"), [(8, 3), pytest.param(16, 1, marks=pytest.mark.slow), (28, 1)]
)
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_and_is_judged(name, size, channels):
    data = tiny(size, channels)
    wanted = scaled(plan(name, facts_of(data)), steps=3)
    wanted = replace(wanted, stages=tuple(replace(s, batch_size=16) for s in wanted.stages))
    trainer = Trainer(
        build(wanted.model), data, wanted.stages, validations=1, device="cpu", precision="fp32"
    )
    for step in trainer:
        assert all(math.isfinite(value) for value in step.metrics.values())
    assert math.isfinite(trainer.best_value)
    assert trainer.skipped == 0
    assert trainer.average.sample(3).shape == (3, channels, size, size)
    assert trainer.average.conditional == (name in ("cvae", "cgan"))


def test_a_mixture_has_a_component_for_each_five_images_of_a_latent_number():
    few, many = (Facts(ImageSpec(1, 28, 28), n) for n in (1600, 60_000))
    assert few.components(16) == 20
    assert few.components(64) == 5
    assert many.components(16) == 300  # and no more
    assert Facts(few.data, 3).components(16) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_takes_large_colour_images(name):
    test_every_recipe_trains_and_is_judged(name, 64, 3)


def test_recipes_say_what_they_are_and_whose():
    for recipe in RECIPES.values():
        assert recipe.summary
        assert recipe.source[-4:].isdigit()  # a year


def test_a_conditional_recipe_needs_classes():
    for name in ("cvae", "cgan"):
        with pytest.raises(InputError, match="one subfolder for each class"):
            plan(name, Facts(ImageSpec(1, 8, 8), 1000))


def test_a_recipe_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(InputError, match="no recipe 'vea-gan'; did you mean 'vae-gan'"):
        plan("vea-gan", Facts(ImageSpec(1, 8, 8), 1000))


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (Facts(ImageSpec(1, 8, 8), 200), "vae-mlp"),
        (Facts(ImageSpec(3, 64, 64), 200), "vae-conv"),
        (Facts(ImageSpec(1, 28, 28), 60_000), "vae-gan"),
        (Facts(ImageSpec(3, 64, 64), 10_000), "vae-sharp"),
    ],
)
def test_without_a_recipe_one_is_chosen_and_the_reason_said(facts, name):
    found, reason = chosen(facts)
    assert found == name
    assert str(facts.n) in reason or str(facts.data) in reason


# --- options ---

FACTS = Facts(ImageSpec(1, 8, 8), 1000)


def test_options_reach_the_model_and_every_stage_that_has_them():
    custom = customised(plan("vae-gan", FACTS), latent=5, batch_size=7, sigma=0.3, loss="hinge")
    assert isinstance(custom.model, AutoencoderConfig)
    assert custom.model.latent == 5
    first, second = custom.stages
    assert isinstance(first, Likelihood)
    assert isinstance(second, Adversarial)
    assert (first.batch_size, second.batch_size) == (7, 7)
    assert (first.sigma, second.loss) == (0.3, "hinge")


def test_a_net_is_an_option_written_as_in_a_saved_config():
    net = {"type": "Residual", "width": 8}
    custom = customised(plan("vae-mlp", FACTS), net=net)
    assert custom.model.net == Residual(8)
    assert isinstance(build(custom.model), Autoencoder)
    with pytest.raises(InputError, match=r"MLP\.depth"):
        customised(plan("vae-mlp", FACTS), net={"type": "MLP", "depth": 3})
    assert customised(plan("vae-mlp", FACTS), net=MLP((8,))).model.net == MLP((8,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rte": 1e-3}, "'learning_rte'.*did you mean 'learning_rate'"),
        ({"r1": 1.0}, "no option 'r1' for this recipe"),
        ({"latent": 0}, "latent=0.*more than 0"),
        ({"steps": -1}, "steps=-1.*0 or more"),
        ({"beta": "high"}, "beta='high' is not a number"),
        ({"betas": [0.9, 1.0]}, "less than 1"),
        ({"ema": 1.0}, "less than 1"),
    ],
)
def test_an_option_that_cannot_be_is_refused_in_one_line(options, message):
    with pytest.raises(InputError, match=message) as error:
        customised(plan("vae-mlp", FACTS), **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("steps", [2, 100, 101, 12345])
def test_a_scaled_plan_has_the_steps_asked_for_in_the_old_proportions(steps):
    before = plan("vae-gan", FACTS)
    after = scaled(before, steps=steps)
    lengths = [stage.steps for stage in after.stages]
    assert sum(lengths) == steps
    assert min(lengths) >= 1
    share = before.stages[0].steps / sum(stage.steps for stage in before.stages)
    assert lengths[0] == pytest.approx(share * steps, abs=1)
    assert after.model == before.model


def test_a_stage_has_at_least_one_step():
    assert [stage.steps for stage in scaled(plan("vae-gan", FACTS), steps=1).stages] == [1, 1]


def test_recipes_start_without_a_word_from_torch():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        test_every_recipe_trains_and_is_judged("vae-mlp", 8, 3)
