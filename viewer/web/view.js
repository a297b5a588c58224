// The visitor's camera: turns about a point, or stands exactly where a photograph was taken. Matrices are column-major, as WebGL wants them.
// Camera axes are OpenCV's: x right, y down, z forward.

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const scaled = (a, s) => [a[0] * s, a[1] * s, a[2] * s];
const plus = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
const unit = a => scaled(a, 1 / Math.max(Math.hypot(...a), 1e-12));

function turned(v, axis, angle) {  // Rodrigues' formula
  const c = Math.cos(angle), s = Math.sin(angle);
  return plus(plus(scaled(v, c), scaled(cross(axis, v), s)), scaled(axis, dot(axis, v) * (1 - c)));
}

class View {
  // home: {target, radius} of the sphere that is seen at first; covered: pixels at the left of the canvas that something lies over
  constructor(up, fov, home) {
    Object.assign(this, { up, homeFov: fov, home, covered: 0 });
    this.reset();
  }

  reset() {
    const side = unit(cross(this.up, Math.abs(this.up[0]) < 0.9 ? [1, 0, 0] : [0, 1, 0]));
    const forward = unit(plus(plus(scaled(side, -0.8), scaled(cross(this.up, side), 0.5)), scaled(this.up, -0.45)));
    const x = unit(cross(forward, this.up));
    this.axes = [x, cross(forward, x), forward];
    this.target = this.home.target.slice();
    this.fov = this.homeFov;
    this.distance = 1.08 * this.home.radius / Math.sin(this.fov / 2);
    this.photograph = null;
  }

  get eye() {
    return this.photograph ? this.photograph.eye : plus(this.target, scaled(this.axes[2], -this.distance));
  }

  // Stand where a photograph was taken, with its focal lengths and principal point; the first drag goes on from there.
  standAt(camera) {
    this.axes = camera.axes.map(a => a.slice());
    this.distance = Math.max(-dot(camera.eye, camera.axes[2]), 0.2);
    this.target = plus(camera.eye, scaled(camera.axes[2], this.distance));
    this.fov = 2 * Math.atan(camera.height / 2 / camera.fy);
    this.photograph = camera;
  }

  rotate(dx, dy) {
    this.photograph = null;
    this.axes = this.axes.map(a => unit(turned(a, this.up, -dx)));
    const tilted = this.axes.map(a => unit(turned(a, this.axes[0], -dy)));
    if (Math.abs(dot(tilted[2], this.up)) < 0.998) this.axes = tilted;  // never over the pole
  }

  pan(dx, dy) {  // in heights of the picture
    this.photograph = null;
    const size = 2 * this.distance * Math.tan(this.fov / 2);
    this.target = plus(this.target, plus(scaled(this.axes[0], -dx * size), scaled(this.axes[1], -dy * size)));
  }

  zoom(factor) {
    this.photograph = null;
    this.distance = Math.min(Math.max(this.distance * factor, 0.02), 60);
  }

  // [local to camera to clip, as one matrix], for a canvas of this size
  matrix(width, height) {
    let fx, fy, cx, cy;
    if (this.photograph) {  // the whole photograph, as large as it goes
      const p = this.photograph, s = Math.min(width / p.width, height / p.height);
      [fx, fy] = [p.fx * s, p.fy * s];
      [cx, cy] = [(width - p.width * s) / 2 + p.cx * s, (height - p.height * s) / 2 + p.cy * s];
    } else {
      fx = fy = height / 2 / Math.tan(this.fov / 2) * Math.min(1, (width - this.covered) / height);
      [cx, cy] = [(width + this.covered) / 2, height / 2];
    }
    const eye = this.eye, [x, y, z] = this.axes, reach = Math.hypot(...eye);
    const far = reach + 4, near = Math.max(reach - 4, 0.002 * far);
    const t = [-dot(x, eye), -dot(y, eye), -dot(z, eye)];
    const rows = [x, y, z].map((a, i) => [...a, t[i]]);
    const mix = (a, b, s) => a.map((v, i) => s[0] * v + s[1] * b[i]);
    const clip = [
      mix(rows[0], rows[2], [2 * fx / width, 2 * cx / width - 1]),
      mix(rows[1], rows[2], [-2 * fy / height, 1 - 2 * cy / height]),
      rows[2].map((v, i) => v * (far + near) / (far - near) - (i === 3 ? 2 * far * near / (far - near) : 0)),
      rows[2],
    ];
    const out = new Float32Array(16);
    for (let r = 0; r < 4; r++) for (let c = 0; c < 4; c++) out[4 * c + r] = clip[r][c];
    return out;
  }
}

// Mouse, pen, fingers, wheel and keys.
function control(canvas, view, changed, clicked) {
  const pointers = new Map();
  let travelled = 0;
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, size: Math.max(Math.hypot(a.x - b.x, a.y - b.y), 1) };
  };
  canvas.addEventListener("pointerdown", e => {
    canvas.setPointerCapture(e.pointerId);
    if (!pointers.size) travelled = 0;
    pointers.set(e.pointerId, { x: e.clientX, y: e.clientY });
  });
  canvas.addEventListener("pointermove", e => {
    if (!pointers.has(e.pointerId)) return;
    const last = pointers.get(e.pointerId), before = pointers.size === 2 ? spread() : null;
    const dx = e.clientX - last.x, dy = e.clientY - last.y, height = canvas.clientHeight;
    pointers.set(e.pointerId, { x: e.clientX, y: e.clientY });
    travelled += Math.hypot(dx, dy);
    if (travelled < 4) return;  // a click that trembles
    if (before) {
      const now = spread();
      view.pan((now.x - before.x) / height, (now.y - before.y) / height);
      view.zoom(before.size / now.size);
    } else if (e.buttons & 2 || e.buttons & 4 || e.shiftKey) view.pan(dx / height, dy / height);
    else view.rotate(dx * 5 / height, dy * 5 / height);
    changed();
  });
  const release = e => {
    if (!pointers.delete(e.pointerId)) return;
    if (e.type === "pointerup" && travelled < 4 && e.button === 0 && !pointers.size) clicked(e.offsetX, e.offsetY);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("contextmenu", e => e.preventDefault());
  canvas.addEventListener("dblclick", () => { view.reset(); changed(); });
  canvas.addEventListener("wheel", e => {
    e.preventDefault();
    view.zoom(Math.exp(Math.max(Math.min(e.deltaY * (e.deltaMode ? 18 : 1), 300), -300) * 0.0012));
    changed();
  }, { passive: false });
  canvas.addEventListener("keydown", e => {
    const act = {
      ArrowLeft: () => view.rotate(-0.1, 0), ArrowRight: () => view.rotate(0.1, 0),
      ArrowUp: () => view.rotate(0, -0.1), ArrowDown: () => view.rotate(0, 0.1),
      "+": () => view.zoom(0.9), "-": () => view.zoom(1 / 0.9), Home: () => view.reset(),
    }[e.key];
    if (!act) return;
    e.preventDefault();
    act();
    changed();
  });
}
