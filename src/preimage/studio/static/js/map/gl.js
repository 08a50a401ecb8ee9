// @ts-check
/** The map on WebGL2: discs as points, thumbnails as instanced quads with a sheet each. */

import { program, sheetTexture } from "./shaders.js";

/** @typedef {import("./scene.js").Scene} Scene */

const IMITATIONS = /swiftshader|llvmpipe|softpipe|basic render/i;
const STRIDE = 4; // floats of a thumbnail: x, y, tile, and the four bytes of its colour

/** Whether there is no graphics card behind WebGL2: the processor is quicker at drawing points itself
 * than at imitating a card that does. Asked of a canvas of its own, which is thrown away. */
function imitated() {
  const gl = document.createElement("canvas").getContext("webgl2");
  const about = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = about ? String(gl?.getParameter(about.UNMASKED_RENDERER_WEBGL)) : "";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return IMITATIONS.test(name);
}

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {{draw: (scene: Scene) => void, recolour: (scene: Scene) => void, kind: string} | null}
 *   null where there is no WebGL2, or one that the processor only imitates
 */
export function openGl(canvas) {
  if (imitated()) return null;
  const gl = canvas.getContext("webgl2", { antialias: false, alpha: true, premultipliedAlpha: true });
  if (!gl) return null;
  const discs = program(gl, "discs");
  const tiles = program(gl, "tiles");
  const positions = gl.createBuffer();
  const colours = gl.createBuffer();
  const instances = gl.createBuffer();
  const discArray = gl.createVertexArray();
  const tileArray = gl.createVertexArray();
  /** @type {Map<number, WebGLTexture>} */
  const textures = new Map();
  /** @type {Float32Array | null} */
  let uploaded = null;
  let uploads = 0; // sheets sent in this picture
  let data = new Float32Array(STRIDE * 1024);
  let bytes = new Uint8Array(data.buffer);

  gl.bindVertexArray(discArray);
  attribute(positions, discs.position, 2, gl.FLOAT, false, 0, 0, 0);
  attribute(colours, discs.colour, 4, gl.UNSIGNED_BYTE, true, 0, 0, 0);
  gl.bindVertexArray(tileArray);
  attribute(instances, tiles.position, 2, gl.FLOAT, false, STRIDE * 4, 0, 1);
  attribute(instances, tiles.tile, 1, gl.FLOAT, false, STRIDE * 4, 8, 1);
  attribute(instances, tiles.colour, 4, gl.UNSIGNED_BYTE, true, STRIDE * 4, 12, 1);
  gl.bindVertexArray(null);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);

  /** @param {WebGLBuffer | null} buffer @param {number} at @param {number} size
   * @param {number} type @param {boolean} unit @param {number} stride @param {number} offset
   * @param {number} divisor */
  function attribute(buffer, at, size, type, unit, stride, offset, divisor) {
    if (!gl) return;
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, size, type, unit, stride, offset);
    gl.vertexAttribDivisor(at, divisor);
  }

  /** @param {Scene} scene */
  function recolour(scene) {
    if (!gl) return;
    gl.bindBuffer(gl.ARRAY_BUFFER, colours);
    gl.bufferData(gl.ARRAY_BUFFER, scene.colours, gl.DYNAMIC_DRAW);
  }

  /** @param {Scene} scene */
  function draw(scene) {
    if (!gl) return;
    if (uploaded !== scene.points) {
      gl.bindBuffer(gl.ARRAY_BUFFER, positions);
      gl.bufferData(gl.ARRAY_BUFFER, scene.points, gl.STATIC_DRAW);
      recolour(scene);
      uploaded = scene.points;
    }
    uploads = 0;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    const { camera } = scene;
    const across = (2 * camera.scale) / camera.width;
    const down = (2 * camera.scale) / camera.height;

    gl.useProgram(discs.handle);
    gl.uniform2f(discs.centre, camera.x, camera.y);
    gl.uniform2f(discs.scale, across, down);
    gl.uniform1f(discs.size, scene.disc * scene.ratio);
    gl.bindVertexArray(discArray);
    gl.drawArrays(gl.POINTS, 0, scene.n);
    if (scene.levels.count > 0) drawTiles(scene, across, down);
  }

  /** @param {Scene} scene @param {number} across @param {number} down */
  function drawTiles(scene, across, down) {
    const { camera, levels, sheets } = scene;
    if (!gl || !sheets) return;
    if (data.length < levels.count * STRIDE) {
      data = new Float32Array(levels.count * STRIDE * 2);
      bytes = new Uint8Array(data.buffer);
    }
    gl.useProgram(tiles.handle);
    gl.uniform2f(tiles.centre, camera.x, camera.y);
    gl.uniform2f(tiles.scale, across, down);
    gl.uniform2f(tiles.size, scene.thumb / camera.width, scene.thumb / camera.height);
    gl.uniform1f(tiles.edge, scene.edge);
    gl.uniform1i(tiles.image, 0);
    gl.bindVertexArray(tileArray);
    for (let from = 0; from < levels.count; ) {
      const sheet = sheets.sheetOf(levels.chosen[from]);
      let to = from;
      while (to < levels.count && sheets.sheetOf(levels.chosen[to]) === sheet) to += 1;
      if (bind(scene, sheet)) {
        const count = to - from;
        for (let k = 0; k < count; k += 1) write(scene, levels.chosen[from + k], k);
        gl.bindBuffer(gl.ARRAY_BUFFER, instances);
        gl.bufferData(gl.ARRAY_BUFFER, data, gl.STREAM_DRAW, 0, count * STRIDE);
        gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, count);
      }
      from = to;
    }
  }

  /** @param {Scene} scene @param {number} index @param {number} k */
  function write(scene, index, k) {
    const at = k * STRIDE;
    data[at] = scene.points[2 * index];
    data[at + 1] = scene.points[2 * index + 1];
    data[at + 2] = index % /** @type {import("./sheets.js").Sheets} */ (scene.sheets).each;
    for (let c = 0; c < 4; c += 1) bytes[4 * (at + 3) + c] = scene.colours[4 * index + c];
  }

  /** @param {Scene} scene @param {number} sheet @returns {boolean} whether it is there */
  function bind(scene, sheet) {
    const sheets = /** @type {import("./sheets.js").Sheets} */ (scene.sheets);
    const bitmap = sheets.get(sheet);
    if (!gl || !bitmap) return false;
    sheets.dropped = (old) => {
      gl.deleteTexture(textures.get(old) ?? null);
      textures.delete(old);
    };
    let texture = textures.get(sheet);
    if (!texture) {
      if (uploads > 0) return later(sheets);
      uploads += 1;
      texture = sheetTexture(gl, bitmap);
      textures.set(sheet, texture);
    }
    const { tile } = sheets.atlas;
    gl.uniform3f(tiles.sheet, bitmap.width / tile, bitmap.height / tile, tile); // the last is shorter
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    return true;
  }

  /** One sheet a frame: the hand does not wait for all of them. @param {import("./sheets.js").Sheets} sheets */
  function later(sheets) {
    sheets.arrived();
    return false;
  }

  return { draw, recolour, kind: "webgl2" };
}
