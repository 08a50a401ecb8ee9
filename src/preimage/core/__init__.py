"""The nouns everything else is written in; nothing here knows a file, a net or a picture."""

from preimage.core.errors import InputError, Unsupported
from preimage.core.gaussian import Gaussian
from preimage.core.latent import LatentSpace, Sphere, StandardNormal, Uniform
from preimage.core.mixture import GaussianMixture
from preimage.core.model import LatentModel
from preimage.core.spec import DataSpec, ImageSpec
from preimage.core.step import Step

__all__ = [
    "DataSpec",
    "Gaussian",
    "GaussianMixture",
    "ImageSpec",
    "InputError",
    "LatentModel",
    "LatentSpace",
    "Sphere",
    "StandardNormal",
    "Step",
    "Uniform",
    "Unsupported",
]
