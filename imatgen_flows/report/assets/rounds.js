"use strict";
// New structures that the rounds found, by their cost, beside the first round's rate continued.
function roundsOf(data, { axis, layout, config, colour, faint }) {
  if (!data.rounds) return () => {};
  const { evaluations, found, rate, near } = data.rounds;
  const [start, end] = [evaluations[0], evaluations.at(-1)];
  const [middle, low, high] = rate.map((each) => each * (end - start));
  const top = Math.max(...found, high, 1);
  return () => {
    Plotly.react("rounds-plot", [
      { x: [start, end, end], y: [0, high, low], mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: faint("muted", 0.15), hoverinfo: "skip", name: "95 % interval of that", legendrank: 3 },
      { x: [start, end], y: [0, middle], mode: "lines", line: { color: colour("muted"), dash: "dash", width: 1.3 }, hoverinfo: "skip", name: "First round’s rate, without learning", legendrank: 2 },
      { x: [0, start], y: [0, 0], mode: "lines", line: { color: colour("muted"), width: 3 }, name: "Labels and references", hovertemplate: `${start.toLocaleString("en")} evaluations before the first round<extra></extra>`, legendrank: 4 },
      {
        x: evaluations, y: found, mode: "lines+markers", name: "Found, after each round", legendrank: 1, line: { color: colour("new"), width: 2 }, marker: { size: 9 },
        hovertemplate: found.map((count, round) => `${round ? `after round ${round}` : "before the first round"}<br>${count} new within ${near} eV/atom<br>${evaluations[round].toLocaleString("en")} evaluations<extra></extra>`),
      },
    ], layout({ xaxis: axis("Energy evaluations, all together", { range: [0, 1.03 * end], tickformat: ",d" }), yaxis: axis(`New, within ${near} eV/atom`, { range: [-0.03 * top, 1.06 * top] }) }), config);
  };
}
