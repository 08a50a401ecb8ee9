"""The Laplace posterior against the exact Gaussian one, and its coverage where G is not linear."""

import math

import pytest
import torch
from torch import Tensor

from preimage.core import GaussianMixture, ImageSpec, InputError, LatentModel, LatentSpace, Uniform
from preimage.inversion.curvature import lanczos
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Identity, Mask, Noise
from preimage.inversion.posterior import ROUNDING, importance, laplace
from preimage.inversion.problem import Problem
from preimage.inversion.terms import L2

OBJECTIVE = Objective({"l2": (1.0, L2())})


class Net(LatentModel):
    """tanh(W z · bend) / bend + c: linear where bend is 0."""

    def __init__(self, d: int, shape=(1, 4, 5), *, bend: float = 0.0, space=None, seed: int = 0):
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.data, self.bend = ImageSpec(*shape), bend
        self.spaces = {"z": space or LatentSpace((d,))}
        self.W = torch.randn(self.data.size, d, generator=g) / math.sqrt(d)
        self.c = 0.1 * torch.randn(self.data.size, generator=g)

    def decode(self, z: Tensor, labels=None, *, space=None) -> Tensor:
        u = z.flatten(1) @ self.W.T
        x = torch.tanh(self.bend * u) / self.bend if self.bend else u
        return (x + self.c).reshape(len(z), *self.data.shape)


def targets(net: Net, n: int, σ: float, *, seed: int = 1) -> tuple[Tensor, Tensor]:
    """True latents (n, d) and noisy images of them."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, net.space.size, generator=g)
    x = net.decode(z)
    return z, x + σ * torch.randn(x.shape, generator=g)


def exact(
    net: Net, y: Tensor, σ: float, rows=slice(None), C: Tensor | None = None, m: Tensor | float = 0
):
    """Mean (B, d) and covariance (d, d) of p(z | y) for linear G and z ~ N(m, C), in float64."""
    J, r = net.W.double()[rows], (y.flatten(1) - net.c).double()[:, rows]
    P = torch.eye(J.shape[1], dtype=torch.float64) if C is None else torch.linalg.inv(C.double())
    Σ = torch.linalg.inv(J.T @ J / σ**2 + P)
    m = torch.as_tensor(m, dtype=torch.float64).expand(len(r), J.shape[1])
    return (r @ J / σ**2 + m @ P) @ Σ, Σ


def problem(net: Net, y: Tensor, through=None) -> Problem:
    return Problem.of(net, y, OBJECTIVE, through or Identity())


def test_a_linear_generator_has_exactly_its_gaussian_posterior_from_any_latent():
    net = Net(6)
    _, y = targets(net, 3, 0.2)
    found = laplace(problem(net, y), torch.randn(3, 6), noise=0.2)
    mean, Σ = exact(net, y, 0.2)
    torch.testing.assert_close(found.mean.double(), mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.covariance, Σ.expand(3, -1, -1), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.std[0].double(), Σ.diagonal().sqrt(), rtol=1e-5, atol=0)
    variances = torch.linalg.eigvalsh(Σ).flip(0)
    torch.testing.assert_close(found.stds[1].double(), variances.sqrt(), rtol=1e-5, atol=0)
    along = (found.directions[2].double().T @ Σ @ found.directions[2].double()).diagonal()
    torch.testing.assert_close(along, variances, rtol=1e-4, atol=1e-9)


def test_densities_are_those_of_the_exact_posterior():
    net = Net(6)
    _, y = targets(net, 2, 0.2)
    found = laplace(problem(net, y, Noise(0.2)), torch.zeros(2, 6))
    mean, Σ = exact(net, y, 0.2)
    z = found.sample(5)
    for i in range(2):
        normal = torch.distributions.MultivariateNormal(mean[i], Σ)
        torch.testing.assert_close(
            found.log_prob(z)[i], normal.log_prob(z[i].double()), rtol=1e-3, atol=1e-3
        )


def test_hidden_pixels_widen_the_posterior_as_the_closed_form_says():
    net = Net(8)
    _, y = targets(net, 2, 0.1)
    seen = torch.zeros(4, 5)
    seen[:1] = 1  # 5 values of 20, for 8 latents
    whole = laplace(problem(net, y), torch.zeros(2, 8), noise=0.1)
    part = laplace(problem(net, y, Mask(seen)), torch.zeros(2, 8), noise=0.1)
    _, Σ = exact(net, y, 0.1, rows=slice(0, 5))
    torch.testing.assert_close(part.covariance[0], Σ, rtol=1e-5, atol=1e-7)
    assert (part.std > whole.std).all()
    assert part.effective_dimension.max() < 5
    torch.testing.assert_close(part.stds[:, :3], torch.ones(2, 3))  # three see nothing at all
    assert "leaves" in part.undetermined[0]
    assert "determines all 8" in whole.undetermined[0]


def test_values_half_seen_count_half():
    net = Net(4)
    _, y = targets(net, 1, 0.2)
    seen = torch.linspace(0.1, 1, 20).reshape(4, 5)
    found = laplace(problem(net, y, Mask(seen)), torch.zeros(1, 4), noise=0.2)
    J = net.W.double()
    precision = J.T @ (seen.flatten()[:, None] * J) / 0.2**2 + torch.eye(4)
    torch.testing.assert_close(
        found.covariance[0], torch.linalg.inv(precision), rtol=1e-5, atol=1e-7
    )


def test_the_effective_dimension_counts_directions_by_how_far_the_image_settles_them():
    net = Net(6)
    _, y = targets(net, 1, 0.3)
    found = laplace(problem(net, y), torch.zeros(1, 6), noise=0.3)
    _, Σ = exact(net, y, 0.3)
    assert found.effective_dimension.item() == pytest.approx(6 - Σ.trace().item(), rel=1e-5)


def test_an_image_varies_by_the_linearised_covariance_also_where_it_was_not_seen():
    net = Net(5)
    _, y = targets(net, 2, 0.1)
    seen = torch.ones(4, 5)
    seen[2:] = 0
    masked = problem(net, y, Mask(seen))
    std = laplace(masked, torch.zeros(2, 5), noise=0.1).image_std(masked)
    _, Σ = exact(net, y, 0.1, rows=slice(0, 10))
    J = net.W.double()
    variance = (J @ Σ @ J.T).diagonal()
    torch.testing.assert_close(std[1].flatten().double(), variance.sqrt(), rtol=1e-4, atol=0)


def test_samples_have_the_posterior_mean_and_covariance():
    net = Net(4)
    _, y = targets(net, 2, 0.3)
    found = laplace(problem(net, y), torch.zeros(2, 4), noise=0.3)
    z = found.sample(20_000, seed=3)
    for i in range(2):
        torch.testing.assert_close(z[i].mean(0), found.mean[i], rtol=0, atol=0.01)
        torch.testing.assert_close(z[i].T.cov().double(), found.covariance[i], rtol=0.1, atol=2e-3)


def test_an_image_has_the_same_posterior_and_samples_alone_as_in_a_batch():
    net = Net(6, bend=0.5)
    _, y = targets(net, 4, 0.2)
    together = laplace(problem(net, y), torch.zeros(4, 6))
    alone = laplace(problem(net, y[2:3]), torch.zeros(1, 6))
    torch.testing.assert_close(alone.sample(3)[0], together.sample(3)[2], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(alone.covariance[0], together.covariance[2], rtol=1e-3, atol=1e-6)


def test_noise_is_estimated_with_the_fitted_latents_taken_off():
    net = Net(40, (1, 8, 8))
    _, y = targets(net, 200, 0.1)
    z = (y.flatten(1) - net.c) @ torch.linalg.pinv(net.W).T  # least squares
    found = laplace(problem(net, y), z)
    assert found.noise.square().mean().sqrt().item() == pytest.approx(0.1, rel=0.05)


def test_noise_is_never_below_that_of_rounding():
    net = Net(4)
    z, y = targets(net, 2, 0.0)
    assert laplace(problem(net, y), z).noise.tolist() == pytest.approx([ROUNDING] * 2)


def test_a_fitted_mixture_stands_for_its_likeliest_component():
    mixture = GaussianMixture(2, 3)
    A = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(5))
    mixture.weights.copy_(torch.tensor([0.5, 0.5]))
    mixture.means.copy_(torch.tensor([[4.0, 0, 0], [-4.0, 0, 0]]))
    mixture.factors.copy_(torch.linalg.cholesky(A @ A.mT + 0.1 * torch.eye(3)))
    space = LatentSpace((3,), {"mixture": mixture}, "mixture")
    net = Net(3, (1, 1, 2), space=space)  # two values for three latents: the prior matters
    _, y = targets(net, 1, 0.5)
    found = laplace(problem(net, y), torch.tensor([[-4.0, 0.1, 0.1]]), noise=0.5)
    L = mixture.factors[1]
    mean, Σ = exact(net, y, 0.5, C=L @ L.T, m=mixture.means[1])
    torch.testing.assert_close(found.covariance[0], Σ, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.mean.double(), mean, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("priors", "std"), [({"uniform": Uniform()}, 3**-0.5), ({}, 2.0)], ids=["uniform", "none"]
)
def test_without_curvature_a_prior_bounds_what_the_image_leaves_open(priors, std):
    net = Net(3, (1, 1, 1), space=LatentSpace((3,), priors, next(iter(priors), "")))
    z = torch.full((1, 3), 2.0 if not priors else 0.5)
    found = laplace(problem(net, net.decode(z)), z, noise=0.01)
    torch.testing.assert_close(found.stds[0, :2], torch.full((2,), std))
    torch.testing.assert_close(found.mean, z)


def test_large_latents_are_looked_at_in_the_directions_of_most_information():
    net = Net(150, (1, 5, 6))
    _, y = targets(net, 2, 0.2)
    found = laplace(problem(net, y), torch.zeros(2, 150), noise=0.2, rank=40)
    mean, Σ = exact(net, y, 0.2)
    torch.testing.assert_close(found.covariance[0], Σ, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found.mean.double(), mean, rtol=1e-2, atol=1e-4)
    J = net.W.double()
    variance = (J @ Σ @ J.T).diagonal().expand(2, -1)
    std = found.image_std(problem(net, y), draws=2000).flatten(1).double()
    torch.testing.assert_close(std, variance.sqrt(), rtol=0.1, atol=0)


def test_lanczos_finds_the_leading_eigenvectors_and_knows_when_there_are_no_more():
    g = torch.Generator().manual_seed(0)
    A = torch.randn(2, 30, 4, generator=g, dtype=torch.float64)
    H = A @ A.mT
    first = torch.randn(2, 30, generator=g, dtype=torch.float64)
    s, V = lanczos(lambda w: (H @ w[:, :, None])[:, :, 0], first, rank=12)
    torch.testing.assert_close(s[:, :4], torch.linalg.eigvalsh(H).flip(1)[:, :4])
    assert s[:, 5:].max() < 1e-6
    torch.testing.assert_close(V @ (s[:, :, None] * V.mT), H)


def test_the_band_of_a_bent_generator_covers_the_truth_as_often_as_it_says():
    net = Net(5, bend=0.7)
    z, y = targets(net, 400, 0.2)
    found = laplace(problem(net, y), torch.zeros(400, 5), noise=0.2, steps=8)
    inside = ((z - found.mean).abs() <= 1.6449 * found.std).float().mean(0)
    assert inside.mean().item() == pytest.approx(0.9, abs=0.02)  # 2,000 latents
    assert (inside - 0.9).abs().max() < 0.05


def test_importance_weights_tell_where_the_approximation_is_poor():
    straight, bent = Net(4), Net(4, (1, 1, 3), bend=3.0)
    _, y = targets(straight, 4, 0.2)
    exactly = problem(straight, y)
    fine = importance(exactly, laplace(exactly, torch.zeros(4, 4), noise=0.2), 200)
    _, y = targets(bent, 4, 0.2)
    roughly = problem(bent, y)
    poor = importance(roughly, laplace(roughly, torch.zeros(4, 4), noise=0.2, steps=8), 200)
    assert fine.effective_share.min() > 0.99
    assert poor.effective_share.max() < 0.9


def test_importance_weights_mend_the_mean():
    net = Net(1, (1, 1, 2), bend=0.5)
    _, y = targets(net, 3, 0.3)
    bent = problem(net, y)
    posterior = laplace(bent, torch.zeros(3, 1), noise=0.3, steps=8)
    found = importance(bent, posterior, 4000)
    grid = torch.linspace(-6, 6, 4001)[:, None]
    error = (net.decode(grid)[None] - y[:, None]).flatten(2).square().sum(2)
    density = (-0.5 * error / 0.3**2 - 0.5 * grid[:, 0] ** 2).softmax(1)
    mean = (found.weights * found.z[:, :, 0].double()).sum(1)
    exactly = density @ grid[:, 0]
    torch.testing.assert_close(mean.float(), exactly, rtol=0, atol=0.02)
    assert (posterior.mean[:, 0] - exactly).abs().max() > 0.05


def test_a_latent_without_an_image_has_the_prior():
    net = Net(3)
    _, y = targets(net, 2, 0.1)
    z = torch.zeros(2, 3)
    z[1] = math.nan
    found = laplace(problem(net, y), z, noise=0.1)
    torch.testing.assert_close(found.std[1], torch.ones(3))


def test_noise_that_is_not_above_zero_is_refused():
    net = Net(3)
    _, y = targets(net, 2, 0.1)
    with pytest.raises(InputError, match="noise="):
        laplace(problem(net, y), torch.zeros(2, 3), noise=0.0)
