"""What every LatentModel does by itself: labels, sampling, abilities."""

import pytest
import torch
from torch import nn

from preimage.core import ImageSpec, InputError, LatentModel, LatentSpace, Unsupported


class Toy(LatentModel):
    """Draws the sum of its latents, plus the class."""

    def __init__(self, classes=()):
        super().__init__()
        self.data, self.classes = ImageSpec(1, 2, 2), classes
        self.spaces = {"z": LatentSpace((3,))}
        self.scale = nn.Parameter(torch.ones(()))

    def decode(self, z, labels=None, *, space=None):
        self.named_space(space)
        shift = 0 if labels is None else labels[:, None, None, None]
        return self.scale * z.sum(1)[:, None, None, None].expand(-1, 1, 2, 2) + shift


@pytest.mark.parametrize("classes", [(), ("a", "b", "c")])
def test_image_7_of_a_seed_is_the_same_whatever_the_batch(classes):
    model = Toy(classes)
    images = model.sample(10, seed=3)
    assert torch.equal(model.sample(10, seed=3, batch_size=3), images)
    assert torch.equal(model.sample(8, seed=3, batch_size=1)[7], images[7])
    assert model.sample(0).shape == (0, 1, 2, 2)


def test_classes_are_taken_in_turn_or_as_asked():
    model = Toy(("a", "b", "c"))
    assert model.labels_for(5).tolist() == [0, 1, 2, 0, 1]
    assert model.labels_for(3, first=4).tolist() == [1, 2, 0]
    assert model.labels_for(2, "b").tolist() == model.labels_for(2, 1).tolist() == [1, 1]
    for wrong in ("d", 3, -1):
        with pytest.raises(InputError, match="no class"):
            model.labels_for(1, wrong)
    assert Toy().labels_for(4) is None
    with pytest.raises(InputError, match="without classes"):
        Toy().labels_for(4, 1)


def test_what_a_model_cannot_do_it_says():
    model, x = Toy(), torch.zeros(1, 1, 2, 2)
    for ability in ("encode", "critic", "features"):
        assert not model.can(ability)
        with pytest.raises(Unsupported):
            getattr(model, ability)(x)
    assert model.can("decode")


def test_a_space_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="no latent space 'w'"):
        Toy().decode(torch.zeros(1, 3), space="w")
