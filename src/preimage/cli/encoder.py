"""`preimage encoder`: a net that says which latent an image has, for a run of any kind."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preimage.cli.options import Device, Json, RunFolder, Seed, parse_settings
from preimage.cli.output import show
from preimage.cli.progress import Bar
from preimage.cli.stopping import saved_on_signal

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
            _check_alone(context)
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
                **parse_settings(set or []),
            )
            assert isinstance(job, pi.Training)
        for note in job.notes:
            bar.remark(note)
        began = time.monotonic()
        with saved_on_signal(job) as signals:
            for step in job:
                bar(step)
    seconds = round(time.monotonic() - began, 3)
    show(_result(job, bar, seconds), _text(job), as_json=as_json)
    return 128 + signals[0] if signals and not job.finished else 0


def _check_alone(context: typer.Context) -> None:
    """Training goes on as it was configured: any other option would be without effect."""
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "")
        if given is None or given.name != "COMMANDLINE":
            continue
        if parameter.name not in ("run", "resume", "as_json"):
            raise typer.BadParameter(
                "training goes on with its own images and options; leave this out with --resume",
                param_hint=f"'{parameter.opts[0]}'",
            )


def _result(job: Training, bar: Bar, seconds: float) -> dict[str, Any]:
    return {
        "encoder": str(job.run.path),
        "step": job.done,
        "steps": job.total,
        "finished": job.finished,
        "seconds": seconds,
        "figures": bar.figures,
        "data": job.run.config["data"],
        "notes": list(job.notes),
    }


def _text(job: Training) -> str:
    """Where things are, and what can be done next."""
    from preimage.core.words import counted

    run = shlex.quote(str(job.run.path.parent))
    if not job.finished:
        again = f"preimage encoder {run} --resume"
        return f"stopped at step {job.done} of {job.total}; go on with: {again}"
    return f"trained {counted(job.total, 'step')}: {shlex.quote(str(job.run.path))}"
