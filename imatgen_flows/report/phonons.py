"""The report's section on phonons: which candidates are dynamically stable, with bands and densities of states."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc
from markupsafe import Markup

from imatgen_flows.energetics.phonon_spectrum import STABLE_ABOVE
from imatgen_flows.report.documents import RelaxedRow
from imatgen_flows.report.markup import render, share
from imatgen_flows.report.result_directory import require_keys
from imatgen_flows.report.run_directory import RunDirectory

PHONONS_FILE = "phonons.json"


def phonons_section(run: RunDirectory) -> Markup:
    """Write what the phonons of the shortlist say; empty where none were asked for."""
    asked = _asked(run)
    if not asked:
        return Markup()
    computed = [row for row in asked if row["dynamically_stable"] is not None]
    stable = sum(row["dynamically_stable"] is True for row in computed)
    return render(
        "phonons",
        run=run,
        rows=asked,
        stable=share(stable, len(computed)),
        stable_count=stable,
        computed=len(computed),
        threshold=STABLE_ABOVE,
        interpolated=sum(row["lowest_interpolated"] > STABLE_ABOVE for row in computed),
        spent=sum(row["phonon_evaluations"] for row in asked),
        followed=sum(bool(row.get("soft_mode_evaluations")) for row in asked),
        lower=[row for row in asked if row.get("followed_id")],
    )


def computed_phonons(run: RunDirectory) -> dict[str, dict[str, Any]]:
    """Return bands and density of states by sample, lowest E_hull first; empty where no phonons were asked for."""
    asked = _asked(run)
    if not asked:
        return {}
    crystals = require_keys(run.path / PHONONS_FILE, "crystals")["crystals"]
    spectra = {row["sample"]: row for row in crystals if row["state"] == "computed"}
    return {row["sample"]: spectra[row["sample"]] for row in asked if row["sample"] in spectra}


def _asked(run: RunDirectory) -> list[RelaxedRow]:
    """List the candidates whose phonons were asked for, lowest E_hull first."""
    if "phonon_note" not in run.table.column_names:  # a run from before there were phonons
        return []
    names = set(
        run.table.filter((pc.field("phonon_evaluations") > 0) | (pc.field("phonon_note") != ""))["sample"].to_pylist()
    )
    return [row for row in run.relaxed if row["sample"] in names]
