"""Two families and a door for strangers: autoencoders, GANs, and `wrap`."""

from __future__ import annotations

import torch

from preimage.core import LatentModel
from preimage.models.autoencoder import Autoencoder, AutoencoderConfig
from preimage.models.gan import GAN, GANConfig
from preimage.models.shapes import check_memory, shapes_only
from preimage.models.wrap import WrappedModel, wrap
from preimage.nets import NETS

ModelConfig = AutoencoderConfig | GANConfig

FAMILIES: dict[type, type[LatentModel]] = {AutoencoderConfig: Autoencoder, GANConfig: GAN}

CONFIGS: dict[str, type] = {**NETS, **{config.__name__: config for config in FAMILIES}}


def build(config: ModelConfig) -> LatentModel:
    """The model a config describes, with fresh weights.

    Raises InputError where it cannot be built, or has more of them than the machine has memory.
    """
    if not torch.empty(0).is_meta:
        with shapes_only():
            check_memory(FAMILIES[type(config)](config))
    return FAMILIES[type(config)](config)


__all__ = [
    "CONFIGS",
    "FAMILIES",
    "GAN",
    "Autoencoder",
    "AutoencoderConfig",
    "GANConfig",
    "ModelConfig",
    "WrappedModel",
    "build",
    "wrap",
]
