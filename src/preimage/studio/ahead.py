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

AT_ONCE = 4  # pictures of a batch, at most
SHORT = 0.008  # seconds that a request which comes meanwhile may wait for a batch
MOST = 256  # places of a slider


@dataclass
class Ahead:
    """Places along a slider, how many of them are drawn, and how long one took."""

    number: int
    args: Any
    along: str  # "moves.NAME", "dims.INDEX", or "base.t"
    values: list[Any]
    drawn: int = field(default=0, init=False)
    each: float = field(default=SHORT, init=False)  # seconds; not known before the first

    @property
    def slow(self) -> bool:
        """Whether even one is not to be begun while a hand moves."""
        return self.each > SHORT

    @property
    def done(self) -> bool:
        return self.drawn >= len(self.values)


def next_few(workspace: Workspace, ahead: Ahead) -> list[tuple[int, Rendered]]:
    """The next pictures, each with the index of its value; none, and no more, where one fails."""
    begin = ahead.drawn
    ahead.drawn += min(AT_ONCE, max(1, int(SHORT / ahead.each)))
    try:
        check_text(ahead.args)
        wanted = [
            meanwhile(workspace, placed(ahead.args, ahead.along, value))
            for value in ahead.values[begin : ahead.drawn]
        ]
        made = render_several(workspace, wanted)
        ahead.each = max(made[0].seconds, 1e-6)
        return list(enumerate(made, begin))
    except InputError:
        pass
    except Exception:
        logging.getLogger(__name__).exception("pictures could not be made ahead")
    ahead.drawn = len(ahead.values)
    return []


def is_slider(along: object) -> bool:
    """Whether this names something that a slider moves."""
    return isinstance(along, str) and (
        along == "base.t" or along.partition(".")[0] in ("moves", "dims")
    )


def placed(args: Any, along: str, value: Any) -> Args:
    """`args` with one number in another place. Raises ArgsError, as `parse` does."""
    part, _, name = along.partition(".")
    if not isinstance(args, dict):
        return parse(args)
    inside = args.get(part)
    moved = {**inside, name: value} if isinstance(inside, dict) else {name: value}
    return parse({**args, part: moved})
