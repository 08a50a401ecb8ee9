"""The map: points where the server puts them, and a picture wherever one points."""

from __future__ import annotations

from urllib.parse import urljoin

import numpy as np
import pytest
from seeing import drawn, pixels, settles_at, state_of, until

pytestmark = pytest.mark.slow
# Behind a headless browser's WebGL2 is no card, and so the map would leave it alone.
WEBGL = """const read = WebGL2RenderingContext.prototype.getParameter;
WebGL2RenderingContext.prototype.getParameter = function (what) {
  return what === 0x9246 ? "a graphics card" : read.call(this, what); };"""
NO_WEBGL = """const real = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, options) {
  return kind === "webgl2" ? null : real.call(this, kind, options); };"""
START = {"base": {"kind": "sample", "seed": 1}}


def places(page) -> tuple[np.ndarray, np.ndarray]:
    """Where every point of the data is, in the world and on the page, by the camera's own rule."""
    about = page.request.get(urljoin(page.url, "/api/map")).json()
    content = page.request.get(urljoin(page.url, "/api/map/points")).body()
    points = np.frombuffer(content, "<f4").reshape(-1, 2).astype(float)
    at = page.evaluate(
        """async ([points, bounds]) => {
          const { Camera } = await import("/js/map/camera.js");
          const box = document.querySelector("#map").getBoundingClientRect();
          const camera = new Camera();
          camera.resize(box.width, box.height);
          camera.fit(bounds);
          return points.map(([x, y]) => [camera.pageX(x) + box.x, camera.pageY(y) + box.y]);
        }""",
        [points.tolist(), about["bounds"]],
    )
    return points, np.array(at)


def alone(page) -> tuple[int, np.ndarray]:
    """A point of the data that is far from all others and from what stands on the map."""
    _, at = places(page)
    near = np.sort(np.linalg.norm(at[:, None] - at[None], axis=2), 1)[:, 1]
    box = page.locator("#map").bounding_box()
    free = (at[:, 1] > box["y"] + 110) & (at[:, 1] < box["y"] + box["height"] - 90)
    free &= at[:, 0] < box["x"] + box["width"] - 70
    index = int(np.argmax(np.where(free, near, -1)))
    return index, at[index]


@pytest.mark.parametrize(
    ("script", "renderer"),
    [(WEBGL, "webgl2"), (NO_WEBGL, "canvas"), ("", "canvas")],
    ids=["webgl2", "canvas", "imitated"],
)
def test_pointing_at_an_image_shows_it_and_a_click_holds_it(open_page, script, renderer):
    page = open_page(script=script, state=START)
    assert page.get_attribute("#map", "data-renderer") == renderer
    page.check("[value=dots]")
    index, (x, y) = alone(page)
    page.mouse.move(x, y)
    settles_at(page, {"base": {"kind": "item", "index": index}})
    until(page, "!document.querySelector('.hover-card').hidden")
    name = page.request.get(urljoin(page.url, f"/api/items/{index}")).json()["name"]
    assert name in page.inner_text(".hover-card")
    assert state_of(page)["base"] == START["base"]  # shown, not kept
    page.mouse.click(x, y)
    assert state_of(page)["base"] == {"kind": "item", "index": index}


def test_pointing_between_the_images_decodes_that_place_and_leaving_undoes_it(open_page):
    page = open_page(state=START)
    page.check("[value=dots]")
    points, at = places(page)
    x, y = at[:, 0].min() + 3, at[:, 1].max() - 3  # a corner, away from the data
    assert np.linalg.norm(at - (x, y), axis=1).min() > 8
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    base = state_of(page)["base"]
    fit = np.polyfit(at[:, 0], points[:, 0], 1), np.polyfit(at[:, 1], points[:, 1], 1)
    assert base["kind"] == "map"
    assert np.allclose(
        [base["x"], base["y"]], [np.polyval(fit[0], x), np.polyval(fit[1], y)], atol=0.02
    )
    settles_at(page, {"base": base})
    far = page.evaluate("Number(document.querySelector('#picture').style.opacity)")
    index, place = alone(page)
    page.mouse.move(*place)
    settles_at(page, {"base": {"kind": "item", "index": index}})
    assert page.evaluate("Number(document.querySelector('#picture').style.opacity)") > far
    page.mouse.move(1000, 300)
    settles_at(page, {"base": base})


@pytest.mark.parametrize("script", [WEBGL, ""], ids=["webgl2", "canvas"])
def test_what_is_drawn_lies_where_the_points_are(open_page, script):
    page = open_page(script=script)
    page.check("[value=dots]")
    _, at = places(page)
    seen = drawn(page)
    ground = seen[2, 2]
    box = page.locator("#map").bounding_box()
    rows = (at[:, 1] - box["y"]).round().astype(int)
    columns = (at[:, 0] - box["x"]).round().astype(int)
    inked = np.abs(seen - ground).sum(2) > 60
    assert inked[rows, columns].mean() > 0.98
    near = np.zeros_like(inked)
    for dy in range(-6, 7):
        for dx in range(-6, 7):
            near[rows + dy, columns + dx] = True
    assert not (inked & ~near).any()


def test_wheel_buttons_and_keys_zoom_and_a_drag_pans(page):
    page.check("[value=dots]")
    before = drawn(page)
    page.mouse.move(380, 420)
    page.mouse.wheel(0, -400)
    page.mouse.move(1000, 300)
    nearer = drawn(page)
    assert np.abs(nearer - before).max() > 60
    page.mouse.move(380, 420)
    page.mouse.down()
    page.mouse.move(440, 450, steps=3)
    page.mouse.up()
    page.mouse.move(1000, 300)
    moved = drawn(page)[230:500, 260:600]
    there = nearer[200:470, 200:540]
    assert np.abs(moved - there).mean() < np.abs(moved - nearer[230:500, 260:600]).mean() / 4
    page.focus(".map-face")
    page.keyboard.press("0")
    page.get_by_role("button", name="Nearer (+)").click()
    page.get_by_role("button", name="Farther (−)").click()
    assert np.abs(drawn(page) - before)[60:-60, 60:-60].mean() < 1


@pytest.mark.parametrize("script", [WEBGL, ""], ids=["webgl2", "canvas"])
def test_thumbnails_are_the_images_of_the_data(open_page, script):
    page = open_page(script=script)
    page.check("[value=images]")
    page.get_by_label("Colour by").select_option("")
    until(page, "Number(document.querySelector('#map').dataset.thumbs) > 20")
    index, (x, y) = alone(page)
    box = page.locator("#map").bounding_box()
    column, row = round(x - box["x"]), round(y - box["y"])
    image = page.request.get(urljoin(page.url, f"/api/items/{index}/image")).body()
    wanted = pixels(image).mean(2)
    page.wait_for_timeout(600)  # the sheet comes
    shown = drawn(page).mean(2)[row - 16 : row + 16, column - 16 : column + 16]
    small = shown.reshape(8, 4, 8, 4).mean((1, 3))
    assert np.corrcoef(small.ravel(), wanted.ravel())[0, 1] > 0.9


def test_a_search_leaves_what_it_found_lit(page):
    found = page.request.get(urljoin(page.url, "/api/map/find?q=image-17")).json()
    page.keyboard.press("/")
    page.keyboard.type("image-17")
    until(page, f"document.querySelector('.find .count').textContent === '{found['total']}'")
    page.keyboard.press("Escape")
    until(page, "document.querySelector('.find .count').textContent === ''")


def test_a_lasso_holds_the_points_inside_it(page):
    page.check("[value=dots]")
    _, at = places(page)
    middle = np.median(at, 0)
    left, top, right, bottom = *(middle - 80), *(middle + 80)
    page.keyboard.press("l")
    page.mouse.move(left, top)
    page.mouse.down()
    for corner in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(*corner)
    page.mouse.up()
    inside = (at > (left, top)).all(1) & (at < (right, bottom)).all(1)
    said = page.inner_text(".selected strong").split()[0].replace(",", "")
    assert abs(int(said) - inside.sum()) <= 2  # on the edge, to a pixel
    page.get_by_role("button", name="Clear").click()
    until(page, "document.querySelector('.selected').hidden")


def test_the_keyboard_looks_and_holds(open_page):
    page = open_page(state=START)
    page.keyboard.press("m")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    assert state_of(page)["base"] == START["base"]
    page.keyboard.press("Enter")
    held = state_of(page)["base"]
    assert held["kind"] in ("map", "item")
    settles_at(page, {"base": held})


def test_one_finger_looks_and_holds(open_page):
    page = open_page(has_touch=True, viewport={"width": 390, "height": 844}, state=START)
    page.locator("#tab-map").tap()
    _, (x, y) = alone(page)
    page.touchscreen.tap(x, y)
    held = state_of(page)["base"]
    assert held["kind"] == "item"
    settles_at(page, {"base": held})


def test_the_map_is_drawn_again_when_the_driver_took_it_away(open_page):
    page = open_page(script=WEBGL)
    page.check("[value=dots]")
    before = drawn(page)
    page.evaluate(
        """() => new Promise((done) => {
          const face = document.querySelector(".map-face");
          const context = face.getContext("webgl2").getExtension("WEBGL_lose_context");
          face.addEventListener("webglcontextrestored", () => setTimeout(done, 200));
          const back = () => setTimeout(() => context.restoreContext(), 50);
          face.addEventListener("webglcontextlost", back);
          context.loseContext();
        })"""
    )
    assert np.abs(drawn(page) - before).mean() < 0.5


def test_near_points_loops_and_levels_are_what_brute_force_says(page):
    """The grid behind hover, lasso and thumbnails, against all points one by one."""
    wrong = page.evaluate(
        """async () => {
          const { Grid } = await import("/js/map/grid.js");
          const { Levels } = await import("/js/map/levels.js");
          const { Camera } = await import("/js/map/camera.js");
          let seed = 1;
          const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
          const points = Float32Array.from({ length: 6000 }, () => random() ** 2 * 4 - 1);
          const grid = new Grid(points), wrong = [];
          const far = (i, x, y) => (points[2 * i] - x) ** 2 + (points[2 * i + 1] - y) ** 2;
          for (let k = 0; k < 300; k += 1) {
            const [x, y, r] = [random() * 5 - 1.5, random() * 5 - 1.5, random() * 0.4];
            let best = -1;
            for (let i = 0; i < 3000; i += 1)
              if (far(i, x, y) <= r * r && (best < 0 || far(i, x, y) < far(best, x, y))) best = i;
            if (grid.nearest(x, y, r) !== best) wrong.push(["nearest", x, y, r]);
          }
          const inside = grid.inside([-0.5, -0.5, 1.5, -0.5, 0.5, 1.5]); // a triangle
          const by = Array.from({ length: 3000 }, (_, i) => i).filter((i) => {
            const [x, y] = [points[2 * i], points[2 * i + 1]];
            return y > -0.5 && y < 2 * (x + 0.5) - 0.5 && y < 2 * (1.5 - x) - 0.5;
          });
          if (JSON.stringify(inside) !== JSON.stringify(by)) wrong.push("inside");
          const camera = new Camera(), lit = new Uint8Array(3000).fill(1);
          camera.resize(800, 600);
          camera.fit([-1, -1, 3, 3]);
          const levels = new Levels(grid);
          levels.choose(camera, 30, lit);
          const before = [...levels.chosen.subarray(0, levels.count)];
          camera.zoomAt(2, 400, 300);
          levels.choose(camera, 30, lit);
          const after = new Set(levels.chosen.subarray(0, levels.count));
          for (const i of before) {
            const [x, y] = [camera.pageX(points[2 * i]), camera.pageY(points[2 * i + 1])];
            const seen = x > 0 && y > 0 && x < 800 && y < 600;
            if (seen && !after.has(i)) wrong.push(["a thumbnail went as one came nearer", i]);
          }
          if (before.length < 50) wrong.push("too few thumbnails");
          return wrong;
        }"""
    )
    assert wrong == []
