"""A batch: sources compete for it, the gate is the same for all, and what one leaves goes to the others."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.candidates.novelty import RESEMBLANCE, NoveltyClassifier
from imatgen_flows.sources.allocation import allocate_fixed
from imatgen_flows.sources.batch import CALLS, Batch, ask_source, examine_proposal, fill_batch
from imatgen_flows.sources.registry import FILES, RANDOM_SEARCH, SOURCES, SUBSTITUTION, Source
from imatgen_flows.sources.search import Candidate, SearchContext, SearchSpace

SPACE = SearchSpace(("Mg", "O"), max_sites=8)


def rock_salt(edge):
    return Structure.from_spacegroup(225, Lattice.cubic(edge), ["Mg", "O"], [[0, 0, 0], [0.5] * 3])


def structure(number):
    """A crystal that differs from those of other numbers: atoms on some points of a grid."""
    random = np.random.default_rng(number)
    places = random.permutation(27)[:5]
    grid = np.array([[place // 9, place // 3 % 3, place % 3] for place in places]) / 3
    return Structure(Lattice.orthorhombic(6.0, 6.9, 7.8), ["Mg", "Mg", "O", "O", "O"], grid)


@pytest.fixture
def lists(monkeypatch):
    """Give sources lists of structures to propose from, in place of their own functions."""

    def build(**structures):
        def propose(name):
            def call(context, number, seed):
                waiting = [i for i in range(len(structures[name])) if str(i) not in context.taken]
                return [Candidate(structures[name][i], (str(i),)) for i in waiting[:number]]

            return call

        functions = {name: propose(name) for name in structures}
        monkeypatch.setattr(Source, "load", lambda self: functions[self.name])

    return build


def batch(known=()):
    found = {str(i): item for i, item in enumerate(known)}
    return Batch((0, 0), SPACE, NoveltyClassifier(known=found, substituted={}), seed=1)


def fill(one, number, sources, context=None):
    shares = dict.fromkeys(sources, 1.0)

    def allocate(names, missing):
        given = {name: len(one.chosen.get(name, ())) for name in names}
        return allocate_fixed({name: shares[name] for name in names}, given, missing)

    return fill_batch(one, number, sources, allocate, ask_source(one, context or SearchContext(SPACE)))


def test_sources_share_a_batch_and_names_say_whose_a_candidate_is(lists):
    lists(random_search=[structure(i) for i in range(4)], files=[structure(i) for i in range(4, 8)])
    one = batch()
    assert fill(one, 6, [RANDOM_SEARCH, FILES]) == {RANDOM_SEARCH: 3, FILES: 3}
    assert one.chosen == {
        RANDOM_SEARCH: [f"r0-random_search-00000{i}" for i in range(3)],
        FILES: [f"r0-files-00000{i}" for i in range(3)],
    }
    assert {row["source"] for row in one.rows if "source" in row} == {RANDOM_SEARCH, FILES}


def test_the_budget_of_a_source_that_dies_out_goes_to_the_others(lists):
    lists(random_search=[structure(i) for i in range(8)], files=[structure(9)])
    one = batch()
    planned = fill(one, 6, [RANDOM_SEARCH, FILES])
    assert planned == {RANDOM_SEARCH: 3, FILES: 3}
    assert {source: len(samples) for source, samples in one.chosen.items()} == {RANDOM_SEARCH: 5, FILES: 1}


def test_a_source_that_gives_nothing_valid_ends_after_some_calls(lists):
    collapsed = [Structure(Lattice.cubic(4 + 0.01 * i), ["Mg", "O"], [[0, 0, 0], [0.02, 0, 0]]) for i in range(1000)]
    lists(random_search=[structure(i) for i in range(8)], files=collapsed)
    one = batch()
    fill(one, 4, [RANDOM_SEARCH, FILES])
    assert len(one.chosen[RANDOM_SEARCH]) == 4 and not one.chosen.get(FILES)
    faults = [row for row in one.rows if row.get("rejected_reason") == "overlap"]
    assert len(faults) == one.made[FILES] == 2 * CALLS


def test_nothing_left_anywhere_ends_with_fewer(lists):
    lists(random_search=[structure(1)], files=[])
    one = batch()
    fill(one, 4, [RANDOM_SEARCH, FILES])
    assert sum(map(len, one.chosen.values())) == 1


def test_what_one_source_proposed_is_a_duplicate_from_another(lists):
    lists(random_search=[structure(1)], files=[structure(1), structure(2)])
    one = batch()
    fill(one, 3, [RANDOM_SEARCH, FILES])
    rejected = [row for row in one.rows if row.get("novelty") == "duplicate"]
    assert [row["sample"] for row in rejected] == ["r0-files-000000"]
    assert sum(map(len, one.chosen.values())) == 2


def test_a_known_crystal_is_rejected_but_the_dataset_may_be_proposed_by_substitution(lists):
    lists(files=[rock_salt(4.2)], substitution=[rock_salt(4.2)])
    known = batch([rock_salt(4.2)])
    fill(known, 1, [FILES])
    assert [row["rejected_reason"] for row in known.rows if row.get("rejected_stage")] == ["known"]
    own = Batch((0, 0), SPACE, NoveltyClassifier(known={}, substituted={"a": rock_salt(4.2)}), seed=1)
    fill(own, 1, [SUBSTITUTION])
    assert own.chosen[SUBSTITUTION] == ["r0-substitution-000000"]


def test_every_candidate_that_was_made_has_one_last_row_and_one_state(lists):
    lists(files=[structure(1), structure(1), rock_salt(20.0), Structure(Lattice.cubic(4), ["Mg"], [[0, 0, 0]])])
    one = batch()
    fill(one, 4, [FILES])
    last = {}
    for row in one.rows:
        last.setdefault(row["sample"], {}).update(row)
    assert len(last) == one.made[FILES] == 4
    assert sorted(row["state"] for row in last.values()) == ["rejected", "rejected", "rejected", "unique"]


@pytest.mark.parametrize(
    ("space", "reason"),
    [
        (SearchSpace(("Mg", "Al", "O")), "missing_element"),
        (SearchSpace(("Mg",)), "other_elements"),
        (SearchSpace(("Mg", "O"), max_sites=4), "too_many_sites"),
        (SearchSpace(("Mg", "O"), min_sites=12), "other_size"),
        (SearchSpace(("Mg", "O"), max_edge=4.0), "edge_too_long"),
    ],
)
def test_what_lies_outside_the_space_is_rejected_with_the_reason(space, reason):
    row, crystal = examine_proposal(rock_salt(4.2), space)
    assert crystal is None and row["rejected_reason"] == reason


def test_the_same_seed_asks_for_the_same_and_another_call_for_other_crystals():
    one, again = batch(), batch()
    assert one.seed_of(RANDOM_SEARCH, 0) == again.seed_of(RANDOM_SEARCH, 0)
    seeds = {one.seed_of(source, call) for source in SOURCES.names for call in range(5)}
    assert len(seeds) == 5 * len(SOURCES)


def test_what_resembles_something_known_is_relaxed_last(lists):
    """A rock salt that is stretched by two fifths is no duplicate of the known one, but resembles it."""
    known = rock_salt(4.2)
    stretched = Structure(Lattice.tetragonal(4.2, 5.88), known.species, known.frac_coords)
    lists(files=[stretched, structure(1), structure(2)])

    def batch_of(**more):
        return Batch((0, 0), SPACE, NoveltyClassifier({"known": known}, {}), seed=1, **more)

    plain = batch_of()
    fill(plain, 2, [FILES])
    assert plain.chosen[FILES] == ["r0-files-000000", "r0-files-000001"]
    distinct = batch_of(resemblance=NoveltyClassifier({"known": known}, {}, **RESEMBLANCE))
    fill(distinct, 2, [FILES])
    assert distinct.chosen[FILES] == ["r0-files-000001", "r0-files-000002"]
    all_of_them = batch_of(resemblance=NoveltyClassifier({"known": known}, {}, **RESEMBLANCE))
    fill(all_of_them, 3, [FILES])
    assert all_of_them.chosen[FILES] == ["r0-files-000001", "r0-files-000002", "r0-files-000000"]


def test_a_source_keeps_its_share_though_all_that_it_has_resembles_something_known(lists):
    known = rock_salt(4.2)
    stretched = [
        Structure(Lattice.tetragonal(4.2, 4.2 * ratio), known.species, known.frac_coords) for ratio in (1.4, 1.9)
    ]
    lists(files=stretched, random_search=[structure(i) for i in range(8)])
    one = Batch(
        (0, 0),
        SPACE,
        NoveltyClassifier({"known": known}, {}),
        seed=1,
        resemblance=NoveltyClassifier({"known": known}, {}, **RESEMBLANCE),
    )
    fill(one, 4, [FILES, RANDOM_SEARCH])
    assert {source: len(samples) for source, samples in one.chosen.items()} == {FILES: 2, RANDOM_SEARCH: 2}


def test_what_was_put_off_waits_for_a_later_batch_unless_it_was_found_since(lists):
    lists(files=[])
    later = batch([structure(1)])
    made = {"r0-files-000000": structure(1), "r0-files-000001": structure(2)}
    later.restore(FILES, [(sample, sample) for sample in made], made)
    assert later.deferred == [(FILES, "r0-files-000001")]
    assert [row["sample"] for row in later.rows if row["state"] == "rejected"] == ["r0-files-000000"]
    fill(later, 2, [FILES])
    assert later.chosen[FILES] == ["r0-files-000001"]
