"""The baseline benchmark: what counts as new, the statistics of a source, and the command over a whole run."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Structure
from typer.testing import CliRunner

from imatgen_flows.candidates.novelty import Novelty
from imatgen_flows.energetics.hull import Hull, HullEntry
from imatgen_flows.energetics.relax import Relaxation
from imatgen_flows.errors import InputError
from imatgen_flows.metrics.trial_statistics import compare, strata, summarise
from imatgen_flows.metrics.trials import KnownStructures, Trial, choose_substituted, classify_trials, evaluate_sources
from imatgen_flows.sources.proposal import Proposal
from imatgen_flows.sources.target_cell import TargetCell

HULL = Hull([HullEntry("V", Composition("V"), 0.0), HullEntry("O", Composition("O"), 0.0)], potential="toy 1")
VO2 = TargetCell((("O", 4), ("V", 2)))


def rutile(c=2.9):
    return Structure.from_spacegroup(136, Lattice.tetragonal(4.6, c), ["V", "O"], [[0, 0, 0], [0.305, 0.305, 0]])


def fluorite():
    return Structure.from_spacegroup(225, Lattice.cubic(5.0), ["V", "O"], [[0, 0, 0], [0.25] * 3])


def odd(shift):
    """Build one of a family of crystals VO2 that differ from each other and from all above."""
    frac = [
        [0, 0, 0],
        [0.5, 0.5, 0.3 * shift],
        [0.25, 0.1 + 0.3 * shift, 0.6],
        [0.7, 0.4, 0.1],
        [0.2, 0.6, 0.9 - shift / 2],
    ]
    return Structure(
        Lattice.orthorhombic(3.5, 4.5 + shift, 6.5), ["V", "V", "O", "O", "O", "O"], [*frac, [0.6, 0.85, 0.5]]
    )


def done(structure, energy=0.02, evaluations=10):
    return Relaxation(structure=structure, energy_per_atom=energy, evaluations=evaluations)


FAILED = Relaxation(state="rejected", reason="not_converged", evaluations=500)


class Table:
    """Relaxations that were made by hand: structures, in their order, go to what is listed for them."""

    def __init__(self, **ends):
        self.ends, self.asked = ends, []

    def __call__(self, structures):
        self.asked += [structure.properties["name"] for structure in structures.values()]
        return {name: self.ends[cell.properties["name"]] for name, cell in structures.items()}


def start(name, structure=None):
    cell = (structure or rutile()).copy()
    cell.properties["name"] = name
    return Proposal(name, cell)


def evaluate(proposals, ends, crystals, substituted=0):
    targets = [VO2] * max(len(items) for items in proposals.values())
    return evaluate_sources(targets, proposals, crystals, HULL, Table(**ends), substituted)


EMPTY = KnownStructures({}, {}, {}, {})


# What is new


def test_a_duplicate_counts_once_and_the_lowest_of_its_kind_counts():
    ends = {"a": done(odd(0.1), 0.09), "b": done(odd(0.1), 0.03), "c": done(fluorite(), 0.07)}
    trials, _ = evaluate({"random_search": [start(name) for name in ends]}, ends, EMPTY)
    assert [trial.novelty for trial in trials["random_search"]] == [Novelty.DUPLICATE, Novelty.NEW, Novelty.NEW]
    assert trials["random_search"][0].match == "b"
    found = summarise(trials["random_search"])
    assert [level.new for level in found.within] == [0, 1, 2, 2]
    assert found.collapsed == pytest.approx(1 / 3)


def test_sources_do_not_make_each_other_duplicates():
    ends = {"a": done(odd(0.1)), "b": done(odd(0.1))}
    trials, _ = evaluate({"generator": [start("a")], "random_search": [start("b")]}, ends, EMPTY)
    assert [items[0].novelty for items in trials.values()] == [Novelty.NEW, Novelty.NEW]


def test_what_relaxes_to_a_known_phase_or_to_a_training_structure_is_not_new():
    crystals = KnownStructures(
        known={"rutile": rutile()}, substituted={"fluorite": fluorite()}, energies={}, relaxed={}
    )
    ends = {"a": done(rutile(2.95)), "b": done(fluorite()), "c": done(odd(0.3))}
    trials, _ = evaluate({"generator": [start(name) for name in ends]}, ends, crystals)
    assert [(trial.novelty.value, trial.match) for trial in trials["generator"]] == [
        ("known", "rutile"),
        ("substituted", "fluorite"),
        ("new", ""),
    ]


def test_what_equals_a_relaxed_substitution_is_not_new():
    made = {name: start(name, odd(shift)).structure for name, shift in (("low", 1.2), ("high", 2.0), ("hull", 1.5))}
    crystals = KnownStructures({}, made, {"low": 0.1, "high": 0.4, "hull": 0.0}, relaxed={"hull": fluorite()})
    ends = {"a": done(odd(0.1)), "b": done(fluorite()), "c": done(rutile())}
    ends |= {"low": done(odd(0.1), evaluations=33), "high": done(rutile(), evaluations=44)}
    proposals = {"generator": [start("a"), start("b"), start("c")]}

    trials, counts = evaluate(proposals, ends, crystals, substituted=2)  # "high" is the third
    assert [trial.match for trial in trials["generator"]] == ["low (relaxed)", "hull (relaxed)", ""]
    assert counts.structures == 2 and counts.reused == 1 and counts.evaluations == 33
    trials, counts = evaluate(proposals, ends, crystals, substituted=3)
    assert [trial.match for trial in trials["generator"]] == ["low (relaxed)", "hull (relaxed)", "high (relaxed)"]
    assert counts.evaluations == 77


def test_plain_substitution_finds_nothing_new_and_what_it_found_is_not_new_for_others():
    made = {name: start(name, odd(shift)).structure for name, shift in (("s", 0.5), ("t", 0.9))}
    crystals = KnownStructures({}, made, {"s": 0.1, "t": 0.2}, {})
    ends = {"s": done(odd(0.1), evaluations=7), "t": done(fluorite(), evaluations=8), "a": done(fluorite())}
    proposals = {"generator": [start("a"), None], "substitution": [Proposal(name, made[name]) for name in "st"]}
    trials, counts = evaluate(proposals, ends, crystals, substituted=1)
    assert {trial.novelty for items in trials.values() for trial in items} == {Novelty.SUBSTITUTED}
    # "s" is the one listed, and its source has paid for it; "t" equals nothing that is listed
    assert (counts.structures, counts.evaluations, counts.missed, counts.unique) == (1, 0, 1, 2)


def test_what_fails_costs_its_evaluations_and_is_in_every_share():
    ends = {"a": done(odd(0.1)), "b": FAILED, "c": Relaxation(state="rejected", reason="crashed", evaluations=3)}
    trials, _ = evaluate({"random_search": [start(name) for name in ends]}, ends, EMPTY)
    found = summarise(trials["random_search"])
    assert (found.structures, found.relaxed, found.failed, found.evaluations) == (3, 1, 2, 513)
    assert found.reasons == {"not_converged": 1, "crashed": 1}
    last = found.within[-1]
    assert last.share == pytest.approx(1 / 3) and last.per_1000_evaluations == pytest.approx(1000 / 513)
    low, high = last.interval
    assert 0 < low < 1 / 3 < high < 1


def test_a_last_step_that_is_not_converged_is_no_find():
    result = Relaxation(odd(0.1), 0.0, state="rejected", reason="not_converged", evaluations=5)
    [trial] = classify_trials([VO2], [start("a")], [result], HULL, EMPTY.classifier({}))
    assert trial.structure is None and not trial.is_unique(1.0)


def test_a_target_cell_that_a_source_left_empty_is_no_trial():
    trials, _ = evaluate({"random_search": [start("a"), None]}, {"a": done(odd(0.1))}, EMPTY)
    assert [trial.target for trial in trials["random_search"]] == [0]
    assert summarise([]).within[-1].share is None


def test_substitutions_to_be_relaxed_are_the_lowest_and_differ_as_made():
    crystals = {"a": rutile(), "b": rutile(2.91), "c": fluorite(), "d": odd(0.1), "e": odd(0.4)}
    energies = {"a": -1.0, "b": -2.0, "c": -0.5, "d": 0.0}
    assert choose_substituted(crystals, energies, ["VO2"], 3) == ["b", "c", "d"]  # "a" equals "b"; "e" has no energy
    assert choose_substituted(crystals, energies, ["V2O3"], 3) == []


# Statistics of a source


def trial(target, new, evaluations=100, cell=VO2, kind="slerp"):
    novelty = Novelty.NEW if new else Novelty.KNOWN
    return Trial(target, cell, f"t{target}", kind, True, evaluations, "", odd(0.1), 0.01, novelty)


def test_strata_share_out_all_trials():
    cells = [VO2, TargetCell((("O", 8), ("V", 6))), TargetCell((("O", 10), ("V", 6)))]
    trials = [trial(i, i % 2, cell=cells[i % 3], kind=("slerp", "random")[i % 2]) for i in range(12)]
    found = strata(trials)
    assert set(found["anions_to_cations"]) == {"under 1.5", "1.5 to 2", "2 and over"}
    assert set(found["sites"]) == {"under 10", "10-14", "15-20"} and set(found["kind"]) == {"slerp", "random"}
    for parts in found.values():
        assert sum(part.structures for part in parts.values()) == 12
        assert sum(part.within[-1].new for part in parts.values()) == 6
    assert strata([trial(0, True, kind="")])["kind"] == {}


def test_the_difference_of_two_sources_has_an_interval_about_it_and_changes_sign_with_their_order():
    one = [trial(i, i < 30) for i in range(100)]
    other = [trial(i, i >= 80, evaluations=400) for i in range(100)]
    forth, back = compare(one, other, seed=0)[-1], compare(other, one, seed=0)[-1]
    assert forth.share == pytest.approx(0.1) == -back.share
    assert forth.per_1000_evaluations == pytest.approx(3 - 0.5)
    low, high = forth.interval
    assert low < 0.1 < high and 0.05 < high - low < 0.4
    assert compare(one, other, seed=0)[-1] == forth
    low, high = forth.per_1000_interval
    assert 0 < low < 2.5 < high


def test_a_source_does_not_differ_from_itself():
    one = [trial(i, i % 3 == 0) for i in range(50)]
    assert compare(one, one, seed=0)[-1].interval == (0.0, 0.0)


def test_where_neither_source_finds_anything_no_interval_pretends_to_certainty():
    none = [trial(i, False) for i in range(20)]
    row = compare(none, none, seed=0)[-1]
    assert row.share == 0 and row.interval is None and row.per_1000_interval is None


def test_target_cells_that_one_source_left_empty_are_not_compared():
    one, other = [trial(i, True) for i in range(10)], [trial(i, True) for i in range(5, 8)]
    assert {row.targets for row in compare(one, other, seed=0)} == {3}
    assert {row.share for row in compare(one, other, seed=0)} == {0.0}
    assert compare(one, [], seed=0) == []


def test_bootstrap_intervals_cover_the_truth_as_often_as_they_say():
    rng, covered = np.random.default_rng(1), 0
    for seed in range(40):
        one, other = ([trial(i, hit) for i, hit in enumerate(rng.random(80) < share)] for share in (0.4, 0.2))
        low, high = compare(one, other, seed)[-1].interval
        covered += low <= 0.2 <= high
    assert covered >= 35


# The command


@pytest.fixture(scope="module")
def run(tiny, run_once_trained, tmp_path_factory):
    small = {"slerp": 30, "prior": 5, "perturb": 10}
    return run_once_trained(tiny(sampling=small), tmp_path_factory.mktemp("baselines") / "run")


def call(*arguments):
    from imatgen_flows.cli.main import app

    return CliRunner().invoke(app, ["evaluate", "baselines", *map(str, arguments)], catch_exceptions=False)


WIDE = ("--sites", "2-4", "--ratio", "0.5", "--per-source", "6", "--substituted", "2")


def test_the_command_compares_sources_over_the_same_cells_and_a_second_call_relaxes_nothing(run, monkeypatch):
    sources = ("--sources", "generator,substitution,rattled")
    result = call(run, *WIDE, *sources, "--json")
    assert result.exit_code == 0
    found = json.loads((run / "baselines.json").read_text())
    assert found == json.loads(result.stdout)
    assert list(found["sources"]) == ["generator", "substitution", "rattled"] and found["targets"]
    for source, rows in found["trials"].items():
        item = found["sources"][source]
        assert item["structures"] + item["unfilled"] == len(found["targets"])
        assert item["relaxed"] + item["failed"] == item["structures"] == len(rows)
        assert sum(row["evaluations"] for row in rows) == item["evaluations"] > 0
        assert sum(item["classes"].values()) == item["relaxed"]
        assert all(row["asked"] == found["targets"][row["target"]] for row in rows)
    assert found["sources"]["substitution"]["within"][-1]["new"] == 0
    assert set(found["differences"]) == {"substitution", "rattled"}
    spent = found["relaxed_substitutions"]["evaluations"] + sum(s["evaluations"] for s in found["sources"].values())
    assert found["evaluations_total"] == spent

    def refuse(*_args, **_kwargs):
        raise AssertionError("relaxed again")

    monkeypatch.setattr("imatgen_flows.energetics.relax.relax_many", refuse)
    again = call(run, *WIDE, *sources)
    assert again.exit_code == 0 and "substitution" in again.stdout
    assert json.loads((run / "baselines.json").read_text()) == found


def test_random_search_takes_part(run):
    pytest.importorskip("pyxtal")
    found = json.loads(call(run, *WIDE, "--sources", "generator,random_search", "--json").stdout)
    random = found["sources"]["random_search"]
    assert random["structures"] == len(found["targets"]) and random["not_as_asked"] == random["unfilled"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--sources", "generator,genetic"),
            "knows no genetic; choose from generator,substitution,rattled,random_search",
        ),
        (("--sources", ","), "--sources names nothing"),
        (("--samplers", "slrp"), "--samplers knows no slrp"),
        (("--sites", "20-10"), "give the fewest and the most sites"),
        (("--sites", "many"), "give the fewest and the most sites"),
        (
            ("--sources", "generator", "--sites", "19-20"),
            "ascent in round 0 has 19 to 20 sites",
        ),
    ],
)
def test_the_command_says_what_it_cannot_do(run, arguments, message):
    with pytest.raises(InputError, match=message):
        call(run, "--sources", "generator", *arguments)


def test_without_pyxtal_nothing_is_relaxed_before_the_user_hears_of_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyxtal", None)
    with pytest.raises(InputError, match="PyXtal"):
        call(run, *WIDE)
