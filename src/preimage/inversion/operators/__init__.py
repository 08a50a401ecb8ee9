"""What was done to images before they were observed: y = A(x), differentiable."""

from preimage.inversion.operators.base import Compose, ImageOperator
from preimage.inversion.operators.custom import Custom, as_operator, check_operator
from preimage.inversion.operators.image import Blur, Downsample, Grey, Identity, Mask, Noise

__all__ = [
    "Blur",
    "Compose",
    "Custom",
    "Downsample",
    "Grey",
    "Identity",
    "ImageOperator",
    "Mask",
    "Noise",
    "as_operator",
    "check_operator",
]
