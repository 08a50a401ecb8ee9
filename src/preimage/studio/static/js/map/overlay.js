// @ts-check
/** What lies over the map: the pointer's cross, rings about what is shown, the lasso's loop. */

/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {{cross: [number, number] | null, over: number, pinned: import("../types.js").Base | null,
 *   loop: number[]}} Marks */

/** @param {HTMLCanvasElement} canvas */
export function openOverlay(canvas) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));

  /** @param {Scene} scene @param {Marks} marks @param {{ink: string, ground: string, accent: string}} colours */
  return function draw(scene, marks, colours) {
    const { camera, ratio, points } = scene;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, camera.width, camera.height);

    /** @param {number} index @param {string} colour */
    const around = (index, colour) => {
      const x = camera.pageX(points[2 * index]);
      const y = camera.pageY(points[2 * index + 1]);
      const thumb = scene.levels.at(camera, x, y, scene.thumb) === index;
      if (thumb) box(x, y, scene.thumb / 2 + 2, colour);
      else ring(x, y, scene.disc / 2 + 4, colour);
    };

    const { pinned } = marks;
    if (pinned?.kind === "item" && pinned.index < scene.n) around(pinned.index, colours.accent);
    if (pinned?.kind === "map") {
      ring(camera.pageX(pinned.x), camera.pageY(pinned.y), 7, colours.accent);
      dot(camera.pageX(pinned.x), camera.pageY(pinned.y), 2.5, colours.accent);
    }
    if (marks.over >= 0) around(marks.over, colours.ink);
    if (marks.cross && marks.over < 0) cross(marks.cross[0], marks.cross[1]);
    if (marks.loop.length > 2) loop(marks.loop);

    /** @param {number} x @param {number} y @param {number} radius @param {string} colour */
    function ring(x, y, radius, colour) {
      context.beginPath();
      context.arc(x, y, radius, 0, 7);
      stroke(colour);
    }

    /** @param {number} x @param {number} y @param {number} half @param {string} colour */
    function box(x, y, half, colour) {
      context.beginPath();
      context.roundRect(x - half, y - half, 2 * half, 2 * half, 4);
      stroke(colour);
    }

    /** @param {number} x @param {number} y @param {number} radius @param {string} colour */
    function dot(x, y, radius, colour) {
      context.beginPath();
      context.arc(x, y, radius, 0, 7);
      context.fillStyle = colour;
      context.fill();
    }

    /** @param {number} x @param {number} y */
    function cross(x, y) {
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 4 * dx, y + 4 * dy);
        context.lineTo(x + 11 * dx, y + 11 * dy);
      }
      stroke(colours.ink);
    }

    /** @param {number[]} corners */
    function loop(corners) {
      context.beginPath();
      for (let k = 0; k < corners.length; k += 2) context.lineTo(corners[k], corners[k + 1]);
      context.closePath();
      context.globalAlpha = 0.12;
      context.fillStyle = colours.accent;
      context.fill();
      context.globalAlpha = 1;
      stroke(colours.accent);
    }

    /** A line that is seen on every ground. @param {string} colour */
    function stroke(colour) {
      context.strokeStyle = colours.ground;
      context.lineWidth = 4.5;
      context.stroke();
      context.strokeStyle = colour;
      context.lineWidth = 2;
      context.stroke();
    }
  };
}
