"""What the report shows of the studio: how long from the hand to the picture."""

from __future__ import annotations

from typing import Any

from tables import Target, table

Result = dict[str, Any]

TEXT = """A `vae-conv` of 64 px in headless Chromium {chromium}, against the real server, both on
the same two cores. A slider's input event is fired, and three clocks stop: when the pixels are on
their canvas, when the next frame begins, and when the page has handed that frame on, which is
painted. Frames come as fast as the browser draws them, not at a display's 60 Hz. Events are 40 ms
apart; a drag is 125 events a second for five seconds. Gradio has the same model behind its own
slider, in the same run. The map is of 100,000 images whose latents are known; the first time, they
are encoded before. Its renderer here is {renderer}: where WebGL2 is only imitated by the processor,
the page writes the discs itself. Thumbnails: the sheets of the first 10,000, fetched and unpacked.
What is drawn at once is thinned to one a cell of the screen: {among} among the dots,
{smallest:,} by themselves at their smallest."""


EACH = """Of the slider that moves, the pictures at its other places are made while nobody waits.
What the page holds is shown without asking. *Asked for each* is a page that is kept from that:
the first movement of a slider, and sliders whose pictures would take more than 8 MB or two seconds.
There a decode takes 2 ms when the one before it was a moment ago, 5 ms after a pause of 40 ms, when
its 21 MB of weights come from memory again, and 6 to 8 ms beside a browser on the same two cores;
about 4 ms go from process to process, and 3 ms into the frame. Tried against that without a gain,
or too little of one: transposed convolutions as plain ones, channels first, TorchScript that does
not optimise, two threads (they wait for one another: 95th percentile above 20 ms), huge pages, the
widest layer in bfloat16 (0.4 ms), float16 (slower) or eight bits (0.8 ms, but 50 times as far off
as float16), decoding in the thread that listens (1 ms at most, and a slow model would stop all
else), another event loop (0.4 ms). What did help: a map that stays as it is when the picture
changes (33 to 16 ms to the frame), sliders that write only what has moved, and a caption that is
laid out by itself."""


def studio(results: list[Result]) -> str:
    """The clocks beside Gradio's, the map's times, and the targets."""
    result = results[-1]
    head = ["slider", "events", "put ms", "frame ms", "painted ms", "p95", "pictures/s of a drag"]
    rows = [_row("studio", result), _row("studio, asked for each", result["asked_for_each"])]
    other = result["gradio"]
    if isinstance(other, dict):
        rows.append(_row(f"Gradio {other['version']}", other))
    maps = [
        [
            when,
            f"{found['points']:,}",
            f"{found['interactive_s']:.2f}",
            f"{found['pan_frame_ms']['median']:.1f}",
            f"{found['pan_frame_ms']['p95']:.1f}",
            f"{found['thumbnails_s']:.2f}",
            f"{found['smallest_frame_ms']['median']:.1f}",
        ]
        for when, found in (("first", result["first_map"]), ("again", result["map"]))
    ]
    names = ["opened", "images", "seconds until it moves", "frame ms", "95th percentile"]
    about = {"chromium": result["chromium"], "renderer": f"`{result['map']['renderer']}`"}
    about |= {"among": result["map"]["drawn_among_dots"]}
    parts = [
        "## Studio",
        TEXT.format(**about, smallest=result["map"]["drawn_smallest"]),
        table(head, rows),
        table([*names, "seconds of 10,000 thumbnails", "frame ms, only thumbnails"], maps),
        "### Targets",
        table(["what", "figure", "bound", "met"], [t.row() for t in targets(result)]),
        EACH,
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


def _row(name: str, clocks: dict[str, Any]) -> list[str]:
    medians = [clocks[clock]["median"] for clock in ("put_ms", "frame_ms", "painted_ms")]
    figures = [*medians, clocks["painted_ms"]["p95"], clocks["dragged_per_s"]]
    return [name, str(clocks["events"]), *(f"{figure:.1f}" for figure in figures)]
