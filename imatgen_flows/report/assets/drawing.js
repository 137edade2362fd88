"use strict";
// Still drawings of crystals, as SVG, which a drag turns: for cards, and where a browser has no WebGL.
function drawingsOf(data, { element, escaped }) {
  const SVG = "http://www.w3.org/2000/svg";
  const turned = (m, v) => m.map((row) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
  const product = (a, b) => a.map((row) => [0, 1, 2].map((k) => row[0] * b[0][k] + row[1] * b[1][k] + row[2] * b[2][k]));
  const shade = (hex, by) => `color-mix(in srgb, ${hex}, ${by})`;

  document.body.insertAdjacentHTML("beforeend", `<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>${Object.entries(data.elements).map(([symbol, [hex]]) =>
    `<radialGradient id="ball-${symbol}" cx="0.36" cy="0.34" r="0.75"><stop offset="0" style="stop-color:${shade(hex, "white 55%")}"/><stop offset="0.5" style="stop-color:${hex}"/><stop offset="1" style="stop-color:${shade(hex, "black 38%")}"/></radialGradient>`).join("")}</defs></svg>`);

  function drawing(row) {
    const scene = row.drawing;
    if (!scene) return element("p", { class: "caption" }, escaped(row.not_drawn));
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "crystal");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `Crystal structure of ${row.formula}, ${row.spacegroup}`);
    const size = 0.85 * Math.max(...[...scene.positions, ...scene.edges.flat()].map((v) => Math.hypot(...v))) + 0.4;
    svg.setAttribute("viewBox", `${-size} ${-size} ${2 * size} ${2 * size}`);
    let view = data.view;
    function paint() {
      const atoms = scene.positions.map((v) => turned(view, v));
      const parts = [];
      for (const [from, to] of scene.edges.map((edge) => edge.map((v) => turned(view, v))))
        parts.push([(from[2] + to[2]) / 2, `<line class="edge" x1="${from[0].toFixed(2)}" y1="${(-from[1]).toFixed(2)}" x2="${to[0].toFixed(2)}" y2="${(-to[1]).toFixed(2)}"/>`]);
      for (const [i, j] of scene.bonds) {
        const middle = atoms[i].map((v, k) => (v + atoms[j][k]) / 2);
        for (const end of [i, j]) {
          const along = atoms[end].map((v, k) => middle[k] - v);
          const start = (0.8 * data.elements[scene.symbols[end]][1]) / Math.hypot(...along);
          const a = atoms[end].map((v, k) => v + start * along[k]); // from the surface of the ball
          parts.push([(a[2] + middle[2]) / 2, `<line x1="${a[0].toFixed(2)}" y1="${(-a[1]).toFixed(2)}" x2="${middle[0].toFixed(2)}" y2="${(-middle[1]).toFixed(2)}" style="stroke:${shade(data.elements[scene.symbols[end]][0], "black 12%")}" stroke-width="0.16"/>`]);
        }
      }
      atoms.forEach((a, i) => parts.push([a[2], `<circle cx="${a[0].toFixed(2)}" cy="${(-a[1]).toFixed(2)}" r="${data.elements[scene.symbols[i]][1].toFixed(2)}" fill="url(#ball-${scene.symbols[i]})"/>`]));
      svg.innerHTML = parts.sort((a, b) => a[0] - b[0]).map((part) => part[1]).join("");
    }
    svg.addEventListener("pointerdown", (event) => svg.setPointerCapture(event.pointerId));
    svg.addEventListener("pointermove", (event) => {
      if (!svg.hasPointerCapture(event.pointerId)) return;
      const [p, q] = [event.movementX * 0.01, event.movementY * 0.01];
      const about_y = [[Math.cos(p), 0, Math.sin(p)], [0, 1, 0], [-Math.sin(p), 0, Math.cos(p)]];
      const about_x = [[1, 0, 0], [0, Math.cos(q), -Math.sin(q)], [0, Math.sin(q), Math.cos(q)]];
      view = product(about_x, product(about_y, view));
      paint();
    });
    paint();
    return svg;
  }
  const legend = (row) => `<div class="elements">${[...new Set(row.drawing?.symbols ?? [])].sort().map((symbol) => `<span><i style="background:${data.elements[symbol][0]}"></i>${symbol}</span>`).join("")}</div>`;
  return { drawing, legend };
}
