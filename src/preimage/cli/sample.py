"""`preimage sample`: images from the prior of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder, Seed, parse_settings
from preimage.cli.output import show
from preimage.cli.progress import Bar

OWN = {"method", "ratio", "real", "seed", "label", "prior", "batch_size", "device", "progress"}
"""What `--set` cannot set: it has a flag, or is no matter of the method."""


def sample(
    run: RunFolder,
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="How many.")] = 64,
    label: Annotated[
        str | None, typer.Option(help="Class of a conditional model; unset, the classes in turn.")
    ] = None,
    prior: Annotated[
        str | None, typer.Option(help="normal or mixture; unset, the better one the model has.")
    ] = None,
    truncation: Annotated[
        float,
        typer.Option(min=0.0, help="Below 1: nearer to the mode, likelier and less varied."),
    ] = 1.0,
    no_copies: Annotated[
        bool,
        typer.Option("--no-copies", help="Draw again what is a near copy of an image trained on."),
    ] = False,
    method: Annotated[
        str | None,
        typer.Option(
            help="Nearer to real images, at more cost: rejection, metropolis-hastings or langevin."
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(help="Of the method; 1 aims at real images, 0 at plain samples."),
    ] = None,
    real: Annotated[
        str | None,
        typer.Option(metavar="IMAGES", help="What the method goes by. Unset, the run's images."),
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Any other option of the method, such as steps or percentile; may be repeated.",
        ),
    ] = None,
    separate: Annotated[
        bool, typer.Option("--separate", help="Also write each image to a file of its own.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to. Unset, RUN/sampled.")
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Draw images from a trained model.

    Writes a sheet of them, and the latents they came from.
    Image 7 of a seed is the same however many are drawn.
    """
    import preimage as pi
    from preimage.core.words import counted

    options = parse_settings(set or [])
    if known := options.keys() & OWN:
        raise typer.BadParameter(
            f"'{min(known)}' is no option of a method; use its own flag", param_hint="'--set'"
        )
    if strength is not None:
        options["strength"] = strength
    if method is None and (options or real is not None):
        raise typer.BadParameter(
            "--set, --strength and --real go with a method; give one", param_hint="'--method'"
        )
    if method is not None and (truncation != 1 or no_copies):
        raise typer.BadParameter(
            "--truncation and --no-copies are for plain samples; leave them out",
            param_hint="'--method'",
        )
    model = pi.load(run, device=device)
    if method is None:
        drawn = pi.sample(
            model,
            n,
            seed=seed,
            label=label,
            prior=prior,
            truncation=truncation,
            no_copies_of=run if no_copies else None,
        )
        refused = int(drawn.refused.sum())
        facts = {"copies_refused": refused if no_copies else None}
        said = f"\n{counted(refused, 'near copy', 'near copies')} drawn again" if no_copies else ""
    else:
        with Bar() as bar:
            drawn = pi.guided(
                run,
                n,
                method=method,
                real=real,
                seed=seed,
                label=label,
                prior=prior,
                device=device,
                progress=bar,
                **options,
            )
        said = f"\n{drawn.decodes:.1f} decodes for each; a plain sample takes one"
        facts = {
            "method": method,
            "decodes": drawn.decodes,
            "log_ratio": drawn.log_ratio.mean().item(),
        }
    folder = out or run / "sampled"
    sheet = pi.save_sheet(drawn.images, folder / "sheet.png")
    latents = pi.save_latents(
        folder / "latents.npz", model=model, latents=drawn.latents, labels=drawn.labels
    )
    if separate:
        pi.save_images(drawn.images, folder)
    result = {
        "run": str(run),
        "n": n,
        "seed": seed,
        "prior": prior or model.space.prior,
        "truncation": truncation,
        "sheet": str(sheet),
        "latents": str(latents),
        "images": str(folder) if separate else None,
        **facts,
    }
    text = f"{counted(n, 'sample')}: {sheet}\ntheir latents: {latents}{said}"
    show(result, text, as_json=as_json)
