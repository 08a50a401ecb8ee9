"""Operators: linear, with an adjoint, against independent oracles; mistakes are said in words."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.ndimage
import torch
import torch.nn.functional as F

from preimage.core import ImageSpec, InputError
from preimage.inversion.operators import (
    Blur,
    Compose,
    Custom,
    Downsample,
    Grey,
    Identity,
    Mask,
    Noise,
    as_operator,
    check_operator,
)

B, C, H, W = 4, 3, 12, 10
SHAPE = (B, C, H, W)


def images(seed: int = 0, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(*(shape or SHAPE), generator=generator, dtype=torch.float64) - 1


def mask(seed: int = 0, *shape: int) -> torch.Tensor:
    return (images(seed, *(shape or (H, W))) > 0).double()


OPERATORS = {
    "identity": Identity(),
    "noise": Noise(0.1),
    "mask": Mask(mask()),
    "mask of channels": Mask(mask(1, C, H, W)),
    "mask an image": Mask(mask(2, B, 1, H, W)),
    "soft mask an image": Mask((images(3).abs() - 0.2).clamp_min(0)),
    "grey": Grey(),
    "area": Downsample(2),
    "area that does not divide": Downsample(3),
    "bicubic": Downsample(2, filter="bicubic"),
    "gaussian": Blur(1.3),
    "motion": Blur(kernel=torch.eye(3)),
    "mask, blur": Mask(mask(2, B, 1, H, W)).then(Blur(0.8)),
    "grey, smaller, noise": Compose(Grey(), Downsample(2), Noise(0.2)),
    "custom": Custom(lambda x: x.flip(3) - 0.5 * x, linear=True),
}

every_operator = pytest.mark.parametrize("A", OPERATORS.values(), ids=OPERATORS.keys())


@every_operator
def test_linear_with_an_adjoint(A):
    x, v = images(1), images(2)
    assert A.linear
    torch.testing.assert_close(A(2 * x - 3 * v), 2 * A(x) - 3 * A(v))
    x = x.requires_grad_()
    u = torch.randn_like(A(v))
    (adjoint,) = torch.autograd.grad(A(x), x, u)  # Aᵀu
    torch.testing.assert_close((A(v) * u).sum(), (v * adjoint).sum())


@every_operator
def test_forward_mode_agrees(A):
    v = images(2)
    _, tangent = torch.func.jvp(A, (images(1),), (v,))
    torch.testing.assert_close(tangent, A(v))


@every_operator
def test_rows_by_themselves(A):
    """An image's observation and weights are its own, in any batch and order, repeated or not."""
    x, rows = images(1), torch.tensor([2, 0, 2])
    y = A(x)
    torch.testing.assert_close(A.select(rows)(x[rows]), y[rows])
    weights = A.weights(y)
    if weights is not None:
        assert weights.shape == y.shape
        torch.testing.assert_close(A.select(rows).weights(y[rows]), weights[rows])
        assert not y[weights == 0].any()
        torch.testing.assert_close(A.observed(y), weights.flatten(1).sum(1))
    else:
        assert A.observed(y).tolist() == [y[0].numel()] * B


@every_operator
def test_described(A):
    text = json.dumps(A.to_json())
    assert json.loads(text)["type"] == A.name
    assert "\n" not in str(A)


@every_operator
def test_passes_its_own_check(A):
    check_operator(A, ImageSpec(C, H, W))


def test_noise_is_that_of_the_last_one():
    assert Identity().noise == 0
    chain = Noise(0.1).then(Blur(1.0)).then(Noise(0.3)).then(Mask(mask()))
    assert chain.noise == 0.3
    assert len(chain.operators) == 4  # a composition of a composition is one


def test_constant_images_stay():
    """Every averaging operator keeps a constant image, at the edges too."""
    x = torch.full(SHAPE, 0.37, dtype=torch.float64)
    for name in ("grey", "area", "area that does not divide", "bicubic", "gaussian", "motion"):
        y = OPERATORS[name](x)
        torch.testing.assert_close(y, torch.full_like(y, 0.37))


def test_mask_by_hand():
    seen = torch.tensor([[1.0, 0.0], [0.5, 0.0]])
    x = torch.tensor([[[[3.0, 4.0], [5.0, 6.0]]]])
    A = Mask(seen)
    assert A(x).tolist() == [[[[3, 0], [5, 0]]]]  # soft edges are seen; they only count for less
    assert A.weights(x).tolist() == [[[[1, 0], [0.5, 0]]]]
    assert A.observed(x).tolist() == [1.5]
    assert A(A(x)).tolist() == A(x).tolist()
    both = Mask(torch.tensor([[1.0, 1.0], [0.5, 0.0]])).then(A)
    assert both.weights(x).tolist() == [[[[1, 0], [0.25, 0]]]]


def test_mask_before_downsampling_counts_what_was_seen_of_a_pixel():
    seen = torch.tensor([[1.0, 1, 0, 0], [1, 0, 0, 0]])
    A = Mask(seen).then(Downsample(2))
    y = A(torch.ones(1, 3, 2, 4))
    assert A.weights(y)[0, 0].tolist() == [[0.75, 0]]


def test_grey_is_luma():
    rgb = torch.tensor([1.0, -1.0, 0.5]).reshape(1, 3, 1, 1)
    assert Grey()(rgb).item() == pytest.approx(0.299 - 0.587 + 0.057)
    one = images(0, 2, 1, 3, 3)
    assert Grey()(one) is one


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_downsample_against_torch(factor):
    x = images(1)
    size = (H // factor, W // factor)
    torch.testing.assert_close(Downsample(factor)(x), F.interpolate(x, size=size, mode="area"))
    bicubic = F.interpolate(x, size=size, mode="bicubic", antialias=True)
    torch.testing.assert_close(Downsample(factor, filter="bicubic")(x), bicubic)


def test_first_use_without_gradients_leaves_no_trace():
    x = images(0, 2, 1, 23, 19)
    for A in (Blur(0.77), Downsample(5)):
        with torch.inference_mode():
            A(x)
        A(x.clone().requires_grad_()).sum().backward()


@pytest.mark.parametrize("sigma", [0.6, 1.5, 4.0])
def test_gaussian_blur_against_scipy(sigma):
    x = images(1)
    expected = scipy.ndimage.gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode="nearest")
    np.testing.assert_allclose(Blur(sigma)(x).numpy(), expected, atol=1e-12)


def test_blur_by_a_kernel_against_scipy():
    x, kernel = images(1), images(2, 3, 5).abs()
    expected = scipy.ndimage.convolve(
        x.numpy(), (kernel / kernel.sum()).numpy()[None, None], mode="nearest"
    )
    np.testing.assert_allclose(Blur(kernel=kernel)(x).numpy(), expected, atol=1e-12)


def test_what_through_may_be():
    assert isinstance(as_operator(None), Identity)
    A = Blur(1.0)
    assert as_operator(A) is A
    assert isinstance(as_operator(torch.tanh), Custom)
    chain = as_operator([Grey(), lambda x: x**2])
    assert isinstance(chain, Compose)
    assert not chain.linear
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5))
    assert as_operator(module, ImageSpec(C, H, W))(images()).shape == (B, C * H * W)
    assert not module.training


BAD_CALLABLES = {
    "alone than among others": lambda x: x - x.mean(0),
    "draw no random numbers": lambda x: x + torch.rand_like(x),
    "gives no gradient": lambda x: x.detach(),
    "do not round": lambda x: x.round(),
    "NaN or ∞": lambda x: x.log(),
    "is not finite; mend": lambda x: (x - x).abs().sqrt() + x,
    "a row an image": lambda x: x.sum(),
    "fails on images": lambda x: x @ torch.zeros(3, 3, dtype=x.dtype),
}


@pytest.mark.parametrize("message", BAD_CALLABLES)
def test_unusable_callables_are_refused(message):
    with pytest.raises(InputError, match=message) as caught:
        as_operator(BAD_CALLABLES[message], ImageSpec(C, H, W))
    assert "\n" not in str(caught.value)


def test_false_linearity_is_found():
    with pytest.raises(InputError, match="is not linear"):
        as_operator(Custom(torch.tanh, linear=True), ImageSpec(C, H, W))


BAD = {
    "covers everything; 1 marks": lambda: Mask(torch.zeros(H, W)),
    "covers everything of image 2": lambda: Mask(torch.ones(4, 1, H, W).index_fill(0, I2, 0)),
    "go from 0 to 255": lambda: Mask(255 * mask()),
    "a mask of shape": lambda: Mask(torch.ones(5)),
    "is for 8×8 images, and these are 12×10": lambda: Mask(torch.ones(8, 8))(images()),
    "has 2 channels": lambda: Mask(torch.ones(2, H, W))(images()),
    "2 masks for 4 images": lambda: Mask(torch.ones(2, 1, H, W))(images()),
    "whole number of at least 2": lambda: Downsample(1),
    "did you mean 'bicubic'": lambda: Downsample(2, filter="bicubc"),
    "too small to be downsampled": lambda: Downsample(16)(images()),
    "a sigma or a kernel": lambda: Blur(),
    "number above 0": lambda: Blur(0.0),
    "at most 1000": lambda: Blur(1e9),
    "both odd": lambda: Blur(kernel=torch.ones(2, 2)),
    "not 0 everywhere": lambda: Blur(kernel=torch.zeros(3, 3)),
    "no luma": lambda: Grey()(images(0, 1, 2, 3, 3)),
    "standard deviation above 0": lambda: Noise(-1),
    "no operators": lambda: Compose(),
    "through= is a Tensor": lambda: as_operator(mask()),
    "the mask is for 5×5 images": lambda: as_operator(Mask(torch.ones(5, 5)), ImageSpec(3, 8, 8)),
}
I2 = torch.tensor([2])


@pytest.mark.parametrize("message", BAD)
def test_mistakes_are_said_in_a_line(message):
    with pytest.raises(InputError, match=message) as caught:
        BAD[message]()
    assert "\n" not in str(caught.value)
