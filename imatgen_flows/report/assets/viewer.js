"use strict";
// The crystal of the open dialog in three dimensions, by 3Dmol.js; where a browser has no WebGL, its still drawing.
function viewerOf(data, { element, colour, drawing }) {
  const SMALLEST = 4; // neighbours of a coordination polyhedron
  const sum = (...vectors) => vectors.reduce((total, v) => total.map((x, k) => x + v[k]), [0, 0, 0]);
  const scaled = (v, by) => v.map((x) => x * by);
  const minus = (v, w) => v.map((x, k) => x - w[k]);
  const dot = (v, w) => v[0] * w[0] + v[1] * w[1] + v[2] * w[2];
  const cross = (v, w) => [v[1] * w[2] - v[2] * w[1], v[2] * w[0] - v[0] * w[2], v[0] * w[1] - v[1] * w[0]];
  const turned = (v) => data.view.map((line) => dot(line, v));
  const point = (v) => ({ x: v[0], y: v[1], z: v[2] });
  const hasWebGL = () => { const canvas = document.createElement("canvas"); return Boolean(canvas.getContext("webgl2") ?? canvas.getContext("webgl")); };
  let stage, shown; // one WebGL context for all crystals

  // atoms, bonds and centres of so many cells along each lattice vector, atoms that cells share once
  function cells(row, times) {
    const { symbols, positions, bonds, centres } = row.drawing;
    const lattice = row.cell.lattice;
    const [atoms, places, joined, central] = [[], new Map(), new Set(), new Set()];
    const steps = [...Array(times).keys()].map((step) => step - (times - 1) / 2);
    for (const p of steps) for (const q of steps) for (const r of steps) {
      const shift = sum(scaled(lattice[0], p), scaled(lattice[1], q), scaled(lattice[2], r));
      const numbers = positions.map((v, atom) => {
        const at = sum(v, shift);
        const key = at.map((x) => Math.round(x * 20)).join();
        if (!places.has(key)) places.set(key, atoms.push({ symbol: symbols[atom], at }) - 1);
        return places.get(key);
      });
      for (const [i, j] of bonds) joined.add([numbers[i], numbers[j]].sort((a, b) => a - b).join());
      for (const atom of centres) central.add(numbers[atom]);
    }
    return { atoms, bonds: [...joined].map((pair) => pair.split(",").map(Number)), centres: [...central] };
  }

  // faces of the convex hull of some points, as triangles; points of one face are sorted around it
  function faces(points) {
    const middle = scaled(sum(...points), 1 / points.length);
    const seen = new Set(), triangles = [];
    for (let i = 0; i < points.length; i++) for (let j = i + 1; j < points.length; j++) for (let k = j + 1; k < points.length; k++) {
      const normal = cross(minus(points[j], points[i]), minus(points[k], points[i]));
      const size = Math.hypot(...normal);
      if (size < 1e-3) continue;
      const heights = points.map((v) => dot(minus(v, points[i]), normal) / size);
      if (Math.max(...heights) > 0.05 && Math.min(...heights) < -0.05) continue;
      const face = points.map((_, n) => n).filter((n) => Math.abs(heights[n]) <= 0.05);
      if (seen.has(face.join())) continue;
      seen.add(face.join());
      const centre = scaled(sum(...face.map((n) => points[n])), 1 / face.length);
      const first = minus(points[face[0]], centre), second = cross(scaled(normal, 1 / size), first);
      const around = (n) => Math.atan2(dot(minus(points[n], centre), second), dot(minus(points[n], centre), first));
      const ring = [...face].sort((a, b) => around(a) - around(b));
      if (dot(normal, minus(centre, middle)) < 0) ring.reverse(); // seen from outside
      for (let n = 1; n + 1 < ring.length; n++) triangles.push([ring[0], ring[n], ring[n + 1]]);
    }
    return triangles;
  }

  function addAtoms(viewer, { atoms, bonds }) {
    const model = viewer.addModel();
    const balls = atoms.map(({ symbol, at }, index) => ({ elem: symbol, ...point(turned(at)), serial: index, index, bonds: [], bondOrder: [] }));
    for (const [i, j] of bonds) for (const [from, to] of [[i, j], [j, i]]) {
      balls[from].bonds.push(to);
      balls[from].bondOrder.push(1);
    }
    model.addAtoms(balls);
    for (const symbol of new Set(atoms.map(({ symbol }) => symbol))) {
      const [hex, radius] = data.elements[symbol];
      viewer.setStyle({ elem: symbol }, { sphere: { radius, color: hex }, stick: { radius: 0.09, color: hex } });
    }
  }

  function addPolyhedra(viewer, { atoms, bonds, centres }) {
    const near = atoms.map(() => []);
    for (const [i, j] of bonds) { near[i].push(j); near[j].push(i); }
    for (const atom of centres) {
      const corners = near[atom].map((n) => turned(atoms[n].at));
      if (corners.length < SMALLEST) continue;
      const middle = turned(atoms[atom].at);
      const vertices = faces(corners).flatMap((face) => face.map((n) => corners[n]));
      if (!vertices.length) continue; // all in one plane with its centre
      viewer.addCustom({
        vertexArr: vertices.map(point), normalArr: vertices.map((v) => point(minus(v, middle))), faceArr: vertices.map((_, n) => n),
        color: data.elements[atoms[atom].symbol][0], opacity: 0.8,
      });
    }
  }

  function addLattice(viewer, row, named) {
    for (const edge of row.drawing.edges) viewer.addCylinder({ start: point(turned(edge[0])), end: point(turned(edge[1])), radius: 0.02, color: "#808890" });
    if (!named) return;
    const corner = scaled(sum(...row.cell.lattice), -0.5);
    row.cell.lattice.forEach((vector, axis) => {
      const end = sum(corner, scaled(vector, Math.min(1, 2 / Math.hypot(...vector))));
      const hue = ["#c0392b", "#27803b", "#2a5fb0"][axis];
      viewer.addArrow({ start: point(turned(corner)), end: point(turned(end)), radius: 0.06, radiusRatio: 2.2, color: hue });
      viewer.addLabel("abc"[axis], { position: point(turned(end)), fontColor: hue, fontSize: 15, showBackground: false, alignment: "bottomLeft" });
    });
  }

  function paint(keepView) {
    const { viewer, row, polyhedra, times, axes } = shown;
    const before = viewer.getView();
    viewer.removeAllModels();
    viewer.removeAllShapes();
    viewer.removeAllLabels();
    const content = cells(row, times);
    addAtoms(viewer, content);
    if (polyhedra) addPolyhedra(viewer, content);
    addLattice(viewer, row, axes);
    if (keepView) viewer.setView(before);
    else { viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]); viewer.zoomTo(); viewer.zoom(1.1); }
    viewer.render();
    shown.box.dataset.atoms = content.atoms.length;
  }

  const KEYS = { ArrowLeft: ["y", -10], ArrowRight: ["y", 10], ArrowUp: ["x", -10], ArrowDown: ["x", 10] };
  function stageOf() {
    const box = element("div", { class: "viewer", tabindex: "0", role: "application", "aria-label": "Crystal: drag or arrow keys turn it, wheel or + and - zoom" });
    box.addEventListener("keydown", (event) => {
      if (KEYS[event.key]) shown.viewer.rotate(KEYS[event.key][1], KEYS[event.key][0]);
      else if (event.key === "+" || event.key === "-") shown.viewer.zoom(event.key === "+" ? 1.2 : 1 / 1.2);
      else return;
      event.preventDefault();
    });
    box.view = () => shown.viewer.getView();
    return { box, viewer: null };
  }

  // a button that is on or off
  function toggle(text, pressed, change) {
    const button = element("button", { type: "button", "aria-pressed": pressed }, text);
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", on);
      change(on);
    });
    return button;
  }

  return (row, place) => {
    if (!row.drawing || !hasWebGL()) {
      place.append(drawing(row));
      if (row.drawing) place.append(element("p", { class: "caption" }, "This browser shows no WebGL: the drawing turns, but it has no zoom, polyhedra or supercell."));
      return;
    }
    stage ??= stageOf();
    place.append(stage.box);
    stage.viewer ??= $3Dmol.createViewer(stage.box, { backgroundAlpha: 0, disableFog: true, antialias: true });
    shown = { viewer: stage.viewer, box: stage.box, row, polyhedra: true, times: 1, axes: true };
    const tools = element("div", { class: "row switches" });
    const reset = element("button", { type: "button" }, "Reset");
    reset.addEventListener("click", () => paint(false));
    tools.append(
      toggle("Polyhedra", true, (on) => { shown.polyhedra = on; paint(true); }),
      toggle("2 × 2 × 2 cells", false, (on) => { shown.times = on ? 2 : 1; paint(false); }),
      toggle("Axes", true, (on) => { shown.axes = on; paint(true); }),
      reset);
    place.append(tools);
    requestAnimationFrame(() => { stage.viewer.resize(); paint(false); }); // once the dialog has its size
  };
}
