"""GANs: range, classes, priors and the critic's head."""

import pytest
import torch

from preimage.core import ImageSpec, InputError, Unsupported
from preimage.models import GAN, GANConfig, build
from preimage.models.critic import Critic
from preimage.nets import MLP, Conv, Patch

DATA = ImageSpec(3, 8, 8)


def gan(**options):
    torch.manual_seed(0)
    config = GANConfig(DATA, MLP((16,)), MLP((16,)), latent=4, **options)
    return build(config).eval()


def test_generated_images_stay_in_range():
    model = gan()
    assert isinstance(model, GAN)
    x = model.decode(1000 * torch.randn(20, 4))
    assert x.shape == (20, 3, 8, 8)
    assert x.abs().max() <= 1


def test_the_class_changes_the_image_and_is_asked_for():
    model = gan(classes=("a", "b"))
    z, a = torch.randn(3, 4), torch.zeros(3, dtype=torch.long)
    assert not torch.allclose(model.decode(z, a), model.decode(z, a + 1), atol=1e-3)
    with pytest.raises(InputError, match="class label"):
        model.decode(z)


@pytest.mark.parametrize("prior", ["normal", "sphere", "uniform"])
def test_the_prior_is_the_one_named(prior):
    space = gan(prior=prior).space
    z = space.sample(50)
    assert space.prior == prior
    if prior == "sphere":
        assert torch.allclose(z.norm(dim=1), torch.tensor(2.0), atol=1e-5)
    if prior == "uniform":
        assert z.abs().max() <= 1
    with pytest.raises(InputError, match="no prior 'cauchy'"):
        gan(prior="cauchy")


def test_abilities():
    model, x = gan(), torch.zeros(2, 3, 8, 8)
    assert [model.can(name) for name in ("encode", "critic", "features")] == [False, True, True]
    with pytest.raises(Unsupported, match="no encoder"):
        model.encode(x)
    assert model.critic(x).shape == (2,)
    assert model.features(x).shape == (2, 16)


def test_the_critic_looks_at_the_class_by_projection():
    critic = Critic(MLP((16,)), DATA, classes=3)
    x, y = torch.randn(5, 3, 8, 8), torch.tensor([0, 1, 2, 0, 1])
    plain = critic.logits(x)
    assert torch.equal(critic.logits(x, y), plain)  # the embedding starts at zero
    torch.nn.init.normal_(critic.embedding.weight)
    projection = (critic.embedding(y) * critic.features(x)).sum(1, keepdim=True)
    assert torch.allclose(critic.logits(x, y), plain + projection, atol=1e-5)


def test_a_patch_critic_gives_one_logit_a_patch_and_their_mean():
    critic = Critic(Patch(8, depth=2), DATA, classes=2)
    x, y = torch.randn(5, 3, 8, 8), torch.tensor([0, 1, 1, 0, 1])
    assert critic.logits(x, y).shape == (5, 4)
    assert torch.allclose(critic(x, y), critic.logits(x, y).mean(1))
    assert torch.equal(critic.judge(critic.maps(x), y), critic.logits(x, y))
    assert torch.allclose(critic.features(x), critic.maps(x).mean((2, 3)), atol=1e-6)


def test_a_critic_judges_each_image_alone_in_evaluation():
    critic = Critic(Conv(8), DATA, classes=0)
    for _ in range(3):
        critic.logits(torch.randn(8, 3, 8, 8))
    critic.eval()
    x = torch.randn(4, 3, 8, 8)
    assert torch.allclose(critic(x)[1:2], critic(x[1:2]), atol=1e-5)
