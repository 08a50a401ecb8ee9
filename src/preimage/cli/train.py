"""`preimage train`: from images to a run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preimage.cli.jobs import check_alone, trained
from preimage.cli.options import Device, Json, Seed, further_settings, parse_range, parse_size
from preimage.cli.output import show
from preimage.cli.progress import Bar

if TYPE_CHECKING:
    from preimage import Training

COVERED = (
    "that is of the weights; the folder also shows held-out images and their losses, and a "
    "fingerprint of all images: share weights.safetensors, and config.json without its `data`"
)
SOURCE = "A folder, zip or tar of images, an array file, one image, or a name of `datasets`."


def train(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(metavar="SOURCE", help=SOURCE)] = None,
    recipe: Annotated[
        str | None, typer.Option(help="How to train; see `recipes`. Unset, one is chosen.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder. Unset, runs/SOURCE-RECIPE.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with a run that was stopped or killed."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Length of training in all.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Length in minutes, about.")] = None,
    size: Annotated[
        Any,
        typer.Option(
            parser=parse_size,
            metavar="N|HxW",
            help="Size of the images; each side 8, 16, 28, 32, 64, 128 or 256.",
        ),
    ] = None,
    fit: Annotated[str, typer.Option(help="How images get there: crop, pad or stretch.")] = "crop",
    channels: Annotated[int | None, typer.Option(help="1 for grey, 3 for colour.")] = None,
    background: Annotated[
        str, typer.Option(help="Colour below transparency and around padding.")
    ] = "white",
    range: Annotated[
        Any,
        typer.Option(
            parser=parse_range,
            metavar="LOW,HIGH",
            help="Values of 16-bit and float images that mean black and white.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV or JSON-lines file of file names and their labels."),
    ] = None,
    deduplicate: Annotated[
        bool,
        typer.Option("--deduplicate", help="Train on one only of images that are nearly equal."),
    ] = False,
    conditional: Annotated[
        bool, typer.Option("--conditional", help="Tell the model the class of each image.")
    ] = False,
    latent: Annotated[int | None, typer.Option(help="Numbers in a latent.")] = None,
    beta: Annotated[float | None, typer.Option(help="Weight of a VAE's KL term.")] = None,
    likelihood: Annotated[
        str | None, typer.Option(help="Of a VAE: learned-sigma, gaussian or bernoulli.")
    ] = None,
    private: Annotated[
        float | None,
        typer.Option(
            metavar="EPSILON",
            help="Hide each image by differential privacy: 1 is strong, 8 usual. "
            "Takes the extra `private`.",
        ),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(help="Chance that --private may fail. Unset, 1 / (10 × training images)."),
    ] = None,
    max_grad_norm: Annotated[
        float | None,
        typer.Option(help="Length to which --private clips the gradient of an image. Unset, 1."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Step size of Adam.")] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Any other option of the recipe, as `recipes NAME --for SOURCE` lists them; "
            "may be repeated.",
        ),
    ] = None,
    validations: Annotated[
        int, typer.Option(min=1, help="How often each stage is judged, pictured and saved.")
    ] = 10,
    best: Annotated[
        str | None,
        typer.Option(
            help="What the best weights are chosen by: frechet, kernel, precision, recall, "
            "density, coverage, squared-error or feature-distance. Unset, each stage's own loss."
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write figures for TensorBoard.")
    ] = False,
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Train a model on images.

    Ctrl-C saves; `--resume RUN` goes on, exactly as if nothing had happened.
    """
    import preimage as pi

    with Bar() as bar:
        if resume is not None:
            check_alone(context, "resume", "as_json")
            job = pi.resume(resume, progress=bar)
        else:
            if source is None:
                raise typer.BadParameter("give the images to train on", param_hint="'SOURCE'")
            known = {
                "latent": latent,
                "beta": beta,
                "likelihood": likelihood,
                "delta": delta,
                "max_grad_norm": max_grad_norm,
                "batch_size": batch_size,
                "learning_rate": learning_rate,
            }
            job = pi.training(
                source,
                recipe=recipe,
                out=out,
                steps=steps,
                minutes=minutes,
                seed=seed,
                device=device,
                precision=precision,
                validations=validations,
                best=best,
                tensorboard=tensorboard,
                conditional=conditional,
                private=private,
                data={
                    "size": size,
                    "fit": fit,
                    "channels": channels,
                    "background": background,
                    "range": range,
                    "labels": labels,
                    "deduplicate": deduplicate,
                },
                progress=bar,
                **{name: value for name, value in known.items() if value is not None},
                **further_settings(set or [], context),
            )
        for note in job.notes:
            bar.remark(note)
        bar.remark(f"{job.run.config['recipe']} → {job.run.path}")
        result, status = trained(job, bar)
    named = {"run": str(job.run.path), "recipe": job.run.config["recipe"], **result}
    if (promised := job.trainer.guarantee) is not None:
        named["private"] = promised.to_json()
    show(named, _text(job), as_json=as_json)
    return status


def _text(job: Training) -> str:
    """Where things are, and what can be done next."""
    from preimage.core.words import counted

    run = shlex.quote(str(job.run.path))
    if not job.finished:
        again = f"preimage train --resume {run}"
        text = f"stopped at step {job.done} of {job.total}; go on with: {again}"
        if (promised := job.trainer.guarantee) is not None:
            text += (
                f"\nprivate so far, {promised}; share nothing before the end: until then "
                f"{run}/checkpoints hold the secret that noise is drawn from"
            )
        return text
    text = f"trained {counted(job.total, 'step')}: {run}\nlook at it with:\n  preimage sample {run}"
    if job.trainer.average.can("encode"):
        source = shlex.quote(str(job.run.config["data"]["source"]))
        text += f"\n  preimage reconstruct {run} {source}"
    if (promised := job.trainer.guarantee) is not None:
        text += f"\nprivate, {promised}\n{COVERED}"
    return text
