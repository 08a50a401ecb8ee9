"""Images of the data set that are like the picture shown, edited or not.

The same likeness as an index has (`applications.likeness`), over the latents that the map shows:
what small changes of an image do to its latent counts for little.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from fastapi import APIRouter, Body

from preimage.applications import filters
from preimage.applications.likeness import Likeness, fit, slightly_changed
from preimage.applications.retrieval import nearest
from preimage.core import InputError, seeds
from preimage.studio.args import Item, parse
from preimage.studio.points import Points
from preimage.studio.render import find
from preimage.studio.workspace import Workspace

if TYPE_CHECKING:
    from preimage.studio.app import Studio

LEARNED = 256  # images that the likeness is fitted to
CHANGES = 4  # of each
MOST = 200  # images that may be asked for
LONGEST = 1000  # letters of a condition


class Searcher:
    """What searching needs of one workspace, made when it is first searched."""

    def __init__(self, workspace: Workspace, points: Points):
        self.workspace, self.points = workspace, points
        self.likeness = likeness(workspace, points)
        self.vectors = self.likeness(points.latents.flatten(1).numpy())
        self.columns = {
            name: filters.Column(np.asarray(values), tuple(points.categories.get(name, ())))
            for name, values in points.attributes.items()
        }

    def __call__(self, z: np.ndarray, k: int, where: str, without: int | None) -> dict[str, Any]:
        """The k nearest to a latent (1, d), of those that the condition holds of."""
        rows = np.flatnonzero(self._where(where)) if where else np.arange(len(self.vectors))
        held = len(rows)
        if without is not None:
            rows = rows[rows != without]
        squared, found = nearest(self.likeness(z), self.vectors, k, rows)
        hits = zip(found[0].tolist(), np.sqrt(squared[0]).tolist(), strict=True)
        return {
            "metric": self.likeness.kind,
            "held": held,
            "found": [
                {"index": i, "distance": round(d, 4), "attributes": self._known(i)} for i, d in hits
            ],
        }

    def _where(self, text: str) -> np.ndarray:
        """Of which points a condition holds. Raises InputError that says what is wrong with it."""
        try:
            condition = filters.parse(text)
            known = {name: column.categories for name, column in self.columns.items()}
            filters.check(text, condition, known)
        except InputError as error:
            raise InputError(str(error).removeprefix(f"--where {text!r}: ")) from None
        data, n = self.points.data, len(self.points)
        names = (lambda: map(str, data.names)) if data is not None else lambda: [""] * n
        return filters.holds(condition, self.columns, names, n)

    def _known(self, index: int) -> dict[str, float | str]:
        known: dict[str, float | str] = {}
        for name, column in self.columns.items():
            value = float(column.values[index])
            if np.isfinite(value):
                words = column.categories
                known[name] = words[int(value)] if words else round(value, 3)
        return known


def likeness(workspace: Workspace, points: Points) -> Likeness:
    """Learned from the images themselves, where an encoder can see them changed a little."""
    model, data = workspace.model, points.data
    z = points.latents.flatten(1)
    if data is None or not model.can("encode"):
        return fit("whitened", z)
    g = seeds.generator(0, "likeness")
    rows = torch.randperm(len(points), generator=g)[:LEARNED]
    x, y = data.batch(rows), None if points.told is None else points.told[rows].to(model.device)

    def seen(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model.encode(images.to(model.device), y).mean.float().cpu().flatten(1)

    own = seen(x)
    made = fit("steady", own, [seen(slightly_changed(x, g)) for _ in range(CHANGES)])
    return Likeness(made.kind, z.mean(0).numpy(), made.matrix)


def router(studio: Studio) -> APIRouter:
    made = APIRouter(prefix="/api")
    studio.panels["search"] = True
    searchers: dict[str, Searcher] = {}
    making = threading.Lock()

    def searcher(workspace: Workspace) -> Searcher:
        points = workspace.points
        if points is None or not len(points):
            raise InputError("the images are still being read; search when the map is there")
        with making:
            known = searchers.get(workspace.id)
            if known is None or known.points is not points:
                known = searchers[workspace.id] = Searcher(workspace, points)
        return known

    @made.post("/search")
    def search(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """{"args", "k", "where"} → {found: [{index, distance, attributes}], held, metric}.

        A condition is sent while it is written, so that one which cannot be read is no failure but
        a result: {error}.
        """
        k, where = body.get("k", 24), body.get("where") or ""
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= MOST:
            raise InputError(f"k must be a whole number from 1 to {MOST}")
        if not isinstance(where, str) or len(where) > LONGEST:
            raise InputError("this condition is too long")
        workspace, args = studio.workspace, parse(body.get("args"))
        alone = isinstance(args.base, Item) and not args.moves and not args.dims
        without = args.base.index if alone and isinstance(args.base, Item) else None
        try:
            z = find(workspace, args).z.flatten(1).numpy()
            return searcher(workspace)(z, k, where.strip(), without)
        except InputError as error:
            return {"error": str(error), "found": [], "held": 0}

    return made
