"""Rounds: each learns from the one before, none finds the same again, and the ledger balances across them."""

from __future__ import annotations

import json
import shutil

import pyarrow.parquet as pq
import pytest

from imatgen_flows.flows.rounds import reason_to_stop
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.documents import CandidateTable, RoundDocument
from imatgen_flows.jobs.extend_dataset import extend_dataset, extend_labels
from imatgen_flows.jobs.train import train_autoencoder, train_vae
from imatgen_flows.managers.local import run_campaign

pytestmark = pytest.mark.slow
SCREEN = {"potential": "toy", "at_most": 10, "max_steps": 100, "fmax": 0.3, "threshold": 2.0}


@pytest.fixture(scope="module")
def config(tiny):
    def build(rounds):
        return tiny(limits={"max_sites": 8, "max_edge": 7}, screen=SCREEN, rounds={"at_most": rounds})

    return build


@pytest.fixture(scope="module")
def first(config, run_once_trained, tmp_path_factory):
    return run_once_trained(config(1), tmp_path_factory.mktemp("rounds") / "first")


@pytest.fixture(scope="module")
def both(first, config):
    """The same campaign, extended by a round after it had ended."""
    directory = first.with_name("both")
    shutil.copytree(first, directory)
    return run_campaign(config(2), directory, resume=True)


def rows_of(directory):
    return pq.read_table(directory / "candidates.parquet").to_pylist()


def test_a_campaign_that_ended_goes_on_and_repeats_nothing(first, both):
    before = {path.name: path.read_bytes() for path in (first / "artifacts" / "documents").iterdir()}
    after = {path.name: path.read_bytes() for path in (both / "artifacts" / "documents").iterdir()}
    assert before.items() <= after.items() and len(after) > len(before)
    for job in ("propose_candidates", "relax_batch"):  # of the second round alone
        assert sum(name.startswith(job) for name in after) == 2 * sum(name.startswith(job) for name in before)
    assert [row for row in rows_of(both) if row["round"] == 0] == rows_of(first)


def test_every_sample_and_evaluation_of_every_round_is_counted(first, both):
    rows, ledger = rows_of(both), json.loads((both / "ledger.json").read_text())
    assert {row["round"] for row in rows} == {0, 1} and len({row["sample"] for row in rows}) == len(rows) == 120
    assert sum(ledger["states"].values()) == ledger["samples"] == 120
    assert ledger["evaluations"]["screen"] == sum(row["evaluations"] for row in rows)
    gains = json.loads((both / "rounds.json").read_text())["rounds"]
    assert [gain["round"] for gain in gains] == [0, 1]
    assert sum(gain["evaluations"] for gain in gains) == ledger["evaluations_total"]
    assert gains[:1] == json.loads((first / "rounds.json").read_text())["rounds"]


def test_the_next_round_learns_what_the_first_found_with_its_relaxed_energy(both, documents):
    (dataset,) = documents(both, extend_dataset)
    (labels,) = documents(both, extend_labels)
    new = {f"found:{row['sample']}": row for row in rows_of(both) if row["round"] == 0 and row["novelty"] == "new"}
    finds = [row["id"] for row in read_lines(dataset.crystals) if row.get("round_find")]
    assert finds and set(finds) <= set(new)
    known = {label["id"]: label for label in read_lines(labels.labels)}
    assert list(known) == [row["id"] for row in read_lines(dataset.crystals)]
    for name in finds:
        assert known[name]["formation_energy"] == pytest.approx(new[name]["formation_energy"])
        assert known[name]["evaluations"] == 0


def test_networks_go_on_from_those_of_the_round_before(both, documents):
    models = documents(both, train_autoencoder, train_vae)
    by_role = {role: [model for model in models if model.role == role] for role in ("basis", "vae")}
    for role, pair in by_role.items():
        (before,) = (model for model in pair if not any(other.key in model.parents for other in pair))
        (after,) = (model for model in pair if before.key in model.parents)
        assert after.epochs < before.epochs and after.weights != before.weights, role


def test_nothing_is_found_twice(both):
    found = [row for row in rows_of(both) if row["novelty"] == "new" and row["e_above_hull"] is not None]
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Structure

    structures = [
        (row["round"], Structure.from_file(both / "structures" / f"{row['relaxed_id']}.cif")) for row in found
    ]
    matcher = StructureMatcher()
    early = [structure for number, structure in structures if number == 0]
    late = [structure for number, structure in structures if number == 1]
    assert early and not any(matcher.fit(one, other) for one in early for other in late)


def test_samples_of_rounds_have_seeds_of_their_own(both):
    seeds = [{row["seed"] for row in rows_of(both) if row["round"] == number} for number in (0, 1)]
    assert not seeds[0] & seeds[1]


def finished(tmp_path, number=0, shortlisted=1, spent=10):
    table = ArtifactStore(tmp_path).put_json("rounds", {"rounds": [{"shortlisted": shortlisted}]})
    return RoundDocument(
        key="finish_round-0",
        round=number,
        candidates=CandidateTable(),
        ledger={"evaluations_total": spent},
        tables={"rounds": table},
    )


@pytest.mark.parametrize(
    ("rounds", "state", "words"),
    [
        ({"at_most": 3}, {"number": 2}, "`rounds.at_most` is 3"),
        ({"at_most": 3, "evaluations": 100}, {"spent": 100}, "100 energy evaluations were spent"),
        ({"at_most": 3}, {"shortlisted": 0}, "nothing new within 0.15 eV/atom"),
        ({"at_most": 3}, {}, ""),
    ],
)
def test_a_campaign_stops_for_a_reason(tiny, tmp_path, rounds, state, words):
    reason = reason_to_stop(tiny(rounds=rounds), finished(tmp_path, **state))
    assert reason.startswith(words) if not words else words in reason
    assert bool(reason) == bool(words)


def test_the_report_shows_what_each_round_has_brought(both):
    from imatgen_flows.report import RunDirectory, build_report

    run = RunDirectory.open(both)
    assert len(run.rounds) == 2 and set(run.on_map["round"].to_pylist()) == {1}
    assert "Within 0.1 eV/atom" in build_report(both).read_text()
