"""`preimage render`: what the page's arguments are, in words for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preimage.api.inversions import latents
from preimage.api.observations import Progress
from preimage.core import InputError
from preimage.pictures import png
from preimage.runs.files import write_out
from preimage.runs.latents import SavedLatents
from preimage.studio.args import ArgsError, parse, to_json
from preimage.studio.exports import picture
from preimage.studio.render import render
from preimage.studio.workspace import Workspace

OPTIONS = {"base.path": "--path", "base.t": "--share"}


def render_file(
    run: Path,
    begin: str,
    *,
    out: Path,
    towards: str | None = None,
    share: float = 0.5,
    path: str = "slerp",
    minus: str | None = None,
    plus: str | None = None,
    moves: Mapping[str, float] | None = None,
    dims: Mapping[str, float] | None = None,
    label: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the picture to `out`, and return what it is of, as JSON.

    begin, towards, minus, plus: mean, random:SEED, item:INDEX, saved latents, or an image file.

    Raises InputError for a place that is none, and for a direction, number or class that there is
    none of.
    """
    if (minus is None) != (plus is None):
        raise InputError("--minus and --plus belong together: FROM − MINUS + PLUS")
    if towards is not None and minus is not None:
        raise InputError("--towards and --minus are two things to do; give one of them")
    if out.is_dir():
        raise InputError(f"{out} is a folder; give --out a file such as {out / 'picture.png'}")
    workspace = Workspace(run, device=device)
    try:
        places = {"--from": begin, "--towards": towards, "--minus": minus, "--plus": plus}
        bases = {
            option: _place(workspace, option, text, label, progress)
            for option, text in places.items()
            if text is not None
        }
        base: dict[str, Any] = bases["--from"]
        if towards is not None:
            base = {"kind": "blend", "a": base, "b": bases["--towards"], "t": share, "path": path}
        elif minus is not None:
            base = {"kind": "arithmetic", "a": base, "b": bases["--minus"], "c": bases["--plus"]}
        asked = {"base": base, "moves": dict(moves or {}), "dims": dict(dims or {})}
        args = parse(asked | {"label": label})
        made = render(workspace, args, exact=True)
    except ArgsError as error:
        raise InputError(f"{_option(error.where)}: {error}") from None
    finally:
        workspace.close()
    write_out(out, png(picture(made.pixels)))
    return {"run": str(run), "image": str(out), "label": made.label, "args": to_json(args)}


def _place(
    workspace: Workspace, option: str, text: str, label: str | None, progress: Progress | None
) -> dict[str, Any]:
    """A base of arguments."""
    word, _, number = text.partition(":")
    if text == "mean":
        return {"kind": "mean"}
    if word in ("random", "item"):
        if not (number.isascii() and number.isdecimal()):
            raise InputError(f"{option} {text}: give a whole number, as in {word}:7")
        if word == "random":
            return {"kind": "sample", "seed": int(number)}
        workspace.place(progress)
        return {"kind": "item", "index": int(number)}
    saved = SavedLatents.named(text)
    if saved is not None:
        z = saved.read(workspace.model)
    elif Path(text).is_file():
        z = latents(workspace.path, text, label=label, n=1, progress=progress)
    else:
        raise InputError(
            f"{option} {text} is no place; give mean, random:SEED, item:INDEX, an image, or saved "
            "latents such as found.npz[3]"
        )
    if len(z) != 1:
        raise InputError(f"{option} {text} holds {len(z)} latents; name one: {text}[0]")
    return {"kind": "latent", "id": workspace.keep(z, label)}


def _option(where: str) -> str:
    """The option that a part of the arguments comes from."""
    part, _, name = where.partition(".")
    if part in ("moves", "dims"):
        return f"{ {'moves': '--move', 'dims': '--dim'}[part] } {name}"
    return OPTIONS.get(where, "--label" if part == "label" else "--from")
