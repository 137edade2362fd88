"""Flows of atomate2 on the stand-in, whose output is parsed and accepted like that of VASP."""

from __future__ import annotations

import numpy as np
import pytest

LABELS = ["MP GGA relax 1", "MP GGA relax 2", "MP GGA static"]


def double_relax_static(structure, vasp):
    from atomate2.vasp.flows.mp import MPGGADoubleRelaxStaticMaker
    from atomate2.vasp.jobs.base import BaseVaspMaker

    maker = MPGGADoubleRelaxStaticMaker()
    return maker.update_kwargs({"run_vasp_kwargs": vasp}, class_filter=BaseVaspMaker).make(structure)


def test_a_flow_of_the_materials_project_passes_with_every_number_in_place(vasp, rutile, run_flow):
    documents = run_flow(double_relax_static(rutile, vasp))
    assert list(documents) == LABELS
    for document in documents.values():
        output, calculation = document.output, document.calcs_reversed[0]
        assert document.state.value == "successful"
        assert document.run_type.value == "GGA+U"
        assert document.entry.parameters["hubbards"] == {"V": 3.25, "O": 0.0}
        assert np.isfinite(output.energy)
        assert np.shape(output.forces) == (6, 3)
        assert np.shape(output.stress) == (3, 3)
        assert output.bandgap == pytest.approx(1.0, abs=0.01)
        assert not calculation.output.outcar["is_stopped"]
        assert calculation.output.outcar["total_magnetization"] == pytest.approx(2 * 5 + 4 * 0.6)
        assert "standin" in document.vasp_version.lower()
        assert document.input.parameters["NELECT"] == 2 * 11 + 4 * 6
    static, relaxed = documents["MP GGA static"], documents["MP GGA relax 2"]
    assert static.output.energy == pytest.approx(relaxed.output.energy, abs=1e-4)


def test_the_newer_sets_of_the_materials_project_pass_too(vasp, rutile, run_flow):
    """These sets use KSPACING, METAGGA and pseudopotentials of another release."""
    from atomate2.vasp.flows.mp import MP24DoubleRelaxStaticMaker
    from atomate2.vasp.jobs.base import BaseVaspMaker

    maker = MP24DoubleRelaxStaticMaker()
    documents = run_flow(maker.update_kwargs({"run_vasp_kwargs": vasp}, class_filter=BaseVaspMaker).make(rutile))
    assert len(documents) == 3
    for document in documents.values():
        assert document.state.value == "successful"
        assert document.input.potcar_spec[0].titel.split()[1].startswith("V")
    assert list(documents.values())[-1].run_type.value == "r2SCAN"
