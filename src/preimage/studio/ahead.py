"""What a slider is about to show, drawn before the hand is there.

    {"id": 7, "args": {…}, "along": "moves.smile", "values": [0.5, 0.55, 0.45, …]}

While nobody waits for a picture, those of the slider's other places are made, a few at a time, and
the page keeps them: a picture it holds already need not be asked for. Whatever goes wrong here goes
wrong again, and is told, when the picture itself is asked for; so it ends without a word.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from preimage.core import InputError
from preimage.studio.args import Args, check_text, parse
from preimage.studio.render import Rendered, meanwhile, render_several
from preimage.studio.workspace import Workspace

AT_ONCE = 4  # pictures of a batch: a request that comes meanwhile waits for so many
MOST = 256  # places of a slider


@dataclass
class Ahead:
    """Places along a slider, and how many of them are drawn."""

    number: int
    args: Any
    along: str  # "moves.NAME", "dims.INDEX", or "base.t"
    values: list[Any]
    drawn: int = field(default=0, init=False)

    @property
    def done(self) -> bool:
        return self.drawn >= len(self.values)


def next_few(workspace: Workspace, ahead: Ahead) -> list[tuple[int, Rendered]]:
    """The next pictures, each with the index of its value; none, and no more, where one fails."""
    begin, ahead.drawn = ahead.drawn, ahead.drawn + AT_ONCE
    try:
        check_text(ahead.args)
        wanted = [
            meanwhile(workspace, placed(ahead.args, ahead.along, value))
            for value in ahead.values[begin : ahead.drawn]
        ]
        return list(enumerate(render_several(workspace, wanted), begin))
    except InputError:
        pass
    except Exception:
        logging.getLogger(__name__).exception("pictures could not be made ahead")
    ahead.drawn = len(ahead.values)
    return []


def placed(args: Any, along: str, value: Any) -> Args:
    """`args` with one number in another place. Raises ArgsError, as `parse` does."""
    part, _, name = along.partition(".")
    if not isinstance(args, dict):
        return parse(args)
    inside = args.get(part)
    moved = {**inside, name: value} if isinstance(inside, dict) else {name: value}
    return parse({**args, part: moved})
