// The page: what it carries, its switches, and when it draws (only when something changed).

const element = (tag, attributes = {}, ...inside) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false) made.setAttribute(name, value);
  }
  made.append(...inside);
  return made;
};

const NARROW = 640;  // pixels: there is no room for the panel beside the object

const rgb = hex => [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16) / 255);
const floats = text => {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Float32Array(bytes.buffer);
};

function curveRows(curves, colors, shown) {
  const rows = [];
  curves.forEach((curve, owner) => {
    if (!shown.has(curve.type)) return;
    const p = curve.local, color = rgb(colors[curve.type]);
    for (let i = 0; i + 5 < p.length; i += 3) rows.push(...p.subarray(i, i + 6), ...color, owner);
  });
  return rows;
}

function cameraRows(cameras, length) {
  const rows = [];
  for (const c of cameras) {
    const color = c.split === "test" ? rgb("#e8791a") : rgb("#4a78d0");
    const at = (u, v) => {
      const x = (u - c.cx) / c.fx * length, y = (v - c.cy) / c.fy * length;
      return plus(c.eye, plus(plus(scaled(c.axes[0], x), scaled(c.axes[1], y)), scaled(c.axes[2], length)));
    };
    const corners = [at(0, 0), at(c.width, 0), at(c.width, c.height), at(0, c.height)], top = at(c.width / 2, -0.25 * c.height);
    const pairs = corners.flatMap((p, i) => [[c.eye, p], [p, corners[(i + 1) % 4]]]);
    for (const [a, b] of [...pairs, [corners[0], top], [corners[1], top]]) rows.push(...a, ...b, ...color, -1);
  }
  return rows;
}

function edgeRows(edges) {
  const rows = [];
  for (const p of edges) for (let i = 0; i + 5 < p.length; i += 3) rows.push(...p.subarray(i, i + 6), 0.08, 0.09, 0.1, -1);
  return rows;
}

async function start() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const canvas = document.getElementById("stage"), panel = document.getElementById("layers"), info = document.getElementById("chosen");
  const stage = new Stage(canvas), view = new View(data.up, 0.7, data.home);
  const side = document.getElementById("side"), hint = document.getElementById("hint"), touch = document.getElementById("touch");
  if (innerWidth <= NARROW) side.open = false;  // on a phone it would cover what there is to see
  const fingers = matchMedia("(pointer: coarse)").matches, verb = fingers ? "Tap" : "Click";
  if (fingers) {
    hint.textContent = touch.textContent = "One finger turns, two move and come nearer.";
    touch.hidden = false;
    canvas.addEventListener("pointerdown", () => { touch.hidden = true; }, { once: true });
  }
  for (const curve of data.curves) curve.local = floats(curve.points);
  for (const c of data.cameras) c.axes = [0, 1, 2].map(k => c.rotation.map(row => row[k]));
  if (data.mesh) await stage.setMesh(readGlb(bytesOf("mesh")), data.center, data.radius, data.deviation && floats(data.deviation));
  const solid = data.solid, first = data.curves.length;  // faces are counted after the curves
  if (solid) stage.setSolid(floats(solid.positions), floats(solid.normals), floats(solid.colors), floats(solid.owners).map(f => f + first));

  const types = Object.keys(data.colors).filter(t => data.curves.some(c => c.type === t));
  // where there is a solid, it is seen first: it lies in the surface, and has edges of its own
  const state = { mesh: !solid, solid: Boolean(solid), shading: stage.mesh ? stage.mesh.own : 2, curves: !solid, hidden: false,
    cameras: !stage.mesh && !solid && !types.length, types: new Set(types), chosen: -1 };
  const buildCurves = () => stage.setLines("curves", curveRows(data.curves, data.colors, state.types));
  buildCurves();
  stage.setLines("cameras", cameraRows(data.cameras, 0.16));
  if (solid) stage.setLines("edges", edgeRows(solid.edges.map(floats)));

  let waiting = false;
  const what = () => ({
    mesh: state.mesh && stage.mesh ? state.shading : null,
    solid: state.solid,
    lines: [
      ...(state.cameras ? [{ name: "cameras", width: 1.3, lift: 0, hidden: false }] : []),
      ...(state.solid ? [{ name: "edges", width: 1.6, lift: 0.003, hidden: state.hidden }] : []),
      ...(state.curves ? [{ name: "curves", width: 3, lift: 0.008, hidden: state.hidden }] : []),
    ],
    chosen: state.chosen,
    background: rgb(getComputedStyle(document.documentElement).getPropertyValue("--stage").trim()),
  });
  const draw = () => {
    waiting = false;
    const scale = window.devicePixelRatio || 1;
    const width = Math.max(Math.round(canvas.clientWidth * scale), 1), height = Math.max(Math.round(canvas.clientHeight * scale), 1);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    // Beside the open panel, where there is room for both.
    view.covered = side.open && canvas.clientWidth > NARROW ? (side.offsetLeft + side.offsetWidth) * scale : 0;
    stage.draw(view, what());
    document.body.dataset.drawn = String(Number(document.body.dataset.drawn || 0) + 1);
  };
  const changed = () => {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  };

  const choose = owner => {
    state.chosen = owner;
    const curve = data.curves[owner], face = solid && solid.faces[owner - first];
    info.hidden = !curve && !face;
    if (face) info.replaceChildren(...face.flatMap((l, i) => (i ? [element("br"), l] : [element("b", {}, l)])));
    if (curve) {
      const lines = [`${curve.type} ${owner}`, `length ${Number(curve.length.toPrecision(4))} ${data.unit}`];
      if (curve.support) lines.push(`seen in ${curve.support} views`);
      if (curve.rmse_px !== null) lines.push(`${curve.rmse_px.toFixed(2)} px from the images`);
      info.replaceChildren(...lines.flatMap((l, i) => (i ? [element("br"), l] : [element("b", {}, l)])));
    }
    changed();
  };
  control(canvas, view, () => { document.getElementById("from").value = ""; changed(); }, (x, y) => {
    const only = { ...what(), lines: what().lines.filter(l => l.name === "curves") };
    choose(stage.pick(view, only, x, y));
  });

  const check = (text, on, act, color) => element("label", {},
    element("input", { type: "checkbox", checked: on, onchange: e => { act(e.target.checked); changed(); } }),
    ...(color ? [element("span", { class: "swatch", style: `background:${color}` })] : []), text);
  if (stage.mesh) {
    const names = [...(data.deviation ? [[5, "deviation from the solid"]] : []), ...(stage.mesh.own === 2 ? [] : [[stage.mesh.own, "as photographed"]]), [2, "clay"], [3, "normals"]];
    const shading = element("select", { "aria-label": "shading of the surface", onchange: e => { state.shading = Number(e.target.value); changed(); } },
      ...names.map(([value, text]) => element("option", { value }, text)));
    shading.value = String(state.shading);
    panel.append(element("div", { class: "row" }, check("Surface", state.mesh, on => { state.mesh = on; }), shading));
    if (data.deviation) {
      const reach = `${Number(solid.reach.toPrecision(2))} ${data.unit}`;
      panel.append(element("div", { class: "scale", title: "blue: the surface lies inside of the solid; red: outside" },
        element("span", {}, `-${reach}`), element("span", { class: "bar" }), element("span", {}, `+${reach}`)));
    }
  }
  if (solid) {
    hint.append(` ${verb} a face of the solid to read it.`);
    panel.append(check(`${solid.closed ? "Solid" : "Open shell"} (${solid.faces.length})`, true, on => { state.solid = on; }));
    const list = element("div", { class: "inner" });
    for (const [kind, color] of Object.entries(solid.kinds))
      list.append(element("span", { class: "row kind" }, element("span", { class: "swatch", style: `background:${color}` }), `${kind} (${solid.counts[kind]})`));
    if (!types.length) list.append(check("hidden edges, faintly", false, on => { state.hidden = on; }));
    panel.append(list);
  }
  if (types.length) {
    hint.append(` ${verb} a curve to read it.`);
    panel.append(check(`Curves (${data.curves.length})`, state.curves, on => { state.curves = on; }));
    const list = element("div", { class: "inner" });
    for (const type of types) {
      const count = data.curves.filter(c => c.type === type).length;
      list.append(check(`${type} (${count})`, true, on => { state.types[on ? "add" : "delete"](type); choose(-1); buildCurves(); }, data.colors[type]));
    }
    if (stage.mesh) list.append(check("hidden ones, faintly", false, on => { state.hidden = on; }));
    panel.append(list);
  }
  panel.append(check(`Cameras (${data.cameras.length})`, state.cameras, on => { state.cameras = on; }));
  const from = element("select", { id: "from", "aria-label": "look from a camera", onchange: e => {
    if (e.target.value === "") view.reset(); else view.standAt(data.cameras[Number(e.target.value)]);
    changed();
  } }, element("option", { value: "" }, "look freely"), ...data.cameras.map((c, i) => element("option", { value: i }, c.name)));
  panel.append(from);

  document.getElementById("reset").addEventListener("click", () => { from.value = ""; view.reset(); changed(); });
  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement, dark = getComputedStyle(root).getPropertyValue("--dark").trim() === "1";
    root.dataset.theme = dark ? "light" : "dark";
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  side.addEventListener("toggle", changed);
  new ResizeObserver(changed).observe(canvas);
  canvas.addEventListener("webglcontextlost", () => fail(new Error("the graphics card dropped the page: load it again")));
  changed();
}

function fail(error) {
  const place = document.getElementById("failure");
  place.textContent = `Nothing can be shown: ${error.message}`;
  place.hidden = false;
}

start().catch(fail);
