// @ts-check
/** The two programs of the map, and a sheet of thumbnails as a texture. */

const SOURCES = {
  discs: {
    vertex: `#version 300 es
      in vec2 position; in vec4 colour;
      uniform vec2 centre; uniform vec2 scale; uniform float size;
      out vec4 ink;
      void main() {
        gl_Position = vec4((position - centre) * scale, 0.0, 1.0);
        gl_PointSize = size;
        ink = colour;
      }`,
    fragment: `#version 300 es
      precision highp float;
      in vec4 ink; uniform float size; out vec4 pixel;
      void main() {
        float far = length(gl_PointCoord - 0.5) * size;
        float cover = clamp(size * 0.5 - far + 0.25, 0.0, 1.0) * ink.a * 0.86;
        pixel = vec4(ink.rgb * cover, cover);
      }`,
  },
  tiles: {
    vertex: `#version 300 es
      in vec2 position; in float tile; in vec4 colour;
      uniform vec2 centre; uniform vec2 scale; uniform vec2 size; uniform vec3 sheet;
      out vec2 corner; out vec2 place; out vec4 ink;
      void main() {
        corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
        vec2 at = (position - centre) * scale + (corner * 2.0 - 1.0) * size * vec2(1.0, -1.0);
        gl_Position = vec4(at, 0.0, 1.0);
        float row = floor((tile + 0.5) / sheet.x);
        vec2 inset = mix(vec2(0.5 / sheet.z), vec2(1.0 - 0.5 / sheet.z), corner);
        place = (vec2(tile - row * sheet.x, row) + inset) / sheet.xy;
        ink = colour;
      }`,
    fragment: `#version 300 es
      precision highp float;
      in vec2 corner; in vec2 place; in vec4 ink;
      uniform sampler2D image; uniform float edge; out vec4 pixel;
      void main() {
        vec2 bent = max(abs(corner - 0.5) * 2.0 - 0.78, 0.0);
        float inside = 0.22 - length(bent); // to the rounded edge, in half widths
        float pixelWide = fwidth(corner.x) * 2.0;
        float cover = clamp(inside / pixelWide + 0.5, 0.0, 1.0) * ink.a;
        float border = clamp((edge - inside) / pixelWide + 0.5, 0.0, 1.0) * step(0.001, edge);
        vec3 shown = mix(texture(image, place).rgb, ink.rgb, border);
        pixel = vec4(shown * cover, cover);
      }`,
  },
};

/** @param {WebGL2RenderingContext} gl @param {number} type @param {string} source */
function shader(gl, type, source) {
  const handle = /** @type {WebGLShader} */ (gl.createShader(type));
  gl.shaderSource(handle, source);
  gl.compileShader(handle);
  if (!gl.getShaderParameter(handle, gl.COMPILE_STATUS)) {
    throw new Error(`shader: ${gl.getShaderInfoLog(handle)}`);
  }
  return handle;
}

/** @param {WebGL2RenderingContext} gl @param {"discs" | "tiles"} name */
export function program(gl, name) {
  const handle = /** @type {WebGLProgram} */ (gl.createProgram());
  gl.attachShader(handle, shader(gl, gl.VERTEX_SHADER, SOURCES[name].vertex));
  gl.attachShader(handle, shader(gl, gl.FRAGMENT_SHADER, SOURCES[name].fragment));
  gl.linkProgram(handle);
  if (!gl.getProgramParameter(handle, gl.LINK_STATUS)) {
    throw new Error(`program ${name}: ${gl.getProgramInfoLog(handle)}`);
  }
  /** @param {string} what */
  const uniform = (what) => gl.getUniformLocation(handle, what);
  return {
    handle,
    position: gl.getAttribLocation(handle, "position"),
    colour: gl.getAttribLocation(handle, "colour"),
    tile: gl.getAttribLocation(handle, "tile"),
    centre: uniform("centre"),
    scale: uniform("scale"),
    size: uniform("size"),
    sheet: uniform("sheet"),
    edge: uniform("edge"),
    image: uniform("image"),
  };
}

/** @param {WebGL2RenderingContext} gl @param {ImageBitmap} bitmap */
export function sheetTexture(gl, bitmap) {
  const texture = /** @type {WebGLTexture} */ (gl.createTexture());
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.generateMipmap(gl.TEXTURE_2D);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAX_LOD, 2); // beyond, neighbours would run together
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  return texture;
}
