"""Restoration's section of RESULTS.md."""

from __future__ import annotations

from typing import Any

import machine
from tables import table

Result = dict[str, Any]
HEAD = "## Restoration and inpainting (`benchmarks/restoration.py`)"
TEXT = """PSNR in dB and SSIM inside what was hidden, and whether a digit is still one of its class
to a LeNet that others trained, as *mean [95 % interval]* over images; in brackets after a method's,
by how much ours is better (paired). *In the band*: the share of hidden values that lie in the 90 %
band."""


def restoration(results: list[Result]) -> str:
    parts = [HEAD, TEXT]
    for r in results:
        parts.append(f"### {r['subject']}: {r['what']}, {r['n']} images")
        for name, task in (r["holes"] | r["others"]).items():
            band = task["coverage"]
            inside = _figure(band["calibrated"], 2)
            parts.append(f"**{name}** (in the band: {inside}; widened {band['scale']:.2f} times)")
            methods = task["methods"]
            measures = [m for m in next(iter(methods.values())) if m != "ours_better"]
            rows = [[method, *(_cell(v, m) for m in measures)] for method, v in methods.items()]
            parts.append(table(["", *measures], rows))
        for picture in sorted(machine.RESULTS.glob(f"restoration-{r['subject']}*.png")):
            parts.append(f"![{r['subject']}](results/{picture.name})")
    return "\n\n".join(parts)


def _cell(figures: dict[str, Any], measure: str) -> str:
    digits = 1 if measure == "psnr" else 2
    text = _figure(figures[measure], digits)
    if "ours_better" in figures:
        text += f" ({_figure(figures['ours_better'][measure], digits, sign='+')})"
    return text


def _figure(value: list[float], digits: int, *, sign: str = "") -> str:
    mean, low, high = (f"{v:{sign}.{digits}f}" for v in value)
    return f"{mean} [{low}, {high}]"
