"""PCA is the principal plane; maps say how good they are; what makes no map is refused."""

import sys

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

import preimage as pi
from preimage.exploration import maps
from preimage.exploration.maps import latent_map


def latents(n: int = 300, d: int = 6) -> torch.Tensor:
    z = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
    return z * torch.linspace(3, 0.3, d)


def test_pca_is_the_principal_plane_with_its_sign_fixed() -> None:
    z = latents()
    found = latent_map(z)
    x = (z - z.mean(0)).double().numpy()
    _, _, Vt = np.linalg.svd(x, full_matrices=False)
    axes = Vt[:2] * np.sign(Vt[np.arange(2), np.abs(Vt[:2]).argmax(1)])[:, None]
    assert np.allclose(found.positions.numpy(), x @ axes.T, atol=1e-4)
    theirs = PCA(2).fit(z.numpy())
    assert np.allclose(np.abs(found.positions), np.abs(theirs.transform(z.numpy())), atol=1e-4)
    assert found.explained == pytest.approx(theirs.explained_variance_ratio_.sum(), rel=1e-5)


def test_trustworthiness_is_that_of_the_map() -> None:
    z = latents()
    found = latent_map(z, neighbours=7)
    expected = trustworthiness(z.numpy(), found.positions.numpy(), n_neighbors=7)
    assert found.trustworthiness.value == pytest.approx(expected, abs=1e-5)
    assert found.neighbours == 7


def test_spatial_latents_and_single_numbers_have_maps() -> None:
    assert torch.allclose(
        latent_map(latents().reshape(300, 2, 3, 1)).positions, latent_map(latents()).positions
    )
    single = latent_map(latents(50, 1)).positions
    assert not single[:, 1].any()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["t-sne", "umap"])
def test_neighbourhoods_of_clusters_are_kept_and_maps_repeat(method: str) -> None:
    if method == "umap":
        pytest.importorskip("umap")
    centres = 12 * torch.eye(4, 60)
    z = centres.repeat(40, 1) + torch.randn(160, 60, generator=torch.Generator().manual_seed(1))
    found = latent_map(z, method=method)
    near = torch.cdist(found.positions, found.positions).fill_diagonal_(torch.inf).argmin(1)
    assert (near % 4 == torch.arange(160) % 4).all()
    assert torch.equal(found.positions, latent_map(z, method=method).positions)


@pytest.mark.slow
def test_points_beyond_the_landmarks_stand_by_their_nearest(monkeypatch) -> None:
    monkeypatch.setattr(maps, "LANDMARKS", 150)
    centres = 12 * torch.eye(4, 8)
    z = centres.repeat(60, 1) + torch.randn(240, 8, generator=torch.Generator().manual_seed(1))
    found = latent_map(z, method="t-sne")
    near = torch.cdist(found.positions, found.positions).fill_diagonal_(torch.inf).argmin(1)
    assert (near % 4 == torch.arange(240) % 4).all()
    assert "150 of the points" in found.notes[0]


def test_umap_without_its_extra_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(pi.InputError, match=r"pip install 'preimage\[maps\]'"):
        latent_map(latents(), method="umap")


@pytest.mark.parametrize(
    ("z", "options", "message"),
    [
        (latents(), {"method": "tsne"}, "did you mean 't-sne'"),
        (latents(11), {}, "11 points make no map; give at least 12"),
        (latents(30), {"neighbours": 20}, "at least 42"),
        (torch.full((20, 3), torch.nan), {}, "not finite"),
    ],
)
def test_what_makes_no_map_is_refused(z, options, message) -> None:
    with pytest.raises(pi.InputError, match=message):
        latent_map(z, **options)
