"""What counts as found again, by whom, and what is said where nothing was found."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure
from pytest import approx

from imatgen_flows.candidates.holdout import hold_out_prototypes
from imatgen_flows.energetics.relax import Relaxation
from imatgen_flows.metrics.rediscovery import (
    KnownPhase,
    Sample,
    choose_to_relax,
    find_by_substitution,
    search,
)
from imatgen_flows.metrics.rediscovery_tables import (
    RunFindings,
    known_rows,
    prototype_clusters,
    summarise,
    tally,
)
from imatgen_flows.metrics.statistics import rate_interval


def cubic(group, edge, anion):
    return Structure.from_spacegroup(group, Lattice.cubic(edge), ["V", "O"], [[0, 0, 0], [anion] * 3])


def rutile(a=4.55, c=2.86, x=0.305):
    return Structure.from_spacegroup(136, Lattice.tetragonal(a, c), ["V", "O"], [[0, 0, 0], [x, x, 0]])


ROCKSALT, CAESIUM_CHLORIDE, FLUORITE = cubic(225, 4.1, 0.5), cubic(221, 2.6, 0.5), cubic(225, 4.9, 0.25)
KNOWNS = [KnownPhase("rutile", rutile()), KnownPhase("rocksalt", ROCKSALT)]


def sample(structure, name="a", **fields):
    return Sample(name, "slerp", structure, **fields)


def rattled(structure, distance=0.05, seed=1):
    moved = structure.copy()
    moved.perturb(distance, seed=seed)
    return moved


def never(structures):
    raise AssertionError(f"nothing was to be relaxed, {sorted(structures)} were")


def look(knowns, samples, relax=never, at_most=0):
    return search(knowns, {known.id: samples for known in knowns}, relax, at_most)


def run_of(samples, name="run", held_out="structures", knowns=KNOWNS, **options):
    tier = look(knowns, samples, **options)
    made = find_by_substitution(knowns, [ROCKSALT])
    return RunFindings(name, 7, held_out, knowns, {"T2": tier}, {"as made": made})


def test_a_phase_that_is_among_the_samples_is_found_and_the_closest_sample_is_named():
    samples = [
        sample(FLUORITE, "other"),
        sample(rattled(rutile(), 0.3), "rough"),
        sample(rattled(rutile(), 0.03), "fine"),
    ]
    tier = look(KNOWNS, samples)
    for matcher in ("default", "loose"):
        hit = tier.findings["rutile"].hits[matcher]["before"]
        assert (hit.sample, hit.sampler) == ("fine", "slerp")
        assert 0 < hit.rms < 0.03 and hit.volume == approx(1)
        assert tier.findings["rutile"].hits[matcher]["after"] is None
    assert tier.samples == 3 and tier.relaxed == tier.evaluations == 0


@pytest.mark.parametrize("strain", [-0.2, 0.2])
def test_a_change_of_volume_is_still_a_match_and_is_reported(strain):
    swollen = rutile()
    swollen.apply_strain(strain)
    hit = look(KNOWNS, [sample(swollen)]).findings["rutile"].hits["default"]["before"]
    assert hit.rms == approx(0, abs=1e-6) and hit.volume == approx((1 + strain) ** 3)


@pytest.mark.parametrize("cell", [(1, 1, 2), (1, 2, 1)])
def test_a_supercell_is_still_a_match(cell):
    assert look(KNOWNS, [sample(rutile() * cell)]).findings["rutile"].found("default", "before")


def test_another_prototype_of_the_composition_is_no_match():
    finding = look(KNOWNS, [sample(FLUORITE), sample(CAESIUM_CHLORIDE, "b")]).findings
    assert not any(finding[known.id].found("loose", "either") for known in KNOWNS)
    assert finding["rutile"].sampled == finding["rocksalt"].sampled == 1


def test_what_only_the_loose_matcher_accepts_is_told_apart():
    sheared = rutile(a=4.55, c=2.86 * 1.45)
    finding = look(KNOWNS, [sample(sheared)]).findings["rutile"]
    assert finding.found("loose", "before") and not finding.found("default", "before")


def test_a_valid_sample_is_named_before_a_closer_one_that_is_not():
    samples = [sample(rutile(), "invalid", valid=False), sample(rattled(rutile()), "valid")]
    hit = look(KNOWNS, samples).findings["rutile"].hits["default"]["before"]
    assert hit.sample == "valid" and hit.valid


def test_what_is_no_crystal_is_compared_with_nothing():
    collapsed = Structure(Lattice.tetragonal(0.5, 0.3), rutile().species, rutile().frac_coords)
    flat = Structure([[4, 0, 0], [4, 1e-9, 0], [0, 0, 3]], rutile().species, rutile().frac_coords)
    finding = look(KNOWNS, [sample(collapsed), sample(flat, "b")]).findings["rutile"]
    assert not finding.found("loose", "either") and finding.sampled == 2


def test_relaxation_is_of_the_sample_that_matches_or_else_of_the_nearest():
    known = KNOWNS[0]
    doubtful, clean = (
        sample(FLUORITE, "doubtful", decode_order=(1, 0.1)),
        sample(FLUORITE, "clean", decode_order=(0, 0.4)),
    )
    small = sample(FLUORITE.get_primitive_structure(), "small", decode_order=(0, 0.0))  # three atoms are no rutile
    samples = [sample(ROCKSALT, "other"), small, doubtful, clean]
    none = {"default": None, "loose": None}
    assert choose_to_relax(known, samples, none).name == "clean"
    hits = {
        name: hits["before"] for name, hits in look([known], [sample(rutile(), "it")]).findings["rutile"].hits.items()
    }
    assert choose_to_relax(known, [*samples, sample(rutile(), "it", decode_order=(1, 0.9))], hits).name == "it"
    assert choose_to_relax(known, samples[:1], none) is None


def test_relaxation_finds_what_was_not_found_before_and_counts_what_it_cost():
    asked = []

    def to_rutile(structures):
        asked.extend(structures)
        return {name: Relaxation(rutile(), evaluations=30) for name in structures}

    tier = look(KNOWNS, [sample(FLUORITE, "far"), sample(rutile(x=0.02), "farther")], to_rutile, at_most=5)
    finding = tier.findings["rutile"]
    assert not finding.found("default", "before") and finding.found("default", "after")
    assert finding.found("default", "either") and finding.hits["default"]["after"].sample in asked
    assert len(asked) == 1 and (tier.relaxed, tier.evaluations) == (1, 30)


def test_what_the_campaign_relaxed_is_not_relaxed_again():
    samples = [sample(rutile(), "a"), sample(ROCKSALT, "b", relaxed=ROCKSALT)]
    asked = []

    def fail(structures):
        asked.extend(structures)
        return {name: Relaxation(state="rejected", evaluations=4) for name in structures}

    tier = look(KNOWNS, samples, fail, at_most=2)
    assert asked == ["a"] and (tier.relaxed, tier.evaluations) == (1, 4)
    assert tier.findings["rocksalt"].found("default", "after")
    assert not tier.findings["rutile"].found("default", "after")


def test_at_most_so_many_are_relaxed():
    asked = []

    def fail(structures):
        asked.extend(structures)
        return {name: Relaxation(state="rejected", evaluations=4) for name in structures}

    samples = [sample(FLUORITE, "far", decode_order=(0, 0.0)), sample(ROCKSALT, "matches", decode_order=(1, 0.9))]
    look(KNOWNS, samples, fail, at_most=1)
    assert asked == ["matches"]


def test_substitution_finds_what_it_made_and_nothing_where_the_prototypes_were_held_out():
    from imatgen_flows.crystals.substitution import Substituted

    made = [Substituted(f"m{i}", item, f"t{i}") for i, item in enumerate([rattled(rutile()), ROCKSALT, FLUORITE])]
    all_made = find_by_substitution(KNOWNS, [item.structure for item in made])
    assert all_made.structures == 3 and all_made.found == {
        "default": {"rutile", "rocksalt"},
        "loose": {"rutile", "rocksalt"},
    }
    kept, _ = hold_out_prototypes(made, [(known.id, known.structure) for known in KNOWNS])
    assert find_by_substitution(KNOWNS, [item.structure for item in kept]).found == {"default": set(), "loose": set()}


def test_phases_of_one_prototype_are_one_cluster_and_count_once():
    knowns = [KNOWNS[0], KNOWNS[1], KnownPhase("rutile again", rattled(rutile(), 0.1))]
    clusters = prototype_clusters(knowns)
    assert clusters == {"rutile": 0, "rocksalt": 1, "rutile again": 0}
    counted = tally([{"rutile", "rutile again"}], clusters)
    assert counted["found"] == [2] and counted["rate"] == approx(2 / 3)
    assert counted["clusters"]["found"] == [1] and counted["clusters"]["rate"] == approx(1 / 2)
    assert counted["interval"] == approx(rate_interval(2, 3))


def test_over_several_runs_the_mean_has_an_interval_and_the_union_is_counted():
    runs = [run_of([sample(rutile())], "first"), run_of([sample(ROCKSALT), sample(rutile(), "b")], "second")]
    counted = summarise(runs)["structures"]["tiers"]["T2"]["default"]["before"]
    assert counted["found"] == [1, 2] and counted["union"] == 2 and counted["rate"] == approx(0.75)
    assert counted["interval"] == [0, 1]  # what two runs say of a mean is next to nothing
    rows = {row["id"]: row for row in known_rows(runs)}
    assert rows["rutile"]["structures"]["T2"]["default"]["before"]["runs"] == 2
    found = rows["rocksalt"]["structures"]["T2"]["default"]["before"]
    assert (found["found"], found["runs"], found["run"], found["sample"]) == (True, 1, "second", "a")
    assert rows["rocksalt"]["structures"]["substitution"]["as made"] == {"default": True, "loose": True}
    assert (rows["rutile"]["spacegroup_number"], rows["rutile"]["nsites"]) == (136, 6)


def test_runs_that_held_out_different_things_are_counted_apart():
    summary = summarise([run_of([sample(rutile())]), run_of([], held_out="prototypes")])
    assert [group["runs"] for group in summary.values()] == [1, 1]
    assert [group["tiers"]["T2"]["default"]["before"]["found"] for group in summary.values()] == [[1], [0]]


def test_a_state_that_nothing_is_in_is_not_counted_as_a_failure():
    tier = summarise([run_of([sample(rutile())])])["structures"]["tiers"]["T2"]["default"]
    assert tier["after"] is None and tier["either"]["found"] == [1]


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([ROCKSALT], "composition_never_sampled"),
        ([FLUORITE.get_primitive_structure()], "size_never_sampled"),
        ([FLUORITE], "few_samples"),
        ([FLUORITE] * 12, "no_match"),
    ],
)
def test_what_was_not_found_has_a_reason(samples, reason):
    run = run_of([sample(structure, str(i)) for i, structure in enumerate(samples)], knowns=KNOWNS[:1])
    [row] = known_rows([run])
    assert row["structures"]["T2"]["default"]["reason"] == reason
    [found] = known_rows([run_of([sample(rutile())], knowns=KNOWNS[:1])])
    assert "reason" not in found["structures"]["T2"]["default"]
