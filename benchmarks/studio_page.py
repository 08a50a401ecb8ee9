"""What the report shows of the studio: how long from the hand to the picture."""

from __future__ import annotations

from typing import Any

from tables import Target, table

Result = dict[str, Any]

TEXT = """A `vae-conv` of 64 px in headless Chromium {chromium}, against the real server, both on
the same processor. A slider's input event is fired, and the clock stops when the frame after the
new picture begins; frames come as fast as the browser draws them, not at a display's 60 Hz. A drag
is 125 events a second for five seconds. The map is of 100,000 images whose latents are known; the
first time, they are encoded before. Thumbnails: the sheets of the first 10,000, fetched and
unpacked."""


def studio(results: list[Result]) -> str:
    """One table, with Gradio's slider in the row below, and the targets."""
    result = results[-1]
    head = ["path", "events", "median ms", "95th percentile ms"]
    rows = [
        _row("studio, pixels on the canvas", result["events"], result["put_ms"]),
        _row("studio, the frame after it", result["events"], result["painted_ms"]),
    ]
    other = result["gradio"]
    if isinstance(other, dict):
        name = f"Gradio {other['version']}, picture loaded"
        rows.append(_row(name, other["events"], other["loaded_ms"]))
    maps = [
        [
            when,
            f"{found['points']:,}",
            f"{found['interactive_s']:.2f}",
            f"{found['pan_frame_ms']['median']:.1f}",
            f"{found['pan_frame_ms']['p95']:.1f}",
            f"{found['thumbnails_s']:.2f}",
        ]
        for when, found in (("first", result["first_map"]), ("again", result["map"]))
    ]
    names = ["opened", "images", "seconds until it moves", "frame ms", "95th percentile"]
    parts = [
        "## Studio",
        TEXT.format(chromium=result["chromium"]),
        table(head, rows),
        table([*names, "seconds of 10,000 thumbnails"], maps),
        "### Targets",
        table(["what", "figure", "bound", "met"], [t.row() for t in targets(result)]),
    ]
    return "\n\n".join(parts)


def targets(result: Result) -> list[Target]:
    return [
        Target("slider to painted, median ms", result["painted_ms"]["median"], 12),
        Target("slider to painted, 95th percentile ms", result["painted_ms"]["p95"], 25),
        Target("pictures a second of a drag", result["dragged_per_s"], 40, least=True),
        Target("first useful paint, s", result["first_paint_s"], 1.5),
        Target("map of 100,000 interactive, s", result["map"]["interactive_s"], 3),
        Target("10,000 thumbnails, s", result["map"]["thumbnails_s"], 3),
        Target("from the command to the address, s", result["started_s"], 5),
    ]


def _row(name: str, events: int, waits: dict[str, float]) -> list[str]:
    return [name, str(events), f"{waits['median']:.1f}", f"{waits['p95']:.1f}"]
