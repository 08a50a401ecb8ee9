"""When a restoration is not to be trusted: the image is far from all that the model knows."""

from __future__ import annotations

from preimage.applications.restoration import Restored

FAR = 3.0  # times what the model usually leaves, from which what was seen counts as badly drawn
OPEN = 1.0  # mean deviation from which a value may be anything: ± that is all from black to white


def doubts(found: Restored) -> tuple[str | None, ...]:
    """Of each image, why its restoration is to be mistrusted; None where nothing says so."""
    return tuple(_doubt(found, row) for row in range(len(found)))


def named(found: Restored) -> tuple[str, ...]:
    """The same as notes, of images that have names."""
    pairs = zip(found.names, doubts(found), strict=True)
    return tuple(f"{name} {doubt}" for name, doubt in pairs if doubt)


def mean_deviation(found: Restored, row: int) -> float:
    """Of the values of an image that are not known; 0 where all are."""
    deviation = found.uncertainty[row]
    unsure = deviation[deviation > 0]
    return float(unsure.mean()) if len(unsure) else 0.0


def _doubt(found: Restored, row: int) -> str | None:
    misfit = 0.0 if found.misfit is None else float(found.misfit[row])
    if misfit > FAR:
        return (
            f"is far from what the model knows: it draws what was seen {misfit:.2g} times as badly "
            "as its own images; mistrust the rest"
        )
    if mean_deviation(found, row) > OPEN:
        return "is left open by the model, from black to white; mistrust what it draws"
    return None
