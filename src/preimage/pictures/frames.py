"""Moving pictures: frames to GIF, WebP and MP4, and a sheet of them for paper.

Frames are images (N, C, H, W) in [−1, 1], or PIL images of one size, say sheets that change. WebP
keeps every pixel as it is, a GIF has 256 colours a frame, and MP4 is for players; it takes PyAV,
an extra. GIF and WebP repeat for ever.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from preimage.core import InputError
from preimage.core.errors import nearest_name
from preimage.pictures.sheet import pixels, sheet

if TYPE_CHECKING:
    from preimage.pictures.sheet import Images

    Frames = Images | Sequence[Image.Image]

FORMATS = ("gif", "webp", "mp4")
SLOWEST = 0.01  # frames a second; a GIF shows one for 11 minutes at most
FASTEST = {"gif": 50, "webp": 1000, "mp4": 1000}  # frames a second that the format can express
SIDE = 256  # pixels, the height that small frames are enlarged towards
COLUMNS = 10  # of a contact sheet


def animation(
    frames: Frames,
    kind: str = "gif",  # gif, webp or mp4
    *,
    fps: float = 24,
    ping_pong: bool = False,  # play there and back
    scale: int | None = None,  # pixels shown for each pixel of a frame; enough to be seen
) -> bytes:
    """The bytes of a file that plays the frames.

    Raises InputError for an unknown format, for MP4 without its extra, for no frames, and for a
    rate that the format cannot express.
    """
    check_format(kind, fps)
    shown = _pictures(frames)
    if ping_pong:
        shown += shown[-2:0:-1]
    scale = scale or max(1, SIDE // shown[0].height)
    return {"gif": _gif, "webp": _webp, "mp4": _mp4}[kind](shown, fps, scale)


def check_format(kind: str, fps: float) -> None:
    """Raises InputError where `animation` would, whatever the frames."""
    if kind not in FORMATS:
        raise InputError(f"no animation format '{kind}'; {nearest_name(kind, FORMATS)}")
    if not SLOWEST <= fps <= FASTEST[kind]:
        raise InputError(f"--fps {fps:g}: a {kind} plays at {SLOWEST} and up to {FASTEST[kind]}")
    if kind == "mp4":
        _av()


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise InputError(
            "an mp4 needs the extra 'video': pip install 'preimage[video]'; gif and webp need none"
        ) from None
    return av


def contact_sheet(
    frames: Images,  # (N, C, H, W) in [−1, 1]
    *,
    shown: int = 2 * COLUMNS,  # frames, evenly from the first to the last
    columns: int | None = None,
    scale: int | None = None,
) -> Image.Image:
    """Some of the frames side by side, the first and the last among them."""
    n = len(frames)
    chosen = np.linspace(0, n - 1, min(shown, n)).round().astype(int)
    return sheet(frames[chosen], columns=columns or min(COLUMNS, len(chosen)), scale=scale)


def _pictures(frames: Frames) -> list[Image.Image]:
    """RGB pictures, not yet enlarged."""
    if not len(frames):
        raise InputError("an animation needs at least 1 frame")
    if isinstance(frames[0], Image.Image):
        return [frame.convert("RGB") for frame in frames]  # type: ignore[union-attr]
    return [Image.fromarray(array) for array in pixels(frames)]  # type: ignore[arg-type]


def _enlarged(frame: Image.Image, scale: int) -> Image.Image:
    size = (frame.width * scale, frame.height * scale)
    return frame.resize(size, Image.Resampling.NEAREST)


def _durations(n: int, fps: float, unit: int) -> list[int]:
    """Milliseconds of each frame in multiples of `unit`, rounded so that no delay adds up."""
    ends = [round(1000 * i / fps / unit) * unit for i in range(n + 1)]
    return [end - start for start, end in pairwise(ends)]


def _gif(frames: list[Image.Image], fps: float, scale: int) -> bytes:
    """256 colours of each frame: one palette for all would miss those that few frames have."""
    median = Image.Quantize.MEDIANCUT
    drawn = [frame.quantize(256, method=median, dither=Image.Dither.NONE) for frame in frames]
    return _saved(drawn, "GIF", scale, duration=_durations(len(frames), fps, 10))


def _webp(frames: list[Image.Image], fps: float, scale: int) -> bytes:
    """Without loss, by the quickest method: the others take ten times as long to save a fifth."""
    durations = _durations(len(frames), fps, 1)
    return _saved(frames, "WEBP", scale, duration=durations, lossless=True, method=0)


def _saved(frames: list[Image.Image], kind: str, scale: int, **options: Any) -> bytes:
    buffer = io.BytesIO()
    first, *others = [_enlarged(frame, scale) for frame in frames]
    first.save(buffer, kind, save_all=True, append_images=others, loop=0, **options)
    return buffer.getvalue()


def _mp4(frames: list[Image.Image], fps: float, scale: int) -> bytes:
    """H.264; its sides must be even, so the last row or column may be shown twice."""
    av = _av()
    width, height = frames[0].width * scale, frames[0].height * scale
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "16"}
        for frame in frames:
            array = np.asarray(_enlarged(frame, scale))
            array = np.pad(array, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
            file.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        file.mux(stream.encode())
    return buffer.getvalue()
