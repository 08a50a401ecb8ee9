"""What `preimage` offers beside a generator: learned encoders, and pivotal tuning.

Functions of the public interface like those in `api`, upon which they stand.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from preimage.api import basics
from preimage.core import InputError, LatentModel, Step
from preimage.core.config import changed, unknown_option
from preimage.core.errors import nearest_name
from preimage.data import Dataset
from preimage.data.assemble import sides_of
from preimage.data.source import recorded
from preimage.inversion.encoder import EncodedModel, EncoderConfig
from preimage.inversion.encoder_training import Encoding, frozen, stand_ins
from preimage.inversion.fingerprint import fingerprint
from preimage.inversion.pivotal import Difference, PivotalTuning, applied, tuned
from preimage.nets import MLP, Conv, Net, Transformer
from preimage.runs import encoders as _encoders
from preimage.runs import images as images_of
from preimage.runs.encoders import has_encoder, load_difference, save_difference
from preimage.runs.run import Run
from preimage.runs.training import Training
from preimage.training.budget import within_minutes
from preimage.training.precision import best_device
from preimage.training.recipes import Plan
from preimage.training.trainer import Trainer

PathLike = str | os.PathLike[str]
Progress = Callable[[Step], None]

NETS: dict[str, Net] = {
    "conv": Conv(32, norm=False, dense=256),  # no batch norm: images of a batch stay apart
    "transformer": Transformer(96, depth=3),
    "mlp": MLP((1024,), blocks=1),
}
"""The nets an encoder can be made of, by the name that `net` takes."""

GENERATED = "generated"  # where a config names a source of images, and there is none


def encoder_training(
    what: PathLike | LatentModel,
    source: PathLike | Dataset | None = None,
    *,
    out: PathLike | None = None,
    net: str | Net = "conv",
    refinements: int = 5,
    slope: bool = True,
    steps: int | None = None,
    minutes: float | None = None,
    generated: bool = False,
    replace: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    validations: int = 10,
    progress: Progress | None = None,
    **options: Any,
) -> Training | Trainer:
    """Set an encoder's training up; `for step in job:` trains it, and writes it where it can.

    what: a run, or any model.
    source: real images to train on besides generated ones; unset, those of the run, if it is one.
    out: the folder to write to; unset, `encoder` in the run's; a model without `out` is trained in
        memory, and `job.average` is what comes of it.
    net: a key of `NETS`, or any backbone's config.
    refinements: passes over an image, each of which goes on from what came of the one before.
    slope: whether the later passes are told Jᵀ(x − G(z)), the slope of the squared error: each is
        then more than twice as dear, and worth more than two.
    steps, minutes: the length of training.
    generated: train on generated images alone, and so without a `source`.
    replace: delete the encoder that is there.
    options: any other field of `Encoding`: batch_size, learning_rate, latent, image, …

    Raises InputError for an unknown net or option, a latent space without a prior, and an `out`
    that exists.
    """
    basics._check_budget(steps, minutes)
    if generated and source is not None:
        raise InputError("--generated takes no real images; leave out --source, or --generated")
    run = None if isinstance(what, LatentModel) else Run.open(Path(what))
    model = what if isinstance(what, LatentModel) else basics.load(what)
    model.space.chosen()  # or say at once that there is nothing to sample from
    folder = Path(out) if out is not None else None if run is None else run.path / _encoders.FOLDER
    if folder is not None and folder.exists() and any(folder.iterdir()) and not replace:
        raise InputError(f"{folder} exists already; go on with --resume, or start with --replace")
    images, facts = _images(model, run, source, generated, seed, progress)
    if facts["source"] == GENERATED:
        options = {"shift": 0, **options}  # a sample that has been moved is none
    elif run is not None and any(stage.flip for stage in run.plan.stages):
        options = {"flip": True, **options}
    plan = _plan(model, net, steps, options, refinements=refinements, slope=slope)
    settings = {"seed": seed, "device": device, "precision": precision, "validations": validations}
    if minutes is not None:
        trial = _encoders.encoder_trainer(model, images, plan, **settings).model
        plan = within_minutes(plan, trial, images, minutes, **settings)
    trainer = _encoders.encoder_trainer(model, images, plan, **settings)
    if folder is None:
        return trainer
    job = _encoders.create_encoder(
        folder, trainer, plan, replace=replace, recipe="encoder", sides=sides_of(images),
        data=facts, training=settings,
    )  # fmt: skip
    job.notes = tuple(images.summary().splitlines())
    return job


def train_encoder(
    what: PathLike | LatentModel, source: PathLike | Dataset | None = None, **options: Any
) -> EncodedModel:
    """Train an encoder to the end: the generator with its encoder, which can then `encode`."""
    progress = options.get("progress")
    job = encoder_training(what, source, **options)
    for step in job:
        if progress is not None:
            progress(step)
    trainer = job.trainer if isinstance(job, Training) else job
    model = what if isinstance(what, LatentModel) else basics.load(what)
    assert isinstance(trainer.average, EncodedModel)
    encoder = trainer.average.encoder
    return EncodedModel(model, encoder.to(model.device)).eval()


def resume_encoder(run: PathLike, *, progress: Progress | None = None) -> Training:
    """Go on with the training of a run's encoder, exactly as if it had not been stopped."""
    opened = Run.open(Path(run))
    folder = opened.path / _encoders.FOLDER
    began = _encoders.open_encoder(folder)
    began.check_resumable()
    model, facts = basics.load(run), began.config["data"]
    source, seed = facts["source"], began.config["training"]["seed"]
    own = source in (GENERATED, opened.config["data"]["source"])
    images, _ = _images(
        model, opened, None if own else source, source == GENERATED, seed, progress,
        sides=None if own else images_of.sides(began),
    )  # fmt: skip
    return _encoders.resume_encoder(folder, model, images)


def load_encoder(
    run: PathLike, model: LatentModel | None = None, *, device: str = "cpu"
) -> EncodedModel:
    """A run's model with its learned encoder: `encode`, and quicker `latents`.

    model: the run's model, where it has been loaded already.

    Raises InputError where the run has none, or has had other weights since.
    """
    generator = basics.load(run) if model is None else model
    found = _encoders.load_encoder(Path(run) / _encoders.FOLDER, generator)
    return found.to(best_device(device)) if model is None else found


def tune(
    model: LatentModel,
    images: Tensor,
    z: Tensor,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Difference:
    """Pivotal tuning: what to add to a model's weights so that it draws these images at z.

    images (B, C, H, W) in [−1, 1] and z (B, *space.shape); options as those of `PivotalTuning`:
    labels, steps, learning_rate, locality, features, batch_size, seed. `tuned(model, difference)`
    is then a model that draws them; `save_difference` and `load_difference` keep it in a file.
    """
    known = inspect.signature(PivotalTuning).parameters.keys()
    for name in options:
        if name not in known:
            raise InputError(f"tuning has no option '{name}'; {nearest_name(name, known)}")
    tuning = PivotalTuning(model, images, z, **options)
    for step in tuning:
        if progress is not None:
            progress(step)
    return tuning.difference()


def _plan(
    model: LatentModel,
    net: str | Net,
    steps: int | None,
    options: dict[str, Any],
    **passes: Any,
) -> Plan:
    if isinstance(net, str):
        if net not in NETS:
            raise InputError(f"no net '{net}' for an encoder; {nearest_name(net, NETS)}")
        net = NETS[net]
    config = EncoderConfig(model.data, net, model.space.shape, model.classes, **passes)
    stage, used = changed(Encoding(), **options)
    if unused := options.keys() - used:
        known = {field.name for field in dataclasses.fields(stage)}
        raise unknown_option(sorted(unused)[0], known)
    if steps is not None:
        stage = dataclasses.replace(stage, steps=steps)
    return Plan(config, (stage,))  # type: ignore[arg-type]


def _images(
    model: LatentModel,
    run: Run | None,
    source: PathLike | Dataset | None,
    generated: bool,
    seed: int,
    progress: Progress | None,
    sides: Mapping[int, bool] | None = None,
) -> tuple[Dataset, dict[str, Any]]:
    """The images to train on, and what the config says of them."""
    if generated or (source is None and run is None):
        mark = f"{GENERATED} {fingerprint(model)} {seed}"
        images = stand_ins(
            frozen(copy.deepcopy(model)), name=GENERATED, fingerprint=mark, seed=seed
        )
    elif isinstance(source, Dataset):
        images = source
    elif source is None:
        assert run is not None
        images = basics.run_dataset(run, progress=progress)
    elif run is not None:
        images = basics.fitted(source, run, sides=sides, progress=progress)
    else:
        shape = {"size": (model.data.height, model.data.width), "channels": model.data.channels}
        images = basics.dataset(source, progress=progress, **shape)
    if model.conditional and images.classes != model.classes:
        labels = basics.class_labels(model, images)
        assert labels is not None
        images = dataclasses.replace(images, labels=labels.numpy(), classes=model.classes)
    if images.source == GENERATED:
        named = GENERATED
    elif source is None:
        assert run is not None
        named = run.config["data"]["source"]
    else:
        named = recorded(images.source if isinstance(source, Dataset) else source)
    return images, images_of.facts(named, images)


__all__ = [
    "NETS",
    "Difference",
    "EncodedModel",
    "PivotalTuning",
    "applied",
    "encoder_training",
    "has_encoder",
    "load_difference",
    "load_encoder",
    "resume_encoder",
    "save_difference",
    "train_encoder",
    "tune",
    "tuned",
]
