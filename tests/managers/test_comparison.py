"""Runs of a comparison of arms, which share one store of artifacts."""

from __future__ import annotations

import pytest

from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.candidate_table import extend_table
from imatgen_flows.jobs.documents import CandidatesDocument, CandidateTable
from imatgen_flows.managers.comparison import COMPARISON_FILE, STORE, ComparisonSettings, comparison_of, run_comparison
from imatgen_flows.managers.comparison import run_directory as directory_of
from imatgen_flows.run import Run


@pytest.fixture
def compared(tiny, tmp_path, monkeypatch):
    """A comparison whose second arm has begun, while the store holds candidates of the first alone."""

    def begin(config, directory, resume):
        store = ArtifactStore(directory / STORE)
        if directory.name == "substitution":
            rows = [{"sample": "r0-substitution-000000", "source": "substitution", "round": 0, "state": "unique"}]
            table = extend_table(store, CandidateTable(), rows, None)
            made = CandidatesDocument(key="propose_candidates-0123456789abcdef", candidates=table, counts={}, seed=1)
            store.finish(made.key, made.model_dump(mode="json"))

    monkeypatch.setattr("imatgen_flows.managers.comparison.run_campaign", begin)
    settings = ComparisonSettings(seeds=(7,), arms=("substitution", "rattled"), relaxations=4, batches=1)
    run_comparison(tiny(), settings, tmp_path / "out")
    return tmp_path / "out"


def test_an_unfinished_arm_does_not_show_the_candidates_of_another(compared):
    run = Run.open(directory_of(compared, "rattled", 7))
    with pytest.raises(InputError, match="campaign of the comparison in .*out has not come to its end \\(stopped\\)"):
        _ = run.candidates


def test_a_run_with_artifacts_of_its_own_is_of_no_comparison(compared, tmp_path):
    assert comparison_of(directory_of(compared, "rattled", 7)) == compared
    alone = tmp_path / "alone"
    (alone / STORE).mkdir(parents=True)
    (alone / COMPARISON_FILE).write_text("{}")
    assert comparison_of(alone) is None
