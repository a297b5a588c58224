// Drawing with WebGL2: one mesh, and lines of any width as quads, one instance a segment.

const MESH_VERTEX = `#version 300 es
in vec3 position; in vec3 normal; in vec2 uv; in vec4 color; in float deviation;
uniform mat4 clipFromLocal;
out vec3 vNormal; out vec2 vUv; out vec3 vColor; out vec3 vPosition; out float vDeviation;
void main() {
  vNormal = normal; vUv = uv; vColor = color.rgb; vPosition = position; vDeviation = deviation;
  gl_Position = clipFromLocal * vec4(position, 1.0);
}`;

const MESH_FRAGMENT = `#version 300 es
precision highp float;
in vec3 vNormal; in vec2 vUv; in vec3 vColor; in vec3 vPosition; in float vDeviation;
uniform sampler2D picture;
uniform int shading;  // 0 texture, 1 vertex colours, 2 clay, 3 normals, 4 nothing: for picking, 5 deviation
uniform vec3 eye; uniform vec3 right; uniform vec3 down;
out vec4 result;
void main() {
  if (shading == 4) { result = vec4(0.0); return; }
  if (shading == 0) { result = vec4(texture(picture, vUv).rgb, 1.0); return; }
  if (shading == 1) {
    vec3 low = vColor * 12.92, high = 1.055 * pow(vColor, vec3(1.0 / 2.4)) - 0.055;
    result = vec4(mix(high, low, lessThanEqual(vColor, vec3(0.0031308))), 1.0);
    return;
  }
  if (shading == 5) {  // blue inside of the solid, white on it, red outside
    float d = clamp(vDeviation, -1.0, 1.0), a = abs(d);
    vec3 half_ = d < 0.0 ? vec3(0.573, 0.773, 0.871) : vec3(0.957, 0.647, 0.510);
    vec3 full = d < 0.0 ? vec3(0.129, 0.400, 0.675) : vec3(0.698, 0.094, 0.169);
    result = vec4(a < 0.5 ? mix(vec3(0.969), half_, 2.0 * a) : mix(half_, full, 2.0 * a - 1.0), 1.0);
    return;
  }
  vec3 n = normalize(vNormal), toEye = normalize(eye - vPosition);
  if (shading == 3) { result = vec4(0.5 + 0.5 * n, 1.0); return; }
  if (dot(n, toEye) < 0.0) n = -n;  // the inside of an open mesh is lit too
  vec3 key = normalize(toEye - 0.6 * right - 0.8 * down);
  float light = 0.30 + 0.62 * max(dot(n, key), 0.0) + 0.16 * max(dot(n, toEye), 0.0);
  result = vec4(pow(vec3(0.57, 0.54, 0.50) * light, vec3(1.0 / 2.2)), 1.0);
}`;

const SOLID_VERTEX = `#version 300 es
in vec3 position; in vec3 normal; in vec3 color; in float owner;
uniform mat4 clipFromLocal; uniform float chosen;
out vec3 vNormal; out vec3 vColor; out vec3 vPosition; flat out float vOwner;
void main() {
  vNormal = normal; vPosition = position; vOwner = owner;
  vColor = owner == chosen ? vec3(1.0, 0.78, 0.0) : color;
  gl_Position = clipFromLocal * vec4(position, 1.0);
}`;

const SOLID_FRAGMENT = `#version 300 es
precision highp float;
in vec3 vNormal; in vec3 vColor; in vec3 vPosition; flat in float vOwner;
uniform bool picking; uniform vec3 eye; uniform vec3 right; uniform vec3 down;
out vec4 result;
void main() {
  if (picking) {
    float id = vOwner + 1.0;
    result = vec4(mod(id, 256.0), mod(floor(id / 256.0), 256.0), floor(id / 65536.0), 255.0) / 255.0;
    return;
  }
  vec3 n = normalize(vNormal), toEye = normalize(eye - vPosition);
  if (dot(n, toEye) < 0.0) n = -n;
  vec3 key = normalize(toEye - 0.6 * right - 0.8 * down);
  float light = 0.42 + 0.55 * max(dot(n, key), 0.0) + 0.12 * max(dot(n, toEye), 0.0);
  result = vec4(pow(pow(vColor, vec3(2.2)) * light, vec3(1.0 / 2.2)), 1.0);
}`;

const LINE_VERTEX = `#version 300 es
in vec2 corner;  // x: 0 at the start, 1 at the end; y: -1, 1 across
in vec3 start; in vec3 end; in vec3 color; in float owner;
uniform mat4 clipFromLocal;
uniform vec3 eye; uniform vec2 size; uniform float width; uniform float lift; uniform float chosen; uniform bool picking; uniform float opacity;
out vec4 vColor;
void main() {
  bool isChosen = owner == chosen && chosen >= 0.0;
  // A little nearer to the eye on the same ray, so that a curve on the surface is seen.
  vec4 a = clipFromLocal * vec4(start + lift * normalize(eye - start), 1.0);
  vec4 b = clipFromLocal * vec4(end + lift * normalize(eye - end), 1.0);
  const float NEAR = 1e-3;
  if (a.w < NEAR && b.w < NEAR) { gl_Position = vec4(2.0, 2.0, 2.0, 1.0); return; }
  if (a.w < NEAR) a = mix(a, b, (NEAR - a.w) / (b.w - a.w));
  if (b.w < NEAR) b = mix(b, a, (NEAR - b.w) / (a.w - b.w));
  vec2 along = (b.xy / b.w - a.xy / a.w) * size;
  along = length(along) > 1e-6 ? normalize(along) : vec2(1.0, 0.0);
  float half_ = 0.5 * width * (isChosen ? 2.2 : 1.0);
  vec4 p = corner.x < 0.5 ? a : b;
  // Ends stick out by a third of the width: no gaps between the pieces of a curve.
  vec2 offset = vec2(-along.y, along.x) * corner.y * half_ + along * (corner.x < 0.5 ? -1.0 : 1.0) * half_ * 0.66;
  p.xy += 2.0 * offset / size * p.w;
  gl_Position = p;
  float id = owner + 1.0;
  vColor = picking ? vec4(mod(id, 256.0), mod(floor(id / 256.0), 256.0), floor(id / 65536.0), 255.0) / 255.0
                   : vec4(isChosen ? vec3(1.0, 0.78, 0.0) : color, opacity);
}`;

const LINE_FRAGMENT = `#version 300 es
precision highp float;
in vec4 vColor;
out vec4 result;
void main() { result = vec4(vColor.rgb * vColor.a, vColor.a); }`;

function program(gl, vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
  const uniforms = {};
  for (let i = 0; i < gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS); i++) {
    const name = gl.getActiveUniform(made, i).name;
    uniforms[name] = gl.getUniformLocation(made, name);
  }
  return { program: made, uniforms, at: name => gl.getAttribLocation(made, name) };
}

function attribute(gl, made, name, data, size, kind, normalized, stride = 0, offset = 0, divisor = 0) {
  const place = made.at(name);
  if (place < 0) return;
  if (data) {
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
  }
  gl.enableVertexAttribArray(place);
  gl.vertexAttribPointer(place, size, kind, normalized, stride, offset);
  gl.vertexAttribDivisor(place, divisor);
}

class Stage {
  constructor(canvas) {
    const gl = canvas.getContext("webgl2", { antialias: true, alpha: false });
    if (!gl) throw new Error("this browser does not offer WebGL 2");
    Object.assign(this, { canvas, gl, mesh: null, solid: null, lines: new Map() });
    this.meshProgram = program(gl, MESH_VERTEX, MESH_FRAGMENT);
    this.solidProgram = program(gl, SOLID_VERTEX, SOLID_FRAGMENT);
    this.lineProgram = program(gl, LINE_VERTEX, LINE_FRAGMENT);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  // Corners one by one; owners are numbers that pick() answers with.
  setSolid(positions, normals, colors, owners) {
    const { gl, solidProgram: made } = this, array = gl.createVertexArray();
    gl.bindVertexArray(array);
    attribute(gl, made, "position", positions, 3, gl.FLOAT, false);
    attribute(gl, made, "normal", normals, 3, gl.FLOAT, false);
    attribute(gl, made, "color", colors, 3, gl.FLOAT, false);
    attribute(gl, made, "owner", owners, 1, gl.FLOAT, false);
    gl.bindVertexArray(null);
    this.solid = { array, count: owners.length };
  }

  async setMesh(read, center, radius, deviation) {
    const { gl, meshProgram: made } = this, array = gl.createVertexArray();
    gl.bindVertexArray(array);
    attribute(gl, made, "position", toLocal(read.positions, read.translation, center, radius), 3, gl.FLOAT, false);
    attribute(gl, made, "normal", read.normals, 3, gl.FLOAT, false);
    if (read.uv) attribute(gl, made, "uv", read.uv, 2, gl.FLOAT, false);
    if (read.colors) attribute(gl, made, "color", read.colors, 4, gl.UNSIGNED_SHORT, true);
    if (deviation) attribute(gl, made, "deviation", deviation, 1, gl.FLOAT, false);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, read.indices, gl.STATIC_DRAW);
    gl.bindVertexArray(null);
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    if (read.picture) {
      const bitmap = await createImageBitmap(read.picture, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
      gl.generateMipmap(gl.TEXTURE_2D);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAX_LOD, 3);  // smaller copies of an atlas mix its charts
    } else gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array([255, 255, 255, 255]));
    this.mesh = { array, texture, count: read.indices.length, own: read.picture ? 0 : read.colors ? 1 : 2 };
  }

  // Segments are rows of ten numbers: start, end, colour, owner (-1: cannot be picked).
  setLines(name, rows) {
    const { gl, lineProgram: made } = this, array = gl.createVertexArray();
    gl.bindVertexArray(array);
    attribute(gl, made, "corner", new Float32Array([0, -1, 1, -1, 0, 1, 1, 1]), 2, gl.FLOAT, false);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(rows), gl.STATIC_DRAW);
    for (const [field, size, offset] of [["start", 3, 0], ["end", 3, 12], ["color", 3, 24], ["owner", 1, 36]])
      attribute(gl, made, field, null, size, gl.FLOAT, false, 40, offset, 1);
    gl.bindVertexArray(null);
    this.lines.set(name, { array, count: rows.length / 10 });
  }

  // what: {mesh: shading or null, solid: whether, lines: [{name, width, lift, hidden}], chosen, background}
  draw(view, what, picking = false) {
    const { gl, canvas } = this, matrix = view.matrix(canvas.width, canvas.height);
    const [r, g, b] = picking ? [0, 0, 0] : what.background;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(r, g, b, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.disable(gl.BLEND);
    if (this.mesh && what.mesh !== null) {
      const { program: made, uniforms: u } = this.meshProgram;
      gl.useProgram(made);
      gl.uniformMatrix4fv(u.clipFromLocal, false, matrix);
      gl.uniform1i(u.shading, picking ? 4 : what.mesh);
      gl.uniform3fv(u.eye, view.eye);
      gl.uniform3fv(u.right, view.axes[0]);
      gl.uniform3fv(u.down, view.axes[1]);
      gl.bindTexture(gl.TEXTURE_2D, this.mesh.texture);
      gl.bindVertexArray(this.mesh.array);
      gl.drawElements(gl.TRIANGLES, this.mesh.count, gl.UNSIGNED_INT, 0);
    }
    if (this.solid && what.solid) {
      const { program: made, uniforms: u } = this.solidProgram;
      gl.useProgram(made);
      gl.uniformMatrix4fv(u.clipFromLocal, false, matrix);
      gl.uniform1i(u.picking, picking ? 1 : 0);
      gl.uniform1f(u.chosen, what.chosen);
      gl.uniform3fv(u.eye, view.eye);
      gl.uniform3fv(u.right, view.axes[0]);
      gl.uniform3fv(u.down, view.axes[1]);
      gl.bindVertexArray(this.solid.array);
      gl.drawArrays(gl.TRIANGLES, 0, this.solid.count);
    }
    const { program: made, uniforms: u } = this.lineProgram;
    gl.useProgram(made);
    gl.uniformMatrix4fv(u.clipFromLocal, false, matrix);
    gl.uniform3fv(u.eye, view.eye);
    gl.uniform2f(u.size, canvas.width, canvas.height);
    gl.uniform1f(u.chosen, what.chosen);
    gl.uniform1i(u.picking, picking ? 1 : 0);
    const segments = (line, width, opacity) => {
      const { array, count } = this.lines.get(line.name);
      gl.uniform1f(u.width, width);
      gl.uniform1f(u.lift, line.lift);
      gl.uniform1f(u.opacity, opacity);
      gl.bindVertexArray(array);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, count);
    };
    const scale = window.devicePixelRatio || 1;
    for (const line of what.lines) {
      if (line.hidden && !picking) {  // what the surface hides, faintly; it does not change depths
        gl.enable(gl.BLEND);
        gl.depthFunc(gl.GREATER);
        gl.depthMask(false);
        segments(line, line.width * scale * 0.7, 0.35);
        gl.depthFunc(gl.LESS);
        gl.depthMask(true);
        gl.disable(gl.BLEND);
      }
      segments(line, (picking ? 12 : line.width) * scale, 1);
    }
    gl.bindVertexArray(null);
  }

  // The owner of the line or of the solid's face at a place of the canvas, or -1. The surface hides what is behind it.
  pick(view, what, x, y) {
    const { gl, canvas } = this, scale = canvas.width / canvas.clientWidth;
    const frame = gl.createFramebuffer(), color = gl.createRenderbuffer(), depth = gl.createRenderbuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    for (const [buffer, format, place] of [[color, gl.RGBA8, gl.COLOR_ATTACHMENT0], [depth, gl.DEPTH_COMPONENT24, gl.DEPTH_ATTACHMENT]]) {
      gl.bindRenderbuffer(gl.RENDERBUFFER, buffer);
      gl.renderbufferStorage(gl.RENDERBUFFER, format, canvas.width, canvas.height);
      gl.framebufferRenderbuffer(gl.FRAMEBUFFER, place, gl.RENDERBUFFER, buffer);
    }
    this.draw(view, what, true);
    const pixel = new Uint8Array(4);
    gl.readPixels(Math.round(x * scale), Math.round(canvas.height - 1 - y * scale), 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.deleteFramebuffer(frame);
    gl.deleteRenderbuffer(color);
    gl.deleteRenderbuffer(depth);
    return pixel[0] + 256 * pixel[1] + 65536 * pixel[2] - 1;
  }
}
