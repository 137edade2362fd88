"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const SAMPLER_SYMBOLS = data.sampler_symbols;

  // ---- text -------------------------------------------------------------------------------------------------------
  const escaped = (text) => String(text ?? "").replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  const formula = (text) => escaped(text).replace(/([A-Za-z)])([\d.]+)/g, "$1<sub>$2</sub>");
  const group = (text) => escaped(text).replace(/-(\d)/g, "<span class=over>$1</span>").replace(/_(\d)/g, "<sub>$1</sub>");
  const plainGroup = (text) => escaped(text).replace(/-(\d)/g, "$1\u0305").replace(/_(\d)/g, "<sub>$1</sub>"); // plotly knows few tags
  const novelty = (name) => escaped(data.classes[name] ?? name);
  const fixed = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace(/^-(?=0\.?0*$)/, "").replace("-", "−"));
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
  const root = document.documentElement;
  const isDark = () => (root.style.colorScheme ? root.style.colorScheme === "dark" : darkWanted.matches);
  $("theme").addEventListener("click", () => {
    root.style.colorScheme = isDark() ? "light" : "dark";
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
  const tools = { $, isDark, bySample, axis, layout, config, colour, faint, element, escaped, formula, fixed, candidateHover, SAMPLER_SYMBOLS, E_HULL };
  const compositionsPlot = compositionsOf(data, tools);
  const roundsPlot = roundsOf(data, tools);
  const ownPlots = plotsOf(data, tools);
  function plotAll() { compositionsPlot(); roundsPlot(); ownPlots(); }

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
      ${row.decode_note ? `<p class="decode">Not a clean decode: ${escaped(row.decode_note.split(/[:;]/)[0])}</p>` : ""}
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
