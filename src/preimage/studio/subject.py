"""Which picture a panel works on: the one that is shown, as it was before the model saw it.

Where nothing was edited, an image of the data set or one that a person brought is taken itself, not
the model's picture of it: what the model cannot draw is then still there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from preimage.core import InputError
from preimage.studio.args import Args, Item, Picture, parse
from preimage.studio.render import find
from preimage.studio.workspace import Workspace, label_index


@dataclass(frozen=True)
class Subject:
    """A picture, and what is known of it."""

    x: Tensor  # (1, C, H, W) in [−1, 1]
    title: str  # for a person
    latent: Tensor | None = None  # (1, *space.shape), where it is known
    label: str | None = None  # its class, where it is known
    image: str | None = None  # its id, where a person brought it


def subject(workspace: Workspace, body: dict[str, Any]) -> Subject:
    """The picture of {"image": id} or {"args": …}. Raises InputError."""
    if body.get("image") is not None:
        return _brought(workspace, str(body["image"]))
    if body.get("args") is None:
        raise InputError("say which picture: image= or args=")
    args = parse(body["args"])
    if not args.moves and not args.dims:
        if isinstance(args.base, Picture):
            return _brought(workspace, args.base.id, args)
        if isinstance(args.base, Item) and workspace.data is not None:
            found = find(workspace, args)
            x = workspace.data.batch(torch.tensor([args.base.index]))
            return Subject(x, f"image {args.base.index}", found.z, found.label)
    found = find(workspace, args)
    x = workspace.decode(found.z, label_index(workspace, found.label)).float().cpu().clamp(-1, 1)
    return Subject(x.clone(), "the picture shown", found.z, found.label)


def _brought(workspace: Workspace, name: str, args: Args | None = None) -> Subject:
    held = workspace.images[name]
    label = args.label if args is not None and args.label is not None else held.label
    return Subject(held.x, "your image", held.latent, label, name)
