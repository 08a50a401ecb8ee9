"""`preimage recipes`: the named ways to train, and what one would do with some images."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preimage.cli.options import Json
from preimage.cli.output import show, table
from preimage.cli.progress import Bar

if TYPE_CHECKING:
    from preimage import Proposal


def recipes(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One recipe alone.")] = None,
    source: Annotated[
        str | None, typer.Option("--for", metavar="SOURCE", help="Fit the recipe to these images.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the named ways to train.

    `--for` shows the model and stages a recipe makes of some images, with all options; without
    NAME, those of the recipe that would be chosen.
    """
    import preimage as pi

    if source is not None:
        with Bar() as bar:
            images = pi.dataset(source, progress=bar)
        proposal = pi.plan(images, recipe=name)
        show(proposal.to_json(), f"{images}\n{_described(proposal)}", as_json=as_json)
        return
    known = {name: pi.recipe(name)} if name else pi.recipes()
    rows = [[key, recipe.summary, recipe.source] for key, recipe in known.items()]
    result = [{"name": key, "what": what, "paper": paper} for key, what, paper in rows]
    show({"recipes": result}, table(["recipe", "what", "paper"], rows), as_json=as_json)


def _described(proposal: Proposal) -> str:
    """Model and stages, an option a line."""
    why = f": {proposal.reason}" if proposal.reason else ""
    lines = [f"recipe {proposal.recipe}{why}"]
    configs: list[tuple[str, Any]] = [
        (f"model, {proposal.parameters:,} parameters", proposal.plan.model)
    ]
    for number, stage in enumerate(proposal.plan.stages, 1):
        configs.append((f"stage {number}, {type(stage).__name__.lower()}", stage))
    for title, config in configs:
        fields = [field.name for field in dataclasses.fields(config) if field.name != "data"]
        lines += ["", title, *[f"  {field:<15} {getattr(config, field)}" for field in fields]]
    return "\n".join(lines)
