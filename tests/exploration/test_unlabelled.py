"""Directions without labels against closed forms and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from preimage.core import ImageSpec, InputError, LatentModel, LatentSpace, Unsupported
from preimage.exploration.direction import Direction, owner
from preimage.exploration.unlabelled import feature_pca, image_features, jacobian_svd, pca, sefa
from preimage.models.wrap import wrap

D = 6


def units(found: list[Direction]) -> np.ndarray:
    v = torch.stack([direction.vector.double().flatten() for direction in found])
    return (v / v.norm(dim=1, keepdim=True)).numpy()


def same_axes(a: np.ndarray, b: np.ndarray) -> bool:
    """Rows equal up to their sign."""
    return np.allclose(np.abs((a * b).sum(1)), 1, atol=1e-5)


def generator(*layers: nn.Module, shape: tuple[int, ...] = (D,), side: int = 4) -> LatentModel:
    torch.manual_seed(0)
    for layer in layers:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()  # type: ignore[operator]
    return wrap(nn.Sequential(*layers), data=ImageSpec(1, side, side), space=LatentSpace(shape))


def stretched(n: int = 500) -> Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, D, generator=g) @ torch.randn(D, D, generator=g) + 5


@pytest.mark.parametrize("shape", [(D,), (2, 3, 1)], ids=["flat", "spatial"])
def test_pca_agrees_with_scikit_learn(shape: tuple[int, ...]) -> None:
    z = stretched()
    found = pca(z.reshape(-1, *shape), count=4, model="m")
    oracle = PCA().fit(z.numpy())
    assert found[0].vector.shape == shape
    assert same_axes(units(found), oracle.components_[:4])
    shares = [direction.report["explained"] for direction in found]
    assert np.allclose(shares, oracle.explained_variance_ratio_[:4])
    # one unit is one standard deviation of the latents along it
    lengths = [direction.vector.norm().item() for direction in found]
    assert np.allclose(lengths, np.sqrt(oracle.explained_variance_[:4]), rtol=1e-4)


def test_features_that_are_latents_in_disguise_are_brought_back() -> None:
    # Features z R (orthogonal R) have the latents' principal components, turned.
    z = stretched()
    R = torch.linalg.qr(torch.randn(D, D))[0]
    found = feature_pca(z, z @ R, count=3, model="m")
    assert same_axes(units(found), units(pca(z, count=3, model="m")))
    assert all(direction.report["linear"] == pytest.approx(1, abs=1e-6) for direction in found)


def test_sefa_is_the_svd_of_the_first_layer() -> None:
    first = nn.Linear(D, 32)
    G = generator(first, nn.ReLU(), nn.Linear(32, 16))
    A = first.weight.detach().double().numpy()
    A = A / np.linalg.norm(A, axis=1, keepdims=True)
    _, s, Vt = np.linalg.svd(A)
    found = sefa(G, G.space.sample(64), count=D)
    assert same_axes(units(found), Vt)
    shares = [direction.report["explained"] for direction in found]
    assert shares == sorted(shares, reverse=True)  # type: ignore[type-var]
    assert np.allclose(shares, s**2 / (s**2).sum(), atol=1e-6)


def test_sefa_finds_a_transposed_convolution() -> None:
    first = nn.ConvTranspose2d(D, 8, 4)
    G = generator(nn.Unflatten(1, (D, 1, 1)), first, nn.ReLU(), nn.Conv2d(8, 1, 1))
    A = first.weight.detach().double().reshape(D, -1).T.numpy()
    _, _, Vt = np.linalg.svd(A / np.linalg.norm(A, axis=1, keepdims=True), full_matrices=False)
    assert same_axes(units(sefa(G, G.space.sample(64), count=D)), Vt)


class Branches(nn.Module):
    """Two first layers, by hand and not, and a class embedding that is none of them."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(D + 3, 8)
        self.b = nn.Parameter(torch.randn(D, 16))
        self.rest = nn.Linear(8, 16)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        one_hot = torch.nn.functional.one_hot(labels, 3).to(z)
        return self.rest(self.a(torch.cat([z, one_hot], 1)).relu()) + z @ self.b


def test_sefa_takes_every_first_map_and_of_a_conditional_one_the_latents_part() -> None:
    torch.manual_seed(0)
    net = Branches()
    G = wrap(net, data=ImageSpec(1, 4, 4), space=LatentSpace((D,)), classes=("a", "b", "c"))
    A = torch.cat([net.a.weight[:, :D], net.b.T]).detach().double().numpy()
    _, _, Vt = np.linalg.svd(A / np.linalg.norm(A, axis=1, keepdims=True), full_matrices=False)
    found = sefa(G, G.space.sample(64), count=D, labels=G.labels_for(64))
    assert same_axes(units(found), Vt)
    assert all(p.requires_grad for p in net.parameters())


def test_sefa_of_a_spatial_latent() -> None:
    first = nn.Conv2d(2, 5, 3, padding=1)
    G = generator(first, nn.Tanh(), nn.Conv2d(5, 1, 1), shape=(2, 4, 4))
    columns = [
        first(e[None]) - first(torch.zeros(1, 2, 4, 4)) for e in torch.eye(32).view(32, 2, 4, 4)
    ]
    A = torch.stack([c.detach().flatten().double() for c in columns], 1).numpy()
    _, _, Vt = np.linalg.svd(A / np.linalg.norm(A, axis=1, keepdims=True), full_matrices=False)
    found = sefa(G, G.space.sample(64), count=3)
    assert found[0].vector.shape == (2, 4, 4)
    assert np.allclose(np.abs((units(found)[:1] * Vt[:1]).sum(1)), 1, atol=1e-4)


def test_without_a_layer_there_is_no_sefa() -> None:
    G = generator(nn.Flatten(), nn.Unflatten(1, (1, 4, 4)), shape=(16,))
    with pytest.raises(Unsupported, match="no linear layer"):
        sefa(G, G.space.sample(40), count=2)


@pytest.mark.parametrize("shape", [(D,), (2, 3, 1)], ids=["flat", "spatial"])
def test_the_jacobians_directions_of_a_linear_decoder(shape: tuple[int, ...]) -> None:
    linear = nn.Linear(D, 16)
    G = generator(nn.Flatten(), linear, shape=shape)
    _, s, Vt = np.linalg.svd(linear.weight.detach().double().numpy())
    z = G.space.sample(64)
    found = jacobian_svd(G, z[0], z, count=D)
    assert found[0].vector.shape == shape
    assert same_axes(units(found), Vt)
    assert np.allclose([d.report["singular_value"] for d in found], s, rtol=1e-5)


def test_features_are_the_same_in_any_batch() -> None:
    G = generator(nn.Linear(D, 64 * 64), nn.Tanh(), side=64)
    z = G.space.sample(10)
    whole = image_features(G, z)
    assert whole.shape == (10, 32 * 32)
    assert torch.allclose(whole, image_features(G, z, batch_size=3), atol=1e-6)


def test_directions_belong_to_their_generator() -> None:
    G, H = generator(nn.Linear(D, 16)), generator(nn.Linear(D, 16), nn.Tanh(), nn.Linear(16, 16))
    (found,) = sefa(G, G.space.sample(20), count=1)
    found.check(G)
    with pytest.raises(InputError, match=f"{owner(G)}.*{owner(H)}.*preimage direction"):
        found.check(H)


def test_more_than_there_is_is_refused() -> None:
    G, z = generator(nn.Linear(D, 16)), stretched(20)
    for attempt in (
        lambda: pca(z, count=7, model="m"),
        lambda: sefa(G, z, count=7),
        lambda: jacobian_svd(G, z[0], z, count=7),
    ):
        with pytest.raises(InputError, match="only 6 directions"):
            attempt()
    with pytest.raises(InputError, match="more than 5 latents; there are 4"):
        pca(z[:4], count=5, model="m")
    with pytest.raises(InputError, match="at least 1"):
        pca(z, count=0, model="m")
