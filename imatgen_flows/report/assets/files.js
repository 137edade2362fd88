"use strict";
// Files of crystals: CIF, POSCAR, and a zip of many.
function filesOf(data, { save }) {
  const stem = (row) => `${row.formula}_${row.spacegroup.replaceAll("/", "")}_${row.crystal.slice(0, 8)}`;
  const number = (value) => value.toFixed(6).padStart(11);

  function cif(row) {
    if (row.cif) return row.cif; // in its space group
    const { lattice, sites } = row.cell;
    const length = (v) => Math.hypot(...v);
    const angle = (v, w) => (180 / Math.PI) * Math.acos(v.reduce((sum, x, k) => sum + x * w[k], 0) / length(v) / length(w));
    const [a, b, c] = lattice;
    const cell = { length_a: length(a), length_b: length(b), length_c: length(c), angle_alpha: angle(b, c), angle_beta: angle(a, c), angle_gamma: angle(a, b) };
    return [
      `data_${row.formula}`, "_symmetry_space_group_name_H-M 'P 1'", ...Object.entries(cell).map(([name, value]) => `_cell_${name} ${value.toFixed(6)}`),
      "loop_", "_symmetry_equiv_pos_as_xyz", "'x, y, z'",
      "loop_", ...["label", "type_symbol", "fract_x", "fract_y", "fract_z"].map((name) => `_atom_site_${name}`),
      ...sites.map(([symbol, ...place], index) => `${symbol}${index} ${symbol} ${place.map(number).join(" ")}`), "",
    ].join("\n");
  }

  function poscar(row) {
    const { lattice, sites } = row.cell;
    const symbols = [...new Set(sites.map(([symbol]) => symbol))];
    const of = (symbol) => sites.filter(([other]) => other === symbol);
    return [
      `${row.formula} ${row.spacegroup} ${row.crystal}, ${data.scale}`, "1.0", ...lattice.map((v) => v.map(number).join(" ")),
      symbols.join(" "), symbols.map((symbol) => of(symbol).length).join(" "), "direct",
      ...symbols.flatMap((symbol) => of(symbol).map(([, ...place]) => `${place.map(number).join(" ")} ${symbol}`)), "",
    ].join("\n");
  }

  function saveAll(rows, table) {
    const files = { "candidates.csv": table };
    for (const row of rows.filter((row) => row.cell)) {
      const name = stem(row);
      const own = `${name}.cif` in files ? `${name}_${row.sample}` : name; // two candidates may relax to one crystal
      [files[`${own}.cif`], files[`${own}.POSCAR`]] = [cif(row), poscar(row)];
    }
    const bytes = Object.fromEntries(Object.entries(files).map(([name, text]) => [name, fflate.strToU8(text)]));
    save("candidates.zip", fflate.zipSync(bytes, { level: 6 }), "application/zip");
  }

  return {
    saveCif: (row) => save(`${stem(row)}.cif`, cif(row), "chemical/x-cif"),
    savePoscar: (row) => save(`${stem(row)}.POSCAR`, poscar(row), "text/plain"),
    saveAll,
  };
}
