from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from pymatgen.core import Composition

from imatgen_flows.candidates.ledger import Ledger
from imatgen_flows.errors import InputError
from imatgen_flows.report import RunDirectory, draw_figures
from imatgen_flows.report.compositions import atomic_fraction
from imatgen_flows.report.figures import levels
from imatgen_flows.report.html import build_report

PNG = b"\x89PNG\r\n"


def test_the_figures_are_drawn_for_any_system(make_run):
    run = RunDirectory.open(make_run(system=("Ca", "Ti", "O"), novelties=("substituted", "duplicate")))
    files = draw_figures(run)
    assert [file.stem for file in files] == ["latent_map", "funnel", "reconstruction", "hull", "composition_classes"]
    assert all(file.read_bytes().startswith(PNG) for file in files)


def test_a_place_that_cannot_be_written_to_is_named(own_run):
    (own_run / "figures").write_text("a file is in the way")
    with pytest.raises(InputError, match="figures: cannot be written to"):
        draw_figures(RunDirectory.open(own_run))


@pytest.mark.parametrize("formula", ["V2O5", "VO", "O2", "CaTiO3", "Ca3(PO4)2", "K4(Fe(CN)6)3O", "V0.5O1.5", "Mn"])
def test_the_atomic_fraction_is_pymatgens(formula):
    assert atomic_fraction(formula, "O") == pytest.approx(Composition(formula).get_atomic_fraction("O"))


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0.01, 0.3))
def test_labels_of_one_level_do_not_overlap(places, width):
    places = sorted(places)
    chosen = levels(places, width)
    for level in set(chosen):
        row = [place for place, at in zip(places, chosen, strict=True) if at == level]
        assert all(after - before >= width for before, after in zip(row, row[1:], strict=False))
    assert len(chosen) == len(places)


def test_a_run_whose_sources_proposed_nothing_has_its_report_and_says_so(own_run):
    candidates = own_run / "candidates.parquet"
    parquet.write_table(parquet.read_table(candidates).slice(0, 0), candidates)
    (own_run / "ledger.json").write_text(json.dumps(Ledger().to_dict()))
    assert "no source proposed a candidate" in build_report(own_run).read_text()
