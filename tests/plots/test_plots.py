"""Each plot shows the numbers that it was given, for systems of any size, and its JSON suits a page."""

from __future__ import annotations

import json
import re
from itertools import combinations

import pandas
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.plots.energies import energies
from imatgen_flows.plots.funnel import funnel
from imatgen_flows.plots.hull import hull
from imatgen_flows.plots.latent_map import latent_map
from imatgen_flows.plots.phonons import phonons
from imatgen_flows.plots.reconstruction import reconstruction
from imatgen_flows.plots.ternary import tie_lines

BANDS = {
    "distances": [[0, 0.5], [0.5, 1]],
    "frequencies": [[[0.0, 4.0], [1.0, 5.0]], [[-1.0, 6.0], [0.0, 7.0]]],
    "labels": [["GAMMA", "X_1"], ["Y", "GAMMA"]],
}
DENSITY = {"frequencies": [-1.0, 7.0], "states": [0.1, float("nan")]}
TRAINING = [
    {"id": "a<b", "formula": "AB", "x": 0.0, "y": 1.0, "stable": True, "known": True, "formation_energy": None},
    {"id": "c", "formula": "AB2", "x": 1.0, "y": 1.0, "stable": None, "known": False, "formation_energy": -0.5},
]


def by_name(figure):
    """Traces by the name of their group, without its size."""
    return {trace.name.rpartition(" (")[0] or trace.name: trace for trace in figure.data if trace.name}


@pytest.fixture(params=["hull", "ternary", "empty", "energies", "funnel", "latent", "phonons", "reconstruction"])
def figure(request, candidates, references):
    return {
        "hull": lambda: hull(candidates, references, ["A", "B"], 0.1, "A <model>", "enthalpy"),
        "ternary": lambda: hull(candidates, references, ["A", "B", "C"], 0.1),
        "empty": lambda: hull(pandas.DataFrame(), references, ["A", "B"], 0.1),
        "energies": lambda: energies(candidates, 0.1),
        "funnel": lambda: funnel(candidates),
        "latent": lambda: latent_map(TRAINING, candidates),
        "phonons": lambda: phonons(BANDS, DENSITY, "AB"),
        "reconstruction": lambda: reconstruction([("Lengths", "Å", 0.1, [0.0, None, 0.3]), ("Angles", "°", 2.0, [])]),
    }[request.param]()


def test_the_json_of_a_plot_has_plain_lists_and_no_nan_and_its_axes_have_units(figure):
    text = json.dumps(figure.to_plotly_json(), allow_nan=False)
    assert "bdata" not in text and len(text) < 20_000
    assert "<model>" not in text and "<i>bad" not in text and "<b>mp" not in text
    layout = json.loads(text)["layout"]
    axes = layout | layout.get("ternary", {})
    titles = {key: axis.get("colorbar", axis)["title"]["text"] for key, axis in axes.items() if "axis" in key}
    words = re.compile(r"eV/atom|THz|%|Å|°|fraction|component|Samples|candidates|^$")
    assert titles and all(words.search(title) for title in titles.values()), titles


def test_the_hull_of_a_binary_has_three_views_of_the_same_points(candidates, references):
    figure = hull(candidates, references, ["A", "B"], 0.1)
    views = {button.label: button.args for button in figure.layout.updatemenus[0].buttons}
    assert list(views) == ["Close-up", "Formation energy", "Energy above hull"]
    names = [trace.name for trace in figure.data]
    new = names.index("New (3)")
    assert figure.data[new].x == (0.5, 0.75, 0.6) and figure.data[new].y == (-1.02, -1.0, 1.5)
    assert views["Energy above hull"][0]["y"][new] == [-0.02, 0.0, 2.5]
    assert views["Close-up"][0]["y"][new] == views["Formation energy"][0]["y"][new] == list(figure.data[new].y)
    assert figure.data[1].x == (0.0, 0.5, 1.0) and views["Energy above hull"][0]["y"][1] == [0.0, 0.0, 0.0]
    assert figure.data[0].y == (0.0, -1.0, 0.0, 0.1, -0.9, 0.1)  # the band, there and back
    low, high = views["Close-up"][1]["xaxis.range"]
    assert 0.4 < low < 0.5 and 0.75 < high < 0.8
    assert [name["text"] for name in views["Formation energy"][1]["annotations"]] == ["A", "AB", "B"]


def ternary_phase(formula, energy=0.0, distance=0.0):
    fractions = Composition(formula).get_atomic_fraction
    present = [one for one in ("Mg", "Si", "O") if fractions(one)]
    return {
        "formula": formula, "name": formula, "kind": "compound", "source": "", "formation_energy": energy,
        "e_above_hull": distance, "fractions": {one: fractions(one) for one in present},
    }  # fmt: skip


def test_the_tie_lines_of_a_ternary_are_those_of_pymatgens_phase_diagram():
    energies = {"Mg": 0, "Si": 0, "O2": 0, "MgO": -3.0, "SiO2": -3.2, "Mg2Si": -0.2, "MgSiO3": -3.18, "Mg2SiO4": -3.14}
    entries = [PDEntry(Composition(name), energy * Composition(name).num_atoms) for name, energy in energies.items()]
    diagram = PhaseDiagram(entries)
    stable = [
        ternary_phase(entry.composition.reduced_formula, energies[entry.name]) for entry in diagram.stable_entries
    ]
    found = {frozenset((one["formula"], other["formula"])) for one, other in tie_lines(stable, ("Mg", "Si", "O"))}
    expected = {
        frozenset(diagram.qhull_entries[corner].composition.reduced_formula for corner in pair)
        for facet in diagram.facets
        for pair in combinations(facet, 2)
    }
    assert len(stable) == 8 and found == expected


def test_the_hull_of_a_ternary_is_a_triangle_with_the_best_candidates_on_top():
    names = ["formula", "novelty", "e_above_hull", "spacegroup", "spacegroup_number", "relaxed_id"]
    rows = [
        ("MgSi2O5", "new", -0.01, "P1", 1, "a"),
        ("MgSi2O5", "new", 0.3, "P1", 1, "b"),
        ("MgO", "known", 0, "P1", 1, "c"),
    ]
    table = pandas.DataFrame(rows, columns=names, index=["s0", "s1", "s2"])
    phases = [ternary_phase(name) for name in ("Mg", "Si", "O2")] + [ternary_phase("MgO2", -1.0, 0.2)]
    figure = hull(table, phases, ["Mg", "Si", "O"], 0.1)
    views = {button.label: button.args for button in figure.layout.updatemenus[0].buttons}
    assert list(views) == ["Triangle", "Energy above hull"]
    assert [trace.visible for trace in figure.data] == views["Triangle"][0]["visible"]
    new = next(trace for trace in figure.data if trace.name == "New (2)")
    assert (new.a, new.b, new.c) == ((0.125, 0.125), (0.25, 0.25), (0.625, 0.625))
    assert new.marker.color == (0.3, -0.01) and figure.layout.coloraxis.cmax == 0.2
    assert figure.layout.ternary.aaxis.title.text == "Atomic fraction of Mg"
    above = next(trace for trace in figure.data if trace.name == "Reference, above the hull")
    assert above.a == (pytest.approx(1 / 3, abs=1e-5),)
    alone = hull(pandas.DataFrame(), phases[:2], ["Mg", "Si", "O"], 0.1)  # an element lacks: no tie lines
    assert not alone.data[0].a and not alone.layout.updatemenus


def test_a_candidate_is_described_by_formula_space_group_energy_and_id(candidates, references):
    traces = by_name(hull(candidates, references, ["A", "B"], 0.1))
    assert set(traces) >= {"New", "Reached by substitution", "Known"} and "Duplicate" not in traces
    assert len({trace.marker.symbol for name, trace in traces.items() if not name.startswith("Ref")}) == 3
    first, second = traces["New"].customdata[:2]
    assert first[:4] == ["AB", "P1\u0305 (2)", "−0.020", "−1.020"] and first[-1] == "id0"
    assert "DFT: <i>E</i><sub>hull</sub> 0.050 eV/atom" in first[4]
    assert second[:2] == ["AB<sub>3</sub>", "P4<sub>2</sub>/mnm (136)"]
    assert "&lt;b&gt;mp-1" in traces["Reached by substitution"].customdata[0][4]
    assert "X &amp; Y" in traces["Reference, on the hull"].hovertext[0]


def test_crowded_phases_are_named_in_rows(references):
    crowd = [references[1] | {"fractions": {"B": 0.5 + 0.01 * place}} for place in range(3)]
    names = hull(pandas.DataFrame(), [*references, *crowd], ["A", "B"], 0.1).layout.annotations
    shifts = [name.yshift for name in names if name.text == "AB"]
    assert len(set(shifts[-3:])) == 3


def test_the_hull_of_four_elements_has_a_column_for_each_composition(candidates, references):
    figure = hull(candidates, references, ["A", "B", "C", "D"], 0.1)
    assert not figure.layout.updatemenus
    assert figure.layout.xaxis.categoryarray == ("AB", "A<sub>2</sub>B<sub>3</sub>", "AB<sub>3</sub>")
    assert by_name(figure)["New"].y == (-0.02, 0.0, 2.5)
    assert [line.y0 for line in figure.layout.shapes] == [0, 0.1]


def test_energies_are_counted_by_class_and_shared_by_source(candidates):
    figure = energies(candidates, 0.1, {"slerp": "Interpolation"}, "CHGNet")
    traces = by_name(figure)
    counts = {name: sum(trace.y) for name, trace in traces.items() if trace.type == "bar"}
    assert counts == {"New": 3, "Reached by substitution": 1, "Known": 1}
    new = traces["New"]
    edges = dict(zip(new.x, new.y, strict=True))
    assert edges == {-0.0125: 1, 0.0125: 1, 2.5125: 1}  # -0.02 lies below the hull, 0 does not
    assert "id0" in new.customdata[0][1]
    assert traces["Interpolation"].x == (-0.02, 0.024, 0.3)
    assert traces["Interpolation"].y[-1] == traces["prior"].y[-1] == 100
    many = pandas.concat([candidates.iloc[:3]] * 20 + [candidates.iloc[4:5]])
    assert energies(many, 0.1).layout.annotations[0].text == "1 beyond 0.24 eV/atom"
    assert not energies(many[:-1], 0.1).layout.annotations
    by_novelty, by_source = (button.args[0]["visible"] for button in figure.layout.updatemenus[0].buttons)
    assert [not one for one in by_novelty] == by_source and [trace.visible for trace in figure.data] == by_novelty


def test_the_funnel_counts_each_sample_as_far_as_it_came(candidates):
    figure = funnel(candidates, {"slerp": "Interpolation"})
    traces = by_name(figure)
    assert traces["Interpolation"].x == (3, 3, 3, 3, 1, 1) and traces["prior"].x == (3, 2, 2, 2, 1, 0)
    assert "Rejected here: no cell 1" in traces["prior"].customdata[0][1]
    assert figure.data[-1].x == (6, 5, 5, 5, 2, 1)


def test_the_map_shows_who_has_a_place_on_it(candidates):
    traces = by_name(latent_map(TRAINING, candidates, [0.31], {"slerp": "Interpolation"}))
    assert traces["Interpolation"].x == (0.0, 2.0) and traces["prior"].x == (1.0, 5.0)
    assert traces["Training, unstable"].x == (1.0,) and traces["Known phase"].x == (0.0,)
    assert traces["Training, stable"].customdata[0][2:] == ["–", "a&lt;b"]
    assert "Rejected at decoding: no cell (&lt;i&gt;bad" in traces["prior"].hovertext[1]


def test_bands_are_one_line_with_gaps_and_a_jump_of_the_path_has_both_names():
    figure = phonons(BANDS, DENSITY)
    assert figure.data[0].y == (0.0, 1.0, None, 4.0, 5.0, None, -1.0, 0.0, None, 6.0, 7.0)
    assert figure.layout.xaxis.ticktext == ("Γ", "X<sub>1</sub>|Y", "Γ")
    assert figure.data[1].xaxis == "x2" and figure.data[1].x == (0.1, None)


def test_a_structure_without_an_error_counts_as_a_failure():
    figure = reconstruction([("Lengths", "Å", 0.1, [0.0, None, 0.3]), ("Angles", "°", 2.0, [])])
    assert figure.data[0].y[-1] == pytest.approx(66.667) and figure.data[0].x == (1e-5, 0.3)
    assert [heading.text for heading in figure.layout.annotations] == [
        "<b>Lengths</b>   33.3 % within 0.1 Å",
        "<b>Angles</b>   no data",
    ]


def test_each_class_has_a_colour_and_a_marker_of_its_own():
    from imatgen_flows.plots.style import CLASS_SYMBOLS, PALETTE

    assert set(CLASS_SYMBOLS) == set(Novelty) and len(set(CLASS_SYMBOLS.values())) == len(Novelty)
    assert len({PALETTE[novelty.value].light for novelty in Novelty}) == len(Novelty)


def test_the_page_has_the_colours_of_the_palette_and_no_light_one_stands_for_two():
    from importlib.resources import files

    from imatgen_flows.plots.style import PALETTE

    style = (files("imatgen_flows.report") / "assets" / "style.css").read_text()
    declared = re.findall(r"--([\w]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", style)
    assert {name: (light, dark) for name, light, dark in declared} == {
        name: (colour.light, colour.dark) for name, colour in PALETTE.items()
    }
    assert len({colour.light for colour in PALETTE.values()}) == len(PALETTE)  # the page swaps one for its dark one
