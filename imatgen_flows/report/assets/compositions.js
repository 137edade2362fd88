"use strict";
// The most frequent compositions: a strip of structures each, by sampler, with the hull; one energy scale at a time.
function compositionsOf(data, { $, bySample, axis, layout, config, colour, faint, element, escaped, formula, fixed, candidateHover, SAMPLER_SYMBOLS, E_HULL }) {
  if (!data.compositions) return () => {};
  const { views, made } = data.compositions;
  let view = views[0];

  function hull(place, at) {
    const band = { mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: faint("muted", 0.13), hoverinfo: "skip", showlegend: false };
    const line = { mode: "lines", line: { color: colour("ink"), width: 1 }, hoverinfo: "skip", showlegend: false };
    const mark = { ...line, line: { color: colour("ink"), width: 2.5 }, name: "Hull", legendgroup: "hull" };
    const known = view.places.filter((name) => name in view.hull);
    const strips = known.filter((name) => name in made).map((name) => [[place(name) - 0.35, place(name) + 0.35], [view.hull[name], view.hull[name]]]);
    const whole = [known.map(place), known.map((name) => view.hull[name])];
    const above = ([x, y]) => ({ ...band, x: [...x, ...[...x].reverse()], y: [...y, ...[...y].reverse().map((energy) => energy + view.band)] });
    return [
      ...(view.band ? (view.continuous ? [whole] : strips).map(above) : []),
      ...(view.continuous ? [{ ...line, x: whole[0], y: whole[1] }] : []),
      ...strips.map(([x, y], number) => ({ ...mark, x, y, showlegend: !number })),
    ];
  }

  function phases(place) {
    const kinds = [[(phase) => phase.kind === "substituted", "Substituted, on the hull", "circle-open"], [(phase) => phase.kind !== "substituted", "Known phase", "circle"]];
    return kinds.map(([wanted, name, symbol]) => [view.phases.filter(wanted), name, symbol]).filter(([rows]) => rows.length).map(([rows, name, symbol]) => ({
      x: rows.map((phase) => place(phase.formula)), y: rows.map((phase) => phase.formation_energy), mode: "markers", name,
      hovertemplate: rows.map((phase) => `<b>${formula(phase.formula)}</b>  ${escaped(phase.name)}<br>${E_HULL} ${fixed(phase.e_above_hull, 3)} eV/atom<br>${escaped(phase.source)}<extra></extra>`),
      marker: { symbol, size: 8, color: colour("ink"), line: { width: 1.4, color: colour("ink") } },
    }));
  }

  function candidates(place) {
    const rows = view.candidates.map((sample) => bySample.get(sample));
    return Object.entries(data.samplers).flatMap(([sampler, label], number) => {
      const drawn = rows.filter((row) => row.sampler === sampler);
      return drawn.length ? [{
        x: drawn.map((row) => place(row.formula) + view.lanes[sampler]), y: drawn.map((row) => row[view.energy]), mode: "markers",
        name: `New, ${escaped(label.toLowerCase())} (${drawn.length})`, hovertemplate: drawn.map(candidateHover),
        marker: { symbol: SAMPLER_SYMBOLS[number % 5], size: 9, color: colour(`m${number % 5}`), line: { width: 1.6, color: colour(`m${number % 5}`) } },
      }] : [];
    });
  }

  function plot() {
    const place = (name) => view.places.indexOf(name);
    const labels = view.places.map((name) => (name in made ? `<b>${formula(name)}</b><br>${made[name]} made` : formula(name)));
    Plotly.react("compositions-plot", [...hull(place), ...phases(place), ...candidates(place)], layout({
      xaxis: axis("", { tickmode: "array", tickvals: view.places.map((_, number) => number), ticktext: labels, range: [-0.6, view.places.length - 0.4], showgrid: false }),
      yaxis: axis(`Formation ${data.quantity}, ${escaped(view.scale)} (eV/atom)`),
    }), config);
  }

  if (views.length > 1)
    for (const other of views) {
      const button = element("button", { type: "button", "aria-pressed": other === view }, `By ${escaped(other.scale)}`);
      button.addEventListener("click", () => {
        view = other;
        for (const one of $("compositions-switch").children) one.setAttribute("aria-pressed", one === button);
        plot();
      });
      $("compositions-switch").append(button);
    }
  return plot;
}
