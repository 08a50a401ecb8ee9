"""`preimage anomaly fit`: learn what good images look like."""

from __future__ import annotations

from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder, Seed, parse_names
from preimage.cli.output import show
from preimage.cli.progress import Bar

LISTED = 12  # suspects on the terminal


def fit(
    run: RunFolder,
    images: Annotated[
        str,
        typer.Argument(metavar="GOOD_IMAGES", help="A file or folder; or a zip, array or name."),
    ],
    name: Annotated[str, typer.Option(help="What to call the detector.")] = "default",
    false_alarms: Annotated[
        float, typer.Option(help="The share of good images that may be called anomalous.")
    ] = 0.01,
    scores: Annotated[
        list[str] | None,
        typer.Option(
            help="What to go by: patches, hog-neighbours, hog-distance, hog-residual, "
            "planted-defects; of the model reconstruction, feature-residual, density, projection. "
            "Unset, those that suit the images, each weighed by what it is worth on planted "
            "defects. Repeatable."
        ),
    ] = None,
    view: Annotated[
        str,
        typer.Option(
            help="model: images are brought to the model's size; photo: they are looked at as "
            "they are, by scores that need no model; from 64 pixels a side this takes minutes."
        ),
    ] = "model",
    tile: Annotated[
        int | None,
        typer.Option(
            help="Pixels of a side of the parts that large images are looked at in. Unset, they "
            "are seen whole, or where that is more than 4 times the model's size, in parts of that."
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of a detector of that name.")
    ] = False,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Learn what good images look like, and set a threshold of a known false-alarm rate.

    The detector is saved with the run, in RUN/detectors/NAME.
    """
    import preimage as pi
    from preimage.core.words import counted
    from preimage.runs.detection_page import guarantee
    from preimage.runs.detectors import check_new, summary

    check_new(run, name, replace=replace)
    with Bar() as bar:
        found = pi.fit_detector(
            run,
            images,
            scores=parse_names(scores) or "auto",
            false_alarms=false_alarms,
            view=view,
            tile=tile,
            seed=seed,
            device=device,
            progress=bar,
        )
    folder = pi.save_detector(run, found, name=name, source=images, replace=replace)
    result = {"run": str(run), "detector": name, "folder": str(folder), **summary(found)}
    goes_by = " + ".join(f"{weight:.2g} {part}" for part, weight in result["scores"].items())
    lines = [
        f"learned from {counted(found.learned, 'good image')}; goes by {goes_by}",
        f"threshold {found.threshold:.4g}. {guarantee(found)}",
    ]
    if found.suspects:
        shown = ", ".join(found.suspects[:LISTED])
        more = len(found.suspects) - LISTED
        shown += f" and {more} more (--json lists all)" if more > 0 else ""
        lines.append(f"suspected among the good images, look at them: {shown}")
    lines.append(f"saved in {folder}")
    show(result, "\n".join(lines), as_json=as_json)
