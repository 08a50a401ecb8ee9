"""Training images a CPU second, on one thread: ours, the plain reference, and pythae's trainer.

The net is the reference's in the plain loop and in pythae, and `vae-conv`'s in ours without its
linear part, which has the same widths; `vae-pca` is there because it is the quick one.
"""

from __future__ import annotations

import logging
import tempfile
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import preimage as pi
import reference_vae as reference
from preimage.models import build
from preimage.runs.training import new_trainer

BATCHES = 60


def compared(images: np.ndarray, *, pythae: bool) -> dict[str, Any]:
    """Images a second of each, and the number of parameters of its net."""
    result = {
        "reference": plain(images),
        "vae-conv": recipe(images, "vae-conv", linear=False, batch_size=reference.BATCH),
        "vae-conv, with linear part": recipe(images, "vae-conv", batch_size=reference.BATCH),
        "vae-pca": recipe(images, "vae-pca"),
    }
    if pythae:
        result["pythae"] = of_pythae(images)
    return result


def warm_up(images: np.ndarray) -> None:
    """One step of the reference."""
    model = reference.ReferenceVAE()
    next(iter(reference.epoch(model, reference.optimizer(model), images)))


def plain(images: np.ndarray) -> dict[str, float]:
    """The reference's own loop."""
    model = reference.ReferenceVAE()
    few = images[: BATCHES * reference.BATCH]
    *_, seconds = reference.epoch(model, reference.optimizer(model), few)
    return {"images_a_second": len(few) / seconds, "parameters": count(model)}


def recipe(images: np.ndarray, name: str, **options: Any) -> dict[str, float]:
    """A recipe's steps, once it has begun."""
    data = pi.data.from_arrays(images)
    plan = pi.plan(data, recipe=name, steps=BATCHES, **options).plan
    trainer = new_trainer(plan, data, seed=0, device="cpu", validations=1)
    start, begun = 0.0, 0
    for step in trainer:
        if step.step == BATCHES - 1:  # the last step's report waits for its validation
            break
        if step.step == 1:  # by now the start is over, and what it caches is cached
            start, begun = time.process_time(), step.step
    seconds = time.process_time() - start
    trained = (BATCHES - 1 - begun) * plan.stages[0].batch_size
    return {"images_a_second": trained / seconds, "parameters": count(build(plan.model))}


def of_pythae(images: np.ndarray) -> dict[str, float]:
    """pythae's trainer on the reference's net, without its evaluations and checkpoints."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    logging.disable(logging.WARNING)
    net = reference.ReferenceVAE()

    class Encoder(BaseEncoder):
        def __init__(self):
            nn.Module.__init__(self)
            self.net, self.mean, self.log_variance = net.encoder, net.mean, net.log_variance

        def forward(self, x: Tensor) -> ModelOutput:
            h = self.net(x)
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))

    class Decoder(BaseDecoder):
        def __init__(self):
            nn.Module.__init__(self)
            self.net = net.decoder

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.net(z))

    few = reference.floats(images[: BATCHES * reference.BATCH])
    model = VAE(VAEConfig((3, 32, 32), reference.LATENTS), Encoder(), Decoder())
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=1,
            learning_rate=reference.RATE,
            per_device_train_batch_size=reference.BATCH,
            no_cuda=True,
        )
        trainer = BaseTrainer(model, BaseDataset(few, torch.zeros(len(few))), None, config)
        trainer.prepare_training()
        start = time.process_time()
        trainer.train_step(1)
        seconds = time.process_time() - start
    return {"images_a_second": len(few) / seconds, "parameters": count(net)}


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
