"""Errors of reconstruction against scikit-image and closed forms."""

import pytest
import torch

from preimage.core import InputError
from preimage.metrics.reconstruction import mse, psnr, reconstruction_errors, ssim


def images(n, c=3, h=33, w=20, *, seed=0):
    return torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(seed)).double() * 2 - 1


@pytest.mark.parametrize("channels", [1, 3])
def test_scikit_image_agrees(channels):
    oracle = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    x = images(4, channels)
    x̂ = 0.8 * x + 0.2 * images(4, channels, seed=1)
    for a, b, s, p in zip(x.numpy(), x̂.numpy(), ssim(x, x̂), psnr(x, x̂), strict=True):
        expected = oracle.structural_similarity(
            a,
            b,
            data_range=2,
            channel_axis=0,
            gaussian_weights=True,
            use_sample_covariance=False,
        )
        assert s.item() == pytest.approx(expected, abs=1e-9)
        peak = oracle.peak_signal_noise_ratio(a, b, data_range=2)
        assert p.item() == pytest.approx(peak, rel=1e-12)


@pytest.mark.parametrize("side", [4, 8, 32])
def test_flat_pictures_have_the_similarity_of_their_means(side):
    a, b = torch.full((1, 1, side, side), 0.5), torch.full((1, 1, side, side), -0.25)
    C1 = (0.01 * 2) ** 2
    expected = (2 * 0.5 * -0.25 + C1) / (0.5**2 + 0.25**2 + C1)
    assert ssim(a, b).item() == pytest.approx(expected, rel=1e-6)


def test_a_constant_error_has_a_known_size():
    x = images(5) * 0.5
    assert mse(x, x + 0.1).tolist() == pytest.approx([0.01] * 5)
    assert psnr(x, x + 0.1).tolist() == pytest.approx([10 * 2.6020599913279625] * 5)


def test_batches_do_not_matter_and_the_worst_is_found():
    x = images(12)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    noise = torch.linspace(0.4, 0, 12)[order].view(-1, 1, 1, 1)
    x̂ = x + noise * images(12, seed=1)
    net = lambda u: u.mean((2, 3))  # noqa: E731
    whole = reconstruction_errors([(x, x̂)], features=net)
    parts = reconstruction_errors(zip(x.split(5), x̂.split(5), strict=True), features=net)
    for name, values in whole.each.items():
        torch.testing.assert_close(values, parts.each[name], rtol=1e-12, atol=1e-14)
    assert whole.order().tolist() == noise.flatten().argsort().tolist()
    assert whole.order("psnr").tolist() == whole.order().tolist()
    assert whole.order("ssim")[0] == noise.argmin()
    assert whole.mse.low < whole.mse.value < whole.mse.high
    assert whole.exact == 1
    assert whole.psnr.n == 11  # that of the exact one is infinite
    assert whole.psnr.value == pytest.approx(whole.each["psnr"][noise.flatten() > 0].mean().item())


def test_all_exact_is_infinite_decibels():
    found = reconstruction_errors([(images(3), images(3))])
    assert (found.exact, found.psnr.value, found.ssim.value) == (3, float("inf"), 1)
    assert found.features is None


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "no images"),
        ([(images(2), images(2, h=8))], "equal shapes"),
        ([(images(2), images(2) / 0)], "finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(pairs, message):
    with pytest.raises(InputError, match=message):
        reconstruction_errors(pairs)
