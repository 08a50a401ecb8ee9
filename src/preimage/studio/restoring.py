"""What mending and restoring begin with: the picture itself, and what some damage leaves of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Response

from preimage.studio import damage
from preimage.studio.jobs.working import picture
from preimage.studio.subject import subject

if TYPE_CHECKING:
    from preimage.studio.app import Studio


def router(studio: Studio) -> APIRouter:
    made = APIRouter(prefix="/api")
    studio.panels |= {"mend": True, "restore": True}

    @made.post("/subject")
    def whole(body: Annotated[dict[str, Any], Body()]) -> Response:
        return Response(picture(subject(studio.workspace, body).x), media_type="image/png")

    @made.post("/damage")
    def damaged(body: Annotated[dict[str, Any], Body()]) -> Response:
        workspace = studio.workspace
        what, seen = damage.asked(body, workspace.model.data), subject(workspace, body)
        through = damage.operator(
            what["damage"], what["amount"], workspace.model.data, seed=what["seed"]
        )
        y = damage.damaged(seen.x, through, seed=what["seed"])
        return Response(picture(y.clamp(-1, 1)), media_type="image/png")

    return made
