"use strict";
// Phonon bands of one candidate along the path of its zone, with its density of states beside them.
function phononsOf(data, { axis, layout, config, colour, formula, element, bySample }) {
  const spectra = data.phonons ?? [];
  const place = document.getElementById("phonon-switch");
  if (!place || !spectra.length) return () => {};
  let shown = spectra[0];
  const greek = (name) => name.replace("GAMMA", "Γ").replace(/_(\d)/, "<sub>$1</sub>");

  function paint() {
    const { bands, density } = shown;
    const lines = [];
    const ticks = new Map();
    bands.frequencies.forEach((piece, number) => {
      const along = bands.distances[number];
      [along[0], along.at(-1)].forEach((at, end) => {
        const name = greek(bands.labels[number][end]);
        const key = at.toFixed(3);
        const known = ticks.get(key);
        ticks.set(key, known && known !== name ? `${known}|${name}` : name);
      });
      piece[0].forEach((_, band) => lines.push({ x: along, y: piece.map((row) => row[band]), mode: "lines", line: { color: colour("new"), width: 1.2 }, hoverinfo: "skip", showlegend: false }));
    });
    const states = { x: density.states, y: density.frequencies, xaxis: "x2", mode: "lines", fill: "tozerox", line: { color: colour("muted"), width: 1.2 }, hoverinfo: "skip", showlegend: false };
    const end = Math.max(...bands.distances.flat());
    Plotly.react("phonon-plot", [...lines, states], layout({
      xaxis: axis("", { domain: [0, 0.76], range: [0, end], tickvals: [...ticks.keys()].map(Number), ticktext: [...ticks.values()] }),
      xaxis2: axis("States (1/THz)", { domain: [0.8, 1], rangemode: "tozero" }),
      yaxis: axis("Frequency (THz), imaginary below zero", {}),
    }), config);
  }

  for (const spectrum of spectra) {
    const row = bySample.get(spectrum.sample);
    const button = element("button", { type: "button", "aria-pressed": spectrum === shown }, `${formula(row.formula)} <small>${row.crystal.slice(0, 6)}</small>`);
    button.addEventListener("click", () => {
      shown = spectrum;
      for (const other of place.children) other.setAttribute("aria-pressed", other === button);
      paint();
    });
    place.append(button);
  }
  return paint;
}
