"""`preimage encoder`: a net that says which latent an image has, for a run of any kind."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from preimage.cli.jobs import check_alone, trained
from preimage.cli.options import Device, Json, RunFolder, Seed, further_settings
from preimage.cli.output import show
from preimage.cli.progress import Bar

if TYPE_CHECKING:
    from preimage import Training


def encoder(
    context: typer.Context,
    run: RunFolder,
    source: Annotated[
        str | None,
        typer.Option(metavar="IMAGES", help="Real images to train on. Unset, the run's own."),
    ] = None,
    generated: Annotated[
        bool, typer.Option("--generated", help="Train on generated images alone.")
    ] = False,
    net: Annotated[str, typer.Option(help="conv, transformer or mlp.")] = "conv",
    refinements: Annotated[
        int,
        typer.Option(min=1, help="Passes over an image, each seeing what came of the last one."),
    ] = 5,
    slope: Annotated[
        bool,
        typer.Option(
            "--slope/--no-slope", help="Tell the later passes the slope of the squared error."
        ),
    ] = True,
    steps: Annotated[int | None, typer.Option(help="Length of training.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Length in minutes, about.")] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Any other option of the training, such as batch_size or learning_rate; "
            "may be repeated.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with training that was stopped or killed.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete the encoder that is there, and begin again.")
    ] = False,
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Train an encoder for a generator that has none, or a better one.

    It learns from generated images, whose latents are known, and from real ones. It is
    written to RUN/encoder. Ctrl-C saves; `--resume` goes on.
    """
    import preimage as pi

    with Bar() as bar:
        if resume:
            check_alone(context, "run", "resume", "as_json")
            job = pi.resume_encoder(run, progress=bar)
        else:
            job = pi.encoder_training(
                run,
                source,
                generated=generated,
                net=net,
                refinements=refinements,
                slope=slope,
                steps=steps,
                minutes=minutes,
                replace=replace,
                precision=precision,
                device=device,
                seed=seed,
                progress=bar,
                **further_settings(set or [], context),
            )
            assert isinstance(job, pi.Training)
        for note in job.notes:
            bar.remark(note)
        result, status = trained(job, bar)
    named = {"encoder": str(job.run.path), **result}
    show(named, _text(job), as_json=as_json)
    return status


def _text(job: Training) -> str:
    """Where things are, and what can be done next."""
    from preimage.core.words import counted

    run = shlex.quote(str(job.run.path.parent))
    if not job.finished:
        again = f"preimage encoder {run} --resume"
        return f"stopped at step {job.done} of {job.total}; go on with: {again}"
    return f"trained {counted(job.total, 'step')}: {shlex.quote(str(job.run.path))}"
