"""The pictures of docs/studio.md and the README: a studio is opened and walked through.

    python benchmarks/studio_pictures.py RUN [OTHER …] --out docs/pictures

Needs `playwright` and a chromium (--chromium, else /usr/bin/chromium). The pictures of this
repository are of a `vae-pca` run on `faces:4000`, whose attributes were given directions by
`preimage direction`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import subprocess
import sys
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import Page, TimeoutError, sync_playwright

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
GIF_WIDTH = 760
SCRIPT = "localStorage.setItem('preimage-welcome', 'seen'); Math.random = () => 0.2718"
ARROW = ((0, 0), (0, 15), (3.5, 11.5), (6, 17), (8.5, 16), (6, 10.5), (11, 10.5))
TOLD = ("age", "glasses", "smile", "component 1", "component 2")


def start(runs: list[str]) -> tuple[subprocess.Popen[str], str]:
    """The server, and the address that it says."""
    command = [sys.executable, "-m", "preimage", "studio", *runs, "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    return server, server.stdout.readline().strip()


def ready(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("#map[data-points]", timeout=120_000)
    page.wait_for_selector("#picture[data-painted]")
    with contextlib.suppress(TimeoutError):  # the better map, which follows the first one
        page.locator(".map-note", has_text="t-SNE").wait_for(timeout=240_000)
    page.wait_for_timeout(2500)  # thumbnails


def walk(page: Page) -> None:
    """What a person does in the first minute, seen at its end in each panel."""
    page.keyboard.press("s")
    for name, value in zip(sliders(page), ("1.8", "-1.5"), strict=False):
        page.get_by_role("slider", name=name, exact=True).fill(value)


def sliders(page: Page) -> list[str]:
    """Two that tell something, by name."""
    told = [name for name in TOLD if page.get_by_role("slider", name=name, exact=True).count()]
    return told[:2]


def stills(browser, address: str, out: Path) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(
            viewport=DESK, color_scheme=scheme, reduced_motion="reduce", device_scale_factor=1.25
        )
        context.add_init_script(SCRIPT)
        page = context.new_page()
        ready(page, address)
        box = page.locator("#map").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] * 0.62, box["y"] + box["height"] * 0.55)
        if scheme == "dark":
            page.keyboard.press("b")
            page.get_by_role("slider", name="From A to B").fill("0.5")
        else:
            walk(page)
        page.evaluate("document.querySelector('#panel').scrollTop = 0")
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.42)
        page.wait_for_timeout(1200)
        save(page.screenshot(), out / f"studio-{scheme}.png")
        context.close()
    for tab, scheme in (("map", "dark"), ("sliders", "light"), ("blend", "dark")):
        context = browser.new_context(
            viewport=PHONE, color_scheme=scheme, reduced_motion="reduce", has_touch=True
        )
        context.add_init_script(SCRIPT)
        page = context.new_page()
        ready(page, address)
        if tab != "map":
            page.locator(f"#tab-{tab}").tap()
        page.wait_for_timeout(900)
        save(page.screenshot(), out / f"studio-phone-{tab}.png")
        context.close()
    beside([out / f"studio-phone-{tab}.png" for tab in ("map", "sliders", "blend")], out)


def beside(parts: list[Path], out: Path) -> None:
    """Three phones in one picture."""
    images = [Image.open(path).convert("RGB") for path in parts]
    gap, (width, height) = 24, images[0].size
    sheet = Image.new("RGB", (3 * width + 2 * gap, height), "#8a8a90")
    for k, image in enumerate(images):
        sheet.paste(image, (k * (width + gap), 0))
    sheet.quantize(256).save(out / "studio-phone.png", optimize=True)
    for path in parts:
        path.unlink()


def moving(browser, address: str, out: Path) -> None:
    """The pointer goes over the map, a slider is drawn, two pictures are blended."""
    context = browser.new_context(viewport=DESK, color_scheme="dark", reduced_motion="reduce")
    context.add_init_script(SCRIPT)
    page = context.new_page()
    ready(page, address)
    frames: list[Image.Image] = []

    def shoot(times: int = 1, at: tuple[float, float] | None = None) -> None:
        page.wait_for_timeout(60)
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        if at is not None:  # a screenshot has no pointer
            x, y = at
            arrow = [(x + 1.6 * dx, y + 1.6 * dy) for dx, dy in ARROW]
            ImageDraw.Draw(shot).polygon(arrow, fill="white", outline="black", width=2)
        height = round(GIF_WIDTH * shot.height / shot.width)
        frames.extend([shot.resize((GIF_WIDTH, height), Image.Resampling.LANCZOS)] * times)

    box = page.locator("#map").bounding_box()
    assert box is not None
    way = [(0.2, 0.3), (0.35, 0.38), (0.5, 0.3), (0.62, 0.42), (0.55, 0.6), (0.4, 0.66)]
    for (ax, ay), (bx, by) in itertools.pairwise(way):
        for share in (0.25, 0.5, 0.75, 1.0):
            x = box["x"] + box["width"] * (ax + (bx - ax) * share)
            y = box["y"] + box["height"] * (ay + (by - ay) * share)
            page.mouse.move(x, y)
            shoot(at=(x, y))
    page.mouse.click(box["x"] + box["width"] * way[-1][0], box["y"] + box["height"] * way[-1][1])
    page.keyboard.press("s")
    page.mouse.move(640, 20)
    shoot(3)
    for name in sliders(page):
        slider = page.get_by_role("slider", name=name, exact=True)
        for k in range(1, 8):
            slider.fill(str(round(k * 0.3, 2)))
            shoot()
        shoot(3)
    page.keyboard.press("b")
    page.wait_for_timeout(500)
    slider = page.get_by_role("slider", name="From A to B")
    for k in range(11):
        slider.fill(str(k / 10))
        shoot()
    shoot(6)
    shown = frames[:: max(1, len(frames) // 8)]  # one palette for all, so that the rest stays still
    strip = Image.new("RGB", (GIF_WIDTH, sum(frame.height for frame in shown)))
    for k, frame in enumerate(shown):
        strip.paste(frame, (0, k * frame.height))
    palette = strip.quantize(255)
    packed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    packed[0].save(
        out / "studio.gif",
        save_all=True,
        append_images=packed[1:],
        duration=110,
        loop=0,
        optimize=True,
    )
    context.close()


def save(content: bytes, path: Path) -> None:
    image = Image.open(io.BytesIO(content)).convert("RGB")
    image.quantize(256).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    server, address = start(options.runs)
    try:
        with sync_playwright() as browsers:
            browser = browsers.chromium.launch(
                executable_path=options.chromium, args=["--no-sandbox"]
            )
            stills(browser, address, options.out)
            moving(browser, address, options.out)
            browser.close()
    finally:
        server.terminate()
        server.wait(10)


if __name__ == "__main__":
    main()
