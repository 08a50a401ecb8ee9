"""What is learned beside a generator: an encoder, in a folder of its run, and small differences."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

import preimage
from preimage.core import InputError, LatentModel
from preimage.data import Dataset
from preimage.inversion.encoder import EncodedModel, Encoder, EncoderConfig
from preimage.inversion.encoder_training import Encoding, frozen
from preimage.inversion.fingerprint import fingerprint
from preimage.inversion.pivotal import Difference
from preimage.models import CONFIGS
from preimage.runs.files import check_no_links, readable_errors, write_bytes
from preimage.runs.images import check_unchanged
from preimage.runs.run import Run
from preimage.runs.training import Training, restored
from preimage.training.recipes import Plan
from preimage.training.trainer import Trainer

PathLike = str | os.PathLike[str]
FOLDER = "encoder"


class EncoderRun(Run):
    """A run of an encoder's training, below the run of its generator."""

    types: ClassVar[Mapping[str, type]] = {
        **CONFIGS,
        **{config.__name__: config for config in (Plan, EncoderConfig, Encoding)},
    }

    def _module(self) -> nn.Module:
        return Encoder(self.plan.model)  # type: ignore[arg-type]

    def check_generator(self, generator: LatentModel) -> None:
        """Raises InputError where the encoder was trained beside other weights."""
        if self.config.get("generator") != fingerprint(generator):
            raise InputError(
                f"{self.path} was trained beside other weights of the generator; "
                f"train it again with: preimage encoder {self.path.parent} --replace"
            )


def has_encoder(run: PathLike) -> bool:
    """Whether an encoder has been trained for this run, at least in part."""
    return (Path(run) / FOLDER / "weights.safetensors").is_file()


def encoder_trainer(generator: LatentModel, data: Dataset, plan: Plan, **settings: Any) -> Trainer:
    """A trainer of an encoder before its first step; the generator given is left as it is."""
    with torch.random.fork_rng():
        torch.manual_seed(settings["seed"])
        encoder = Encoder(plan.model)  # type: ignore[arg-type]
    model = EncodedModel(frozen(copy.deepcopy(generator)), encoder)
    return Trainer(model, data, plan.stages, **settings)


def create_encoder(
    folder: Path, trainer: Trainer, plan: Plan, *, replace: bool = False, **facts: Any
) -> Training:
    """Training that writes to this folder. Raises InputError where there is something already.

    facts: `sides`, and what the config holds besides: `data` and `training`, as in a run's.
    """
    check_no_links(folder)
    if folder.exists() and replace:
        shutil.rmtree(folder)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists already; go on with --resume, or start with --replace")
    model = trainer.model
    assert isinstance(model, EncodedModel)
    run = EncoderRun.create(folder, plan=plan, generator=fingerprint(model.generator), **facts)
    return Training(run, trainer)


def resume_encoder(folder: Path, generator: LatentModel, data: Dataset) -> Training:
    """Go on with an encoder's training from its last checkpoint."""
    check_no_links(folder)
    run = open_encoder(folder)
    run.check_resumable()
    run.check_generator(generator)
    run.described()
    check_unchanged(run, data)
    trainer = encoder_trainer(generator, data, run.plan, **run.config["training"])
    return restored(Training(run, trainer))


def open_encoder(folder: Path) -> EncoderRun:
    """Raises InputError where no encoder has been begun there."""
    if not folder.is_dir():
        raise InputError(
            f"{folder.parent} has no encoder; train one with: preimage encoder {folder.parent}"
        )
    return EncoderRun.open(folder)  # type: ignore[return-value]


def load_encoder(folder: Path, generator: LatentModel) -> EncodedModel:
    """The generator with its encoder, in evaluation mode.

    Raises InputError where the folder holds none, where it is of other weights of the generator,
    and where its weights do not fit its config.
    """
    run = open_encoder(folder)
    run.check_generator(generator)
    if not run.weights.is_file():
        raise InputError(
            f"{folder} has no weights yet; go on with: preimage encoder {folder.parent} --resume"
        )
    again = f"train it again with: preimage encoder {folder.parent} --replace"
    try:
        model = EncodedModel(generator, Encoder(run.plan.model))  # type: ignore[arg-type]
        model.load_state_dict(load_file(run.weights))
    except (SafetensorError, OSError) as error:
        raise InputError(f"{run.weights} is broken: {error}; {again}") from None
    except (AttributeError, RuntimeError, TypeError) as error:
        detail = " ".join(str(error).split())[:120]
        fault = f"{run.weights} does not fit {folder}/config.json: {detail}"
        raise InputError(f"{fault}; {again}") from None
    return model.to(generator.device).eval()


def save_difference(difference: Difference, path: PathLike) -> Path:
    """What pivotal tuning has changed, in one file that stands by itself."""
    path = Path(path)
    with readable_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"generator": difference.fingerprint, "preimage": preimage.__version__}
    tensors = {name: delta.contiguous() for name, delta in difference.deltas.items()}
    write_bytes(path, save(tensors, metadata=facts))
    return path


def load_difference(path: PathLike) -> Difference:
    """What `save_difference` wrote. Raises InputError where the file is no such thing."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is not a tuning: there is no such file")
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            deltas = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is broken: {error}") from None
    if "generator" not in facts:
        raise InputError(f"{path} is not a tuning: it does not say which model it belongs to")
    return Difference(deltas, facts["generator"])
