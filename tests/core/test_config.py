"""Configs survive the way to JSON and back, and nothing unknown gets in."""

import json

import pytest

from preimage.core import DataSpec, ImageSpec, InputError
from preimage.core.config import changed, from_json, to_json
from preimage.core.errors import nearest_name
from preimage.training.likelihood import Likelihood
from preimage.training.recipes import RECIPES, TYPES, Facts, plan

FACTS = Facts(ImageSpec(3, 32, 32), 5000, ("cat", "dog"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipes_plan_comes_back_from_json_as_it_was(name):
    wanted = plan(name, FACTS)
    text = json.dumps(to_json(wanted))
    assert from_json(json.loads(text), TYPES) == wanted


def test_a_data_spec_comes_back_as_it_was():
    spec = DataSpec("vector", (7,), (0.0, 1.0))
    assert from_json(json.loads(json.dumps(to_json(spec))), {}) == spec
    assert (spec.size, ImageSpec(3, 8, 4).size) == (7, 96)
    assert str(ImageSpec(3, 8, 4)) == "8×4 colour"


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"type": "Likelihood", "turbo": 1}, "Likelihood.turbo"),
        ({"type": "Nonsense"}, "'Nonsense'"),
        ({"steps": 1}, "'None'"),
        ({"type": "AutoencoderConfig", "latent": 4}, "incomplete"),
        ({"type": "DataSpec", "kind": "image"}, "does not describe data"),
        ({"type": "MLP", "widths": [-4]}, "widths=-4.*1 or more"),
        ({"type": "MLP", "widths": ["a"]}, "widths='a' is not a whole number"),
        ({"type": "MLP", "widths": [8] * 101}, "length of widths=101.*100 or less"),
        ({"type": "MLP", "blocks": 10**8}, "blocks=100000000.*100 or less"),
        ({"type": "MLP", "blocks": -1}, "blocks=-1.*0 or more"),
        ({"type": "Conv", "strides": [2, 0]}, "strides=0.*1 or more"),
        ({"type": "Conv", "width": 10**30}, "width=1.*1000000000 or less"),
    ],
)
def test_a_config_that_is_not_understood_is_refused_in_one_line(broken, message):
    with pytest.raises(InputError, match=message) as error:
        from_json(broken, TYPES)
    assert "\n" not in str(error.value)


def test_options_are_replaced_where_they_are_known_and_of_their_kind():
    stage, used = changed(Likelihood(), steps=7, beta=2, latent=4)
    assert (stage.steps, stage.beta, used) == (7, 2, {"steps", "beta"})
    assert changed(Likelihood(), betas=[0.5, 0.9])[0].betas == (0.5, 0.9)
    for wrong in ({"steps": 1.5}, {"steps": True}, {"beta": "1"}, {"beta": float("nan")}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            changed(Likelihood(), **wrong)


def test_the_nearest_name_is_offered_or_all_of_them():
    assert nearest_name("lattent", ["latent", "steps"]) == "did you mean 'latent'?"
    assert nearest_name("zzz", ["b", "a"]) == "choose from: a, b"
