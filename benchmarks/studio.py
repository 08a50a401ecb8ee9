"""The studio in a browser: how long from the hand to the picture, beside a Gradio slider.

    python benchmarks/studio.py [--only sliders|map] [--quick]

Everything happens in headless Chromium against the real server, on the same processor. A slider's
input event is fired, and the page waits for the picture without asking for it. Three clocks are
read: when the pixels are on their canvas, when the next frame begins, and when the page has handed
that frame on, which is what counts as painted. The browser draws frames as fast as it can, so that
no wait for a display's 60 Hz is in the figures. The model is a `vae-conv` of 64 px. Gradio shows
the same model's pictures behind a slider of its own, in a throw-away environment made here, by the
same clocks. `--quick` takes fewer events and a smaller map, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

import machine
import preimage as pi

HERE = Path(__file__).parent
WORK = Path(tempfile.gettempdir()) / "preimage-benchmarks" / "studio"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-frame-rate-limit", "--disable-gpu-vsync"]
ROOMS = ("studio", "inversion", "models", "nets")
EVENTS, PAUSE = 300, 40  # of a slider, and milliseconds between them
DRAG = 5.0  # seconds of a drag
RATE = 125  # events a second of a drag, as a mouse sends them
POINTS, THUMBS = 100_000, 10_000
WAIT = 300_000  # milliseconds until a page is given up

# How a page says that it has painted: the frame after `at` has begun, then it has been handed on.
SHOWN = """window.shown = (at) => requestAnimationFrame(() => {
  const times = [at, performance.now()], channel = new MessageChannel();
  channel.port1.onmessage = () => {
    window.painted.push([...times, performance.now()]);
    window.heard?.();
  };
  channel.port2.postMessage(0);
});
window.painted = [];
window.next = (most) => new Promise((go) => {
  const end = setTimeout(go, most);
  window.heard = () => { clearTimeout(end); go(); };
});"""

PUT = """const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (...args) {
  put.apply(this, args);
  if (this.canvas.closest("#view")) shown(performance.now());
};"""

# A page that asks for no picture before it shows it.
ALONE = """const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (text) {
  if (!JSON.parse(text).along) send.call(this, text);
};"""

LOADED = """document.addEventListener("load", (event) => {
  if (event.target.matches?.(".image-container img, .image-frame img")) shown(performance.now());
}, true);"""

EACH = """async ([selector, events, pause]) => {
  const slider = document.querySelector(selector), waits = [];
  const low = Number(slider.min), high = Number(slider.max);
  for (let i = 0; i < events; i++) {
    const before = window.painted.length, begun = performance.now(), done = next(3000);
    slider.value = String(low + ((high - low) * ((i * 31) % 97)) / 97);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await done;
    if (window.painted.length > before) waits.push(window.painted.at(-1).map((t) => t - begun));
    await new Promise((go) => setTimeout(go, pause));
  }
  return waits;
}"""

HELD = """async ([selector, seconds, rate]) => {
  const slider = document.querySelector(selector);
  const low = Number(slider.min), high = Number(slider.max);
  const before = window.painted.length, begun = performance.now();
  for (let i = 0; performance.now() - begun < 1000 * seconds; i++) {
    slider.value = String(low + ((high - low) * (i % 251)) / 251);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise((go) => setTimeout(go, 1000 / rate));
  }
  return (window.painted.length - before) / ((performance.now() - begun) / 1000);
}"""

PANNED = """async (seconds) => {
  const frames = [], map = document.querySelector("#map canvas");
  const box = map.getBoundingClientRect();
  const fire = (kind, x, y) => map.dispatchEvent(new PointerEvent(kind, {
    bubbles: true, pointerId: 1, isPrimary: true, button: 0,
    buttons: kind === "pointerup" ? 0 : 1, clientX: x, clientY: y }));
  const x = box.left + box.width / 2, y = box.top + box.height / 2, begun = performance.now();
  fire("pointerdown", x, y);
  for (let i = 0; performance.now() - begun < 1000 * seconds; i++) {
    fire("pointermove", x + 80 * Math.sin(i / 9), y + 80 * Math.cos(i / 9));
    frames.push(await new Promise((go) => requestAnimationFrame(go)));
  }
  fire("pointerup", x, y);
  return frames.slice(1).map((t, i) => t - frames[i]);
}"""

COUNT = "Number(document.querySelector('#map').dataset.thumbs ?? 0)"
DRAWN = f"{COUNT} > 0"
SMALLEST = """() => {
  document.querySelector("#map [value=images]").click();
  const size = document.querySelector("#map input.size");
  size.value = size.min;
  size.dispatchEvent(new Event("input", { bubbles: true }));
}"""

SHEETS = """async (wanted) => {
  const begun = performance.now();
  await Promise.all([...Array(wanted).keys()].map(async (k) =>
    createImageBitmap(await (await fetch(`/api/map/atlas/${k}`, { cache: "reload" })).blob())));
  return performance.now() - begun;
}"""

PROGRAM = """
import sys, torch, gradio as gr
import preimage as pi
torch.set_num_threads(1)
model = pi.load(sys.argv[1]).requires_grad_(False)
start = model.space.sample(1, seed=0)
def decode(value):
    z = start.clone(); z[0, 0] = value
    with torch.inference_mode():
        x = model.decode(z)[0]
    return x.add(1).mul(127.5).clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
with gr.Blocks() as page:
    slider, image = gr.Slider(-3, 3, 0, step=0.001), gr.Image(format="png")
    options = {"show_progress": "hidden", "trigger_mode": "always_last", "queue": False}
    slider.input(decode, slider, image, **options)
page.launch(server_port=int(sys.argv[2]), quiet=True)
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", choices=["sliders", "map"], help="one of the two parts")
    options.add_argument("--quick", action="store_true", help="few events; writes nothing")
    asked = options.parse_args()
    events = 60 if asked.quick else EVENTS
    points = 5_000 if asked.quick else POINTS
    result: dict[str, Any] = {} if asked.quick else machine.read("studio") or {}
    result |= {"benchmark": "studio", "recipe": "vae-conv", "size": 64}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        result["chromium"] = browser.version
        if asked.only != "map":
            faces = run_of_faces()
            with serving(faces) as (address, started):
                warm(address, browser)
                tell({"started_s": started, **sliders(address, browser, events)}, result)
            tell({"gradio": gradio(faces, browser, events)}, result)
        if asked.only != "sliders":
            dots = run_of(points)
            shutil.rmtree(WORK / "cache-map", ignore_errors=True)
            with serving(dots, "cache-map") as (address, _):  # latents are encoded first
                tell({"first_map": mapped(address, browser, points)}, result)
            with serving(dots, "cache-map") as (address, _):
                tell({"map": mapped(address, browser, points)}, result)
        browser.close()
    if not asked.quick:
        machine.write("studio", result, rooms=ROOMS)


def tell(found: dict[str, Any], result: dict[str, Any]) -> None:
    """Show what was measured so far."""
    result |= found
    print(json.dumps(result, indent=1), flush=True)


def run_of_faces() -> Path:
    """A `vae-conv` of 64 px: how well it was trained does not change how long it takes."""
    run = WORK / "faces"
    if not (run / "weights.safetensors").exists():
        pi.train("faces:2000", recipe="vae-conv", latent=64, steps=200, out=run, validations=1)
    return run


def run_of(points: int) -> Path:
    """A small model of so many images of 16 px: two shaded ovals each."""
    run, file = WORK / f"dots-{points}", WORK / f"dots-{points}.npy"
    if not (run / "weights.safetensors").exists():
        draw = np.random.default_rng(0).random((points, 2, 4), np.float32)
        y, x = np.mgrid[:16, :16].astype(np.float32) / 15
        images = np.zeros((points, 16, 16), np.float32)
        for k in range(2):
            u, v, size, light = (draw[:, k, i, None, None] for i in range(4))
            images += light * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (0.02 + 0.1 * size))
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, (255 * images.clip(0, 1)).astype(np.uint8))
        pi.train(file, recipe="vae-mlp", latent=8, steps=200, out=run, validations=1)
    return run


@contextmanager
def serving(run: Path, cache: str = "cache") -> Iterator[tuple[str, float]]:
    """A studio in a process of its own: its address, and the seconds until it had one."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "preimage", "studio", str(run), "--port", "0"]
    environment = {**os.environ, "PREIMAGE_CACHE": str(WORK / cache)}
    process = subprocess.Popen(
        [*command, "--no-browser"], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        yield address, time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait()


def new_page(browser: Browser) -> Page:
    """A page that the clock may be put into: the studio's own policy lets no script in."""
    size = {"width": 1280, "height": 800}
    return browser.new_context(viewport=size, bypass_csp=True).new_page()  # type: ignore[arg-type]


def opened(address: str, browser: Browser, script: str = "") -> Page:
    page = new_page(browser)
    page.add_init_script(SHOWN + PUT + script)
    page.goto(address)
    page.wait_for_function("window.painted.length > 0", timeout=WAIT)
    return page


def warm(address: str, browser: Browser) -> None:
    """Wait until all that is done once, in the background, is done."""
    page = opened(address, browser)
    page.wait_for_function(
        "fetch('/api/map').then((r) => r.json()).then((m) => m.stage === 'done')",
        timeout=WAIT,
        polling=1000,
    )
    page.context.close()


def sliders(address: str, browser: Browser, events: int) -> dict[str, Any]:
    """The first paint, single events of a slider, and a drag; with pictures made ahead, and not."""
    firsts = []
    for _ in range(5):
        page = opened(address, browser)
        firsts.append(page.evaluate("window.painted[0][2]") / 1000)
        page.context.close()
    return {
        "first_paint_s": statistics.median(firsts),
        **moved(opened(address, browser), events),
        "asked_for_each": moved(opened(address, browser, ALONE), events),
    }


def moved(page: Page, events: int) -> dict[str, Any]:
    """Single events of the first slider, and a drag of it."""
    page.keyboard.press("s")
    selector = "#panel input[type=range]"
    page.wait_for_selector(selector)
    page.evaluate(EACH, [selector, 20, 10])
    waits = page.evaluate(EACH, [selector, events, PAUSE])
    rate = page.evaluate(HELD, [selector, DRAG, RATE])
    page.context.close()
    return {"dragged_per_s": rate, **clocks(waits)}


def mapped(address: str, browser: Browser, points: int) -> dict[str, Any]:
    """From the opening of the page until the map can be moved; frames while it is; how long the
    sheets of the first 10,000 thumbnails take to come and be unpacked; and how many of all are
    drawn at once, one a cell of the screen: among dots, and by themselves at their smallest.
    """
    page = new_page(browser)
    page.goto(address)
    page.wait_for_selector(f'#map[data-points="{points}"]', timeout=WAIT)
    interactive = page.evaluate("performance.now()") / 1000
    gaps = page.evaluate(PANNED, 2.0)
    page.wait_for_function(DRAWN, timeout=WAIT)
    among_dots = page.evaluate(COUNT)
    about = page.evaluate("fetch('/api/map').then((answer) => answer.json())")
    atlas = about["atlas"]
    wanted = -(-min(points, THUMBS) // (atlas["columns"] * atlas["rows"]))
    thumbs = page.evaluate(SHEETS, wanted)
    page.evaluate(SMALLEST)
    page.wait_for_timeout(2000)
    small_gaps = page.evaluate(PANNED, 2.0)
    found = {
        "points": points,
        "renderer": page.evaluate("document.querySelector('#map').dataset.renderer"),
        "interactive_s": interactive,
        "pan_frame_ms": quantiles(gaps),
        "sheets": wanted,
        "thumbnails_s": thumbs / 1000,
        "drawn_among_dots": among_dots,
        "drawn_smallest": page.evaluate(COUNT),
        "smallest_frame_ms": quantiles(small_gaps),
    }
    page.context.close()
    return found


def gradio(run: Path, browser: Browser, events: int) -> dict[str, Any] | str:
    """The same model behind Gradio's slider, or why there is none."""
    python = WORK / "gradio" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(WORK / "gradio")], check=True)
        site = Path(np.__file__).parent.parent
        (lib,) = (WORK / "gradio" / "lib").glob("python*/site-packages")
        (lib / "host.pth").write_text(f"{site}\n{HERE.parent / 'src'}\n")
        made = subprocess.run([python, "-m", "pip", "install", "-q", "gradio"], check=False)
        if made.returncode:
            shutil.rmtree(WORK / "gradio")
            return "gradio could not be installed"
    program = WORK / "gradio_slider.py"
    program.write_text(PROGRAM)
    process = subprocess.Popen(
        [python, program, str(run), "7861"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"},
    )
    try:
        page = new_page(browser)
        page.add_init_script(SHOWN + LOADED)
        for _ in range(120):
            try:
                page.goto("http://127.0.0.1:7861")
                break
            except Exception:
                time.sleep(0.5)
        page.wait_for_selector("input[type=range]", timeout=60_000)
        slider = "input[type=range]"
        page.evaluate(EACH, [slider, 20, 50])
        waits = page.evaluate(EACH, [slider, events, PAUSE])
        rate = page.evaluate(HELD, [slider, DRAG, RATE])
        version = subprocess.run(
            [python, "-c", "import gradio; print(gradio.__version__)"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        return {"version": version, "dragged_per_s": rate, **clocks(waits)}
    finally:
        process.terminate()
        process.wait()


def clocks(waits: list[list[float]]) -> dict[str, Any]:
    """The three clocks of events that brought a picture."""
    put, frame, painted = np.array(waits).T
    found = {"put_ms": quantiles(put), "frame_ms": quantiles(frame)}
    return {"events": len(waits), **found, "painted_ms": quantiles(painted)}


def quantiles(values: Any) -> dict[str, float]:
    """Median and 95th percentile."""
    return {"median": float(np.median(values)), "p95": float(np.quantile(values, 0.95))}


if __name__ == "__main__":
    main()
