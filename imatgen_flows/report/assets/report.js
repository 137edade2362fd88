"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const binary = data.system.length === 2;
  const CLASS_SYMBOLS = { new: "circle", substituted: "diamond", known: "square", duplicate: "x-thin" };
  const SAMPLER_SYMBOLS = ["triangle-up-open", "x-thin", "square-open", "diamond-open", "triangle-down-open"];

  // ---- text -------------------------------------------------------------------------------------------------------
  const escaped = (text) => String(text ?? "").replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  const formula = (text) => escaped(text).replace(/([A-Za-z)])([\d.]+)/g, "$1<sub>$2</sub>");
  const group = (text) => escaped(text).replace(/-(\d)/g, "<span class=over>$1</span>").replace(/_(\d)/g, "<sub>$1</sub>");
  const plainGroup = (text) => escaped(text).replace(/-(\d)/g, "$1\u0305").replace(/_(\d)/g, "<sub>$1</sub>"); // plotly knows few tags
  const novelty = (name) => escaped(data.classes[name] ?? name);
  const fixed = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace(/^-(?=0\.?0*$)/, "").replace("-", "−"));
  const count = (rows) => rows.length.toLocaleString("en");
  const E_HULL = "<i>E</i><sub>hull</sub>";
  const E_FORM = "<i>E</i><sub>f</sub>";

  // ---- columns of the candidate table -----------------------------------------------------------------------------
  const label = (text) => escaped(text).replace("E_hull", E_HULL);
  const byName = new Map(data.columns.map((column) => [column.name, column]));
  const bySample = new Map(data.candidates.map((row) => [row.sample, row]));
  const isNumber = (column) => column.type === "number" || column.type === "integer";
  const WRITTEN = {
    formula: (row) => formula(row.formula), spacegroup: (row) => group(row.spacegroup), novelty: (row) => novelty(row.novelty),
    sampler: (row) => escaped(data.samplers[row.sampler] ?? row.sampler), state: (row) => escaped(row.fate),
    volume_per_atom: (row) => fixed(row.volume_per_atom, 2),
  };
  function value(column, row) {
    const held = row[column.name];
    if (WRITTEN[column.name]) return WRITTEN[column.name](row);
    if (column.type === "number") return fixed(held, 3);
    if (column.type === "boolean") return held === null ? "" : held ? "yes" : "no";
    return escaped(Array.isArray(held) ? held.join("; ") : held ?? "–");
  }

  function element(tag, attributes = {}, html = "") {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.innerHTML = html;
    return node;
  }

  function save(name, content, type) {
    const url = URL.createObjectURL(new Blob([content], { type }));
    const link = element("a", { href: url, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }
  function fileButton(row, format, keep) {
    const title = format === "CIF" && row.cif ? `in ${row.spacegroup}, atoms moved onto its positions (0.1 Å at most)` : "exactly as it is, without symmetry";
    const button = element("button", { type: "button", class: format.toLowerCase(), "aria-label": `${format} of ${row.crystal}`, title }, format);
    button.disabled = !row.cell; // its file was missing
    button.addEventListener("click", (event) => { event.stopPropagation(); keep(row); });
    return button;
  }

  // ---- theme ------------------------------------------------------------------------------------------------------
  const probe = element("span", { hidden: "" });
  document.body.append(probe);
  const colour = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
  const faint = (name, alpha) => colour(name).replace("rgb(", "rgba(").replace(")", `, ${alpha})`);
  const darkWanted = matchMedia("(prefers-color-scheme: dark)");
  $("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.style.colorScheme ? root.style.colorScheme === "dark" : darkWanted.matches;
    root.style.colorScheme = dark ? "light" : "dark";
    plotAll();
  });
  darkWanted.addEventListener("change", plotAll);

  // ---- plots ------------------------------------------------------------------------------------------------------
  const config = { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], toImageButtonOptions: { format: "svg", filename: data.name } };
  const axis = (title, more = {}) => ({
    title: { text: title, standoff: 12, font: { size: 13 } }, gridcolor: colour("rule"), linecolor: colour("muted"),
    zeroline: false, ticks: "outside", tickcolor: colour("rule"), tickfont: { color: colour("muted"), size: 12 },
    ...more, // the caller's choices win
  });
  const layout = (more) => ({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 66, r: 34, t: 12, b: 56 },
    modebar: { orientation: "v", bgcolor: "rgba(0,0,0,0)", color: colour("rule"), activecolor: colour("muted") },
    font: { family: getComputedStyle(document.body).fontFamily, color: colour("ink"), size: 13 },
    hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("muted"), font: { color: colour("ink"), size: 13 }, align: "left" },
    legend: { font: { size: 12.5 }, itemsizing: "constant", orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    hovermode: "closest", ...more,
  });

  const isValidated = (row) => row.validated_e_above_hull != null; // a screening has no such column
  function candidateHover(row) {
    return `<b>${formula(row.formula)}</b>  ${plainGroup(row.spacegroup)} (${row.spacegroup_number})` +
      `<br>${E_HULL} ${fixed(row.e_above_hull, 3)} eV/atom` +
      `<br>${E_FORM} ${fixed(row.formation_energy, 3)} eV/atom` +
      (isValidated(row) ? `<br>${escaped(row.validated_scale)}: ${E_HULL} ${fixed(row.validated_e_above_hull, 3)} eV/atom` : "") +
      `<br>${novelty(row.novelty)}${row.novelty_match ? `, as ${escaped(row.novelty_match)}` : ""}` +
      `<br>${escaped(row.made || row.sample)}<br>${escaped(row.crystal)}<extra></extra>`;
  }
  const referenceHover = (ref) => `<b>${formula(ref.formula)}</b>${ref.name === ref.formula ? "" : `  ${escaped(ref.name)}`}<br>reference phase, ${escaped(ref.kind)}` +
    `<br>${E_HULL} ${fixed(ref.e_above_hull, 3)} eV/atom<br>${E_FORM} ${fixed(ref.formation_energy, 3)} eV/atom` +
    `<br>${escaped(ref.source)}<extra></extra>`;

  // names of the phases on the hull, below them; crowded ones share a base line and go in rows
  function labels(phases, x, y, [low, high]) {
    const wide = 0.055 * (high - low);
    const shown = phases.filter((ref) => x(ref) >= low && x(ref) <= high);
    const bases = [];
    shown.forEach((ref, place) => {
      const crowded = place && x(ref) - x(shown[place - 1]) < wide;
      bases.push(crowded ? bases[place - 1] : { y: Infinity });
      bases[place].y = Math.min(bases[place].y, y(ref));
    });
    const ends = [];
    return shown.map((ref, place) => {
      let level = ends.findIndex((end) => x(ref) - end >= wide);
      if (level < 0) level = ends.length;
      ends[level] = x(ref);
      const text = { x: x(ref), text: formula(ref.formula), showarrow: false, font: { size: 12 } };
      return hullAxis === "formation_energy"
        ? { ...text, y: bases[place].y, yanchor: "top", yshift: -6 - 16 * level }
        : { ...text, yref: "paper", y: 0, yanchor: "bottom", yshift: 2 + 16 * level };
    });
  }

  let hullAxis = binary ? "formation_energy" : "e_above_hull";
  let closeUp = binary && data.candidates.length > 0; // first of all where the candidates are
  function around(values, margin) {
    const finite = values.filter((value) => value !== null);
    const [low, high] = [Math.min(...finite), Math.max(...finite)];
    return [low - margin * (high - low || 1), high + margin * (high - low || 1)];
  }
  function hullPlot() {
    const formulas = [...new Set([...data.candidates].sort((a, b) => a.fraction - b.fraction || a.formula.localeCompare(b.formula)).map((row) => row.formula))];
    const x = (row) => (binary ? row.fraction : formula(row.formula));
    const y = (row) => row[hullAxis];
    const onHull = data.references.filter((ref) => ref.e_above_hull < 1e-6).sort((a, b) => a.fraction - b.fraction);
    const above = data.references.filter((ref) => ref.e_above_hull >= 1e-6);
    const traces = [];
    if (binary) {
      const [line, energies] = [onHull.map(x), onHull.map(y)];
      const back = [...energies].reverse().map((energy) => energy + data.threshold);
      traces.push(
        { x: [...line, ...[...line].reverse()], y: [...energies, ...back], mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: faint("muted", 0.13), hoverinfo: "skip", showlegend: false },
        { x: line, y: energies, mode: "lines", line: { color: colour("ink"), width: 1.3 }, hoverinfo: "skip", showlegend: false });
    }
    if (binary) {
      for (const [refs, label, symbol] of [[above, "Reference, above the hull", "circle-open"], [onHull, "Reference, on the hull", "circle"]])
        if (refs.length) traces.push({
          x: refs.map(x), y: refs.map(y), name: label, legendrank: 20, mode: "markers",
          hovertemplate: refs.map(referenceHover), marker: { symbol, size: 8, color: colour("ink"), line: { width: 1.4, color: colour("ink") } }, cliponaxis: false,
        });
    }
    Object.entries(data.classes).reverse().forEach(([name, label], place) => {
      const symbol = CLASS_SYMBOLS[name] ?? "circle";
      const rows = data.candidates.filter((row) => row.novelty === name);
      if (rows.length) traces.push({
        x: rows.map(x), y: rows.map(y), mode: "markers", name: `${escaped(label)} (${count(rows)})`, legendrank: 10 - place,
        hovertemplate: rows.map(candidateHover),
        marker: { symbol, size: name === "new" ? 10 : 8, color: colour(name), opacity: 0.88, line: { width: symbol.includes("thin") ? 1.6 : 0.8, color: symbol.includes("thin") ? colour(name) : colour("page") } },
      });
    });
    const range = closeUp ? around(data.candidates.map(x), 0.12) : [-0.03, 1.03];
    const energies = around([...data.candidates, ...(closeUp ? [] : data.references)].map(y), 0.06);
    energies[0] -= 0.16 * (energies[1] - energies[0]); // room for the names
    const title = hullAxis === "formation_energy" ? `Formation ${data.quantity}, ${escaped(data.scale)} (eV/atom)` : `${data.quantity === "energy" ? E_HULL : "Enthalpy above the hull"}, ${escaped(data.scale)} (eV/atom)`;
    Plotly.react("hull-plot", traces, layout({
      xaxis: binary ? axis(`Atomic fraction of ${data.system[1]}`, { range }) : axis("", { type: "category", categoryorder: "array", categoryarray: formulas.map(formula) }),
      yaxis: axis(title, binary ? { range: energies } : {}),
      annotations: binary ? labels(onHull, x, y, range) : [],
      shapes: binary ? [] : [[0, "solid", "ink"], [data.threshold, "dash", "muted"]].map(([at, dash, name]) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: at, y1: at, line: { dash, width: 1, color: colour(name) } })),
    }), config);
  }

  function latentPlot() {
    if (!data.training || !document.getElementById("latent-plot")) return;
    const traces = [];
    const many = data.training.length > 3000;
    for (const [stable, name, label] of [[false, "unstable", "Training, unstable"], [true, "stable", "Training, stable"]]) {
      const rows = data.training.filter((row) => Boolean(row.stable) === stable);
      traces.push({
        x: rows.map((row) => row.x), y: rows.map((row) => row.y), mode: "markers", name: `${label} (${count(rows)})`,
        hovertemplate: rows.map((row) => `<b>${formula(row.formula)}</b>${row.known ? "  known phase" : ""}<br>${E_FORM} ${fixed(row.formation_energy, 3)} eV/atom, unrelaxed<br>${escaped(row.id)}<extra></extra>`),
        marker: { size: many ? 4 : 7, color: colour(name), opacity: many ? 0.6 : 0.85 },
      });
    }
    const known = data.training.filter((row) => row.known);
    if (known.length) traces.push({
      x: known.map((row) => row.x), y: known.map((row) => row.y), mode: "markers", name: `Known phase (${count(known)})`, hoverinfo: "skip",
      marker: { symbol: "circle-open", size: many ? 9 : 13, color: colour("ink"), line: { width: 1.6 } },
    });
    Object.entries(data.samplers).forEach(([sampler, label], place) => {
      const rows = data.samples.filter((row) => row[1] === sampler);
      if (!rows.length) return; // of a source that has no latent vectors
      traces.push({
        x: rows.map((row) => row[2]), y: rows.map((row) => row[3]), mode: "markers", name: `${escaped(label)} (${count(rows)})`,
        hovertemplate: rows.map((row) => `<b>${row[4] ? formula(row[4]) : "sample"}</b>  ${escaped(label)}<br>${escaped(row[5])}<br>${escaped(row[0])}<extra></extra>`),
        marker: { symbol: SAMPLER_SYMBOLS[place % 5], size: 7, color: colour(`m${place % 5}`), opacity: 0.9, line: { width: 1.3, color: colour(`m${place % 5}`) } },
      });
    });
    const share = (place) => (data.explained[place] === undefined ? "" : ` (${(100 * data.explained[place]).toFixed(0)} % of variance)`);
    Plotly.react("latent-plot", traces, layout({ xaxis: axis(`First component${share(0)}`), yaxis: axis(`Second component${share(1)}`) }), config);
  }

  function errorsPlot() {
    if (!data.errors || !document.getElementById("errors-plot")) return;
    const traces = [], shapes = [], annotations = [], axes = {};
    data.errors.forEach((error, place) => {
      const number = place ? place + 1 : "";
      const finite = error.values.filter((value) => value !== null).map((value) => Math.max(value, 1e-5)).sort((a, b) => a - b);
      const total = error.values.length;
      traces.push({
        x: finite, y: finite.map((_, rank) => (100 * (rank + 1)) / total), mode: "lines", line: { shape: "hv", width: 2, color: colour("stable") }, xaxis: `x${number}`, yaxis: `y${number}`,
        hovertemplate: `%{y:.1f} % below %{x:.2g} ${error.unit}<extra></extra>`, showlegend: false,
      });
      const within = finite.filter((value) => value <= error.tolerance).length;
      axes[`xaxis${number}`] = axis(`Error (${error.unit})`, { type: "log", domain: [place * 0.345, place * 0.345 + 0.31], dtick: 1, exponentformat: "power", range: [Math.log10(finite[0] ?? error.tolerance / 100) - 0.1, Math.log10(Math.max(finite.at(-1) ?? 0, error.tolerance)) + 0.25] });
      axes[`yaxis${number}`] = axis(place ? "" : "Structures below (%)", { range: [0, 103], anchor: `x${number}` });
      shapes.push({ type: "line", xref: `x${number}`, yref: `y${number}`, x0: error.tolerance, x1: error.tolerance, y0: 0, y1: 103, line: { dash: "dash", width: 1, color: colour("muted") } });
      annotations.push({ text: `<b>${error.title}</b>   ${total ? `${((100 * within) / total).toFixed(1)} % within ${error.tolerance} ${error.unit}` : "no data"}`, xref: "paper", yref: "paper", x: place * 0.345, y: 1.02, xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 13 } });
    });
    Plotly.react("errors-plot", traces, layout({ ...axes, shapes, annotations, margin: { l: 56, r: 34, t: 34, b: 52 } }), config);
  }

  const tools = { $, bySample, axis, layout, config, colour, faint, element, escaped, formula, fixed, candidateHover, SAMPLER_SYMBOLS, E_HULL };
  const compositionsPlot = compositionsOf(data, tools);
  const roundsPlot = roundsOf(data, tools);
  const phononPlot = phononsOf(data, tools);
  function plotAll() { hullPlot(); compositionsPlot(); roundsPlot(); phononPlot(); latentPlot(); errorsPlot(); }

  if (binary)
    for (const [key, near, label] of [["formation_energy", true, "Close-up"], ["formation_energy", false, `Formation ${data.quantity}`], ["e_above_hull", false, `${data.quantity === "energy" ? "Energy" : "Enthalpy"} above hull`]]) {
      const button = element("button", { type: "button", "aria-pressed": key === hullAxis && near === closeUp }, label);
      if (near && !data.candidates.length) continue;
      button.addEventListener("click", () => {
        [hullAxis, closeUp] = [key, near];
        for (const other of $("hull-switch").children) other.setAttribute("aria-pressed", other === button);
        hullPlot();
      });
      $("hull-switch").append(button);
    }

  const { drawing, legend } = drawingsOf(data, tools);
  const { saveCif, savePoscar, saveAll } = filesOf(data, { save });
  const view = viewerOf(data, { ...tools, drawing });

  // ---- cards ------------------------------------------------------------------------------------------------------
  const best = data.candidates.filter((row) => row.novelty === "new").slice(0, data.best);
  $("best-caption").innerHTML = best.length
    ? `The ${best.length === 1 ? "one" : best.length} of lowest ${E_HULL} (${escaped(data.scale)}) that are ${escaped(data.unlike)}. Drag to turn.`
    : escaped(`${data.none_new} The table below shows them all.`);
  function card(row) {
    const node = element("article", { class: "card", "data-sample": row.sample });
    node.append(drawing(row));
    node.insertAdjacentHTML("beforeend", `${legend(row)}
      <h3><b>${formula(row.formula)}</b><span>${group(row.spacegroup)} (${row.spacegroup_number})</span></h3>
      <p class="energy">${E_HULL} ${fixed(row.e_above_hull, 3)} eV/atom</p>
      ${isValidated(row) ? `<p class="energy validated">${fixed(row.validated_e_above_hull, 3)} eV/atom by ${escaped(row.validated_scale)}</p>` : ""}
      ${row.evidence ? `<p class="evidence">${escaped(row.evidence)}</p>` : ""}
      ${row.decode_note ? `<p class="decode">Not a clean decode: ${escaped(row.decode_note)}</p>` : ""}
      <p>${row.nsites} atoms, ${fixed(row.volume_per_atom, 1)} Å³/atom<br>${escaped(row.made || row.sample).replaceAll("-", "\u2011")}<br><code>${escaped(row.crystal)}</code></p>`);
    const actions = element("div", { class: "row" });
    const more = element("button", { type: "button", class: "more" }, "Details");
    more.addEventListener("click", () => show(row));
    actions.append(fileButton(row, "CIF", saveCif), more);
    node.append(actions);
    return node;
  }
  best.forEach((row) => $("cards").append(card(row)));
  for (const sample of data.compositions?.lowest ?? []) $("polymorphs").append(card(bySample.get(sample)));
  for (const line of document.querySelectorAll(".validated tr[data-sample]")) line.addEventListener("click", () => show(bySample.get(line.dataset.sample)));

  // ---- one candidate ----------------------------------------------------------------------------------------------
  const FIRST = ["e_above_hull", "formation_energy", "validated_e_above_hull", "validated_formation_energy", "validated_scale"];
  const IN_TITLE = ["formula", "spacegroup", "spacegroup_number"];
  function show(row) {
    const facts = [...FIRST.flatMap((name) => byName.get(name) ?? []), ...data.columns.filter(({ name }) => ![...FIRST, ...IN_TITLE].includes(name))]
      .filter(({ name }) => ![null, ""].includes(row[name]) && row[name].length !== 0 && (isValidated(row) || !/^validat(ed|ion)_/.test(name)))
      .map((column) => [label(column.label), `${value(column, row)}${column.unit ? ` ${escaped(column.unit)}` : ""}`, column.description]);
    const decoded = facts.findIndex(([name]) => name === "Shortest distance");
    if (row.shortest !== null) facts.splice(decoded < 0 ? facts.length : decoded + 1, 0, ["… as relaxed", `${fixed(row.shortest, 3)} Å`, "Shortest distance between two atoms of the latest structure."]);
    if (row.made) facts.push(["Made by", escaped(row.made), "How the source made it, and from which structures."]);
    const dialog = $("detail");
    dialog.innerHTML = `<div class="head"><h2 id="detail-title"><span>${formula(row.formula)}</span><small>${group(row.spacegroup)} (${row.spacegroup_number})</small></h2><div class="row files"></div></div>
      ${row.decode_note ? `<p class="note">Not a clean decode: ${escaped(row.decode_note)}.</p>` : ""}
      <div class="two"><div><div id="detail-drawing"></div>${legend(row)}<div id="powder-plot"></div></div>
      <div><dl>${facts.map(([name, value, title]) => `<dt title="${escaped(title)}">${name}</dt><dd>${value}</dd>`).join("")}</dl></div></div>`;
    const close = element("button", { type: "button", class: "close", autofocus: "" }, "Close");
    close.addEventListener("click", () => dialog.close());
    dialog.querySelector(".files").append(fileButton(row, "CIF", saveCif), fileButton(row, "POSCAR", savePoscar), close);
    view(row, dialog.querySelector("#detail-drawing"));
    dialog.showModal();
    powderPlot(row);
  }
  // simulated X-ray powder pattern
  function powderPlot(row) {
    if (!row.pattern?.length) return;
    const x = row.pattern.flatMap(([angle]) => [angle, angle, null]);
    const y = row.pattern.flatMap(([, height]) => [0, height, null]);
    const peaks = { x: row.pattern.map(([angle]) => angle), y: row.pattern.map(([, height]) => height), mode: "markers", marker: { size: 7, opacity: 0 }, hovertemplate: row.pattern.map(([angle, height, hkl, spacing]) => `<b>${hkl}</b>  ${angle.toFixed(2)}°<br>${height.toFixed(0)} %, d ${spacing.toFixed(3)} Å<extra></extra>`), showlegend: false };
    Plotly.react("powder-plot", [{ x, y, mode: "lines", line: { color: colour("stable"), width: 1.3 }, hoverinfo: "skip", showlegend: false }, peaks], layout({
      height: 190, margin: { l: 44, r: 8, t: 8, b: 44 }, xaxis: axis("2θ of Cu Kα (°), simulated", { range: [10, 90] }), yaxis: axis("%", { range: [0, 104] }),
    }), { ...config, displayModeBar: false });
  }
  $("detail").addEventListener("click", (event) => { if (event.target === $("detail")) $("detail").close(); });

  // ---- table ------------------------------------------------------------------------------------------------------
  const SHOWN = ["formula", "spacegroup", "e_above_hull", "formation_energy", "validated_e_above_hull", "committee", "dynamically_stable", "nsites", "volume_per_atom", "novelty", "clean", "charge_balanced", "sampler", "file", "evaluations", "relaxed_id"];
  const CELLS = {
    formula: (row) => `<button type="button" class="open" aria-haspopup="dialog">${formula(row.formula)}</button>`, // by keyboard, too
    clean: (row) => (row.residual === null || row.clean === null ? "–" : row.clean ? "clean" : `<span title="${escaped(row.decode_note)}">${row.repaired ? `${row.repaired} removed` : "poor"}</span>`),
    spacegroup: (row) => `${group(row.spacegroup)} <small>(${row.spacegroup_number})</small>`,
    novelty: (row) => `<span class="tag ${escaped(row.novelty)}" title="${escaped(data.meaning[row.novelty])}">${novelty(row.novelty)}</span>`,
    relaxed_id: (row) => `<code>${escaped(row.relaxed_id)}</code>`,
  };
  const COLUMNS = SHOWN.filter((name) => byName.has(name) && (name !== "validated_e_above_hull" || data.candidates.some(isValidated)) && (name !== "committee" || data.candidates.some((row) => row.committee)) && (name !== "dynamically_stable" || data.candidates.some((row) => row.dynamically_stable !== null)) && (name !== "clean" || data.candidates.some((row) => row.clean !== null)) && (name !== "charge_balanced" || data.candidates.some((row) => row.charge_balanced === false))).map((name) => {
    const column = byName.get(name);
    const heading = label(column.label) + (column.unit ? ` (${escaped(column.unit)})` : "");
    // space groups sort by their number
    return [name === "spacegroup" ? "spacegroup_number" : name, heading, CELLS[name] ?? ((row) => value(column, row)), isNumber(column)];
  });
  const PAGE = 100;
  const state = { key: "e_above_hull", down: false, all: false };
  const searched = new Map(data.candidates.map((row) => [row, [row.formula, row.spacegroup, row.spacegroup_number, row.id, row.relaxed_id, row.validated_id, row.sample, row.sampler, data.samplers[row.sampler], row.made, row.file].join(" ").toLowerCase()]));

  COLUMNS.forEach(([key, label, , number]) => {
    const head = element("th", { scope: "col", "data-key": key, ...(number ? { class: "num" } : {}) });
    const button = element("button", { type: "button", title: byName.get(key)?.description ?? "" }, label);
    button.addEventListener("click", () => {
      state.down = state.key === key ? !state.down : false;
      state.key = key;
      fill();
    });
    head.append(button);
    $("table").tHead.rows[0].append(head);
  });
  $("table").tHead.rows[0].append(element("th", { scope: "col" }));

  for (const name of Object.keys(data.classes)) {
    const number = data.candidates.filter((row) => row.novelty === name).length;
    if (number) $("filter-novelty").append(element("label", {}, `<input type="checkbox" value="${name}" checked> ${novelty(name)} <small>${number}</small>`));
  }

  for (const [place, { label, column, value }] of data.evidence.entries()) {
    const number = data.candidates.filter((row) => row[column] === value).length;
    $("filter-evidence").append(element("label", {}, `<input type="checkbox" value="${place}"> ${escaped(label)} <small>${number}</small>`));
  }
  $("filter-evidence").hidden = !data.evidence.length;

  function chosen() {
    const terms = $("filter-text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const limit = $("filter-hull").value === "" ? Infinity : Number($("filter-hull").value);
    const hidden = new Set([...$("filter-novelty").querySelectorAll("input:not(:checked)")].map((box) => box.value));
    const demanded = [...$("filter-evidence").querySelectorAll("input:checked")].map((box) => data.evidence[box.value]);
    const rows = data.candidates.filter((row) => demanded.every(({ column, value }) => row[column] === value) && row.e_above_hull <= limit && !hidden.has(row.novelty) && terms.every((term) => searched.get(row).includes(term)));
    const sign = state.down ? -1 : 1;
    const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : a === null ? 1 : b === null ? -1 : String(a).localeCompare(String(b)));
    return rows.sort((a, b) => sign * order(a[state.key], b[state.key]) || a.e_above_hull - b.e_above_hull);
  }

  function fill() {
    const rows = chosen();
    const body = $("table").tBodies[0];
    body.replaceChildren(...rows.slice(0, state.all ? rows.length : PAGE).map((row) => {
      const line = element("tr", { "data-sample": row.sample }, COLUMNS.map(([, , cell, number]) => `<td${number ? ' class="num"' : ""}>${cell(row)}</td>`).join(""));
      const last = element("td");
      last.append(fileButton(row, "CIF", saveCif));
      line.append(last);
      line.addEventListener("click", () => show(row));
      return line;
    }));
    for (const head of $("table").tHead.rows[0].cells) {
      if (head.dataset.key === state.key) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    $("shown").textContent = `${rows.length} of ${data.candidates.length} candidates.`;
    $("more").hidden = state.all || rows.length <= PAGE;
    $("more").textContent = `Show all ${rows.length}`;
  }
  $("more").addEventListener("click", () => { state.all = true; fill(); });
  $("filters").addEventListener("input", fill);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  function csv(rows) {
    const keys = [...data.columns.map((column) => column.name), "made"];
    const quoted = (value) => { const text = String(value ?? ""); return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };
    return [keys.join(","), ...rows.map((row) => keys.map((key) => quoted(row[key])).join(","))].join("\n") + "\n";
  }
  $("save-csv").addEventListener("click", () => save("candidates.csv", csv(chosen()), "text/csv"));
  $("save-zip").addEventListener("click", () => saveAll(chosen(), csv(chosen())));

  fill();
  plotAll();
  document.documentElement.dataset.ready = "true";
})();
