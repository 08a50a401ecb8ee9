"""`preimage interpolate`: a walk from image to image, as an animation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder
from preimage.cli.output import show
from preimage.cli.progress import Bar


def interpolate(
    run: RunFolder,
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="A B [C …]",
            help="Images or folders of them; saved latents, as found.npz[3]; or random:SEED.",
        ),
    ],
    frames: Annotated[int, typer.Option(min=2, help="How many, along the whole way.")] = 60,
    method: Annotated[
        str,
        typer.Option(
            help="slerp (along the sphere), lerp (straight), or geodesic (shortest in images)."
        ),
    ] = "slerp",
    even: Annotated[
        bool, typer.Option("--even", help="Equal steps of the image, not of the latent.")
    ] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Come back to the first.")] = False,
    formats: Annotated[
        str,
        typer.Option(
            "--format", help="gif, webp, mp4 (an extra), png for each frame; or several: gif,png."
        ),
    ] = "gif",
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 24,
    label: Annotated[str | None, typer.Option(help="Class of a conditional model.")] = None,
    invert: Annotated[
        str,
        typer.Option(help="How images become latents: encoder, search, or auto: whichever is had."),
    ] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to. Unset, RUN/interpolated.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Walk through the latent space from one image to the next.

    Writes an animation, a sheet of its frames, their latents, and the lengths of the way.
    """
    from preimage.api.walks import interpolate_files

    with Bar() as bar:
        result = interpolate_files(
            run,
            places,
            out=out or run / "interpolated",
            formats=[kind.strip() for kind in formats.split(",")],
            fps=fps,
            frames=frames,
            method=method,
            even=even,
            loop=loop,
            label=label,
            invert=invert,
            device=device,
            progress=bar,
        )
    show(result, _text(result), as_json=as_json)


def _text(result: dict) -> str:
    shown = [result[kind] for kind in ("gif", "webp", "mp4", "png") if kind in result]
    lines = [f"{result['frames']} frames through {result['points']} points: {', '.join(shown)}"]
    lines.append(f"sheet: {result['sheet']}")
    if legs := result["geodesics"]:
        total = sum(leg["length"] for leg in legs)
        straight = sum(leg["straight_length"] for leg in legs)
        lines.append(f"length in images {total:.4g}; straight on {straight:.4g}")
    return "\n".join(lines)
