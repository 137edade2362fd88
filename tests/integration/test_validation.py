"""Two rounds on SLURM, each validated by the stand-in for VASP with CHGNet; the second is trained on finds of the first."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from campaigns import CPU_ONLY, finish, small_campaign, status, submit

from imatgen_flows.io.artifacts import read_lines
from imatgen_flows.jobs.extend_dataset import extend_dataset
from imatgen_flows.testing.install import install

pytestmark = pytest.mark.slurm
AT_MOST = 2


def test_two_rounds_with_dft_from_submit_to_report(lab, documents, tmp_path):
    standin = install(tmp_path / "standin", engine="chgnet")
    lab.configure(
        CPU_ONLY | {"cpu_vasp": {"cores": 1, "memory": "1G", "walltime": "00:30:00"}},
        vasp=str(standin.directory / "vasp_std"),
        potcars=str(standin.directory / "potcars"),
        setup=["export IMATGEN_STAND_IN=true"],
    )
    base = small_campaign(at_most=8, batch_size=8, potential="chgnet")
    config = base.model_copy(
        update={
            "screen": base.screen.model_copy(update={"threshold": 1.0, "fmax": 0.1}),
            "validation": base.validation.model_copy(
                update={"backend": "vasp-mp-gga", "at_most": AT_MOST, "fmax": 0.3}
            ),
            "rounds": base.rounds.model_copy(update={"at_most": 2}),
        }
    )
    campaign_id = submit(lab, config, tmp_path / "run")
    finish(lab, campaign_id, 3600)
    report = lab.run("imatgen", "harvest", campaign_id).stdout
    assert "report.html" in report and status(lab, campaign_id)["state"] == "COMPLETED"

    rows = pq.read_table(tmp_path / "run" / "candidates.parquet").to_pylist()
    for number in (0, 1):
        of_round = [row for row in rows if row["round"] == number]
        judged = [row for row in of_round if row["state"] == "validated" or row["rejected_stage"] == "validate"]
        shortlisted = [row for row in of_round if row["state"] == "shortlisted"]
        assert len(of_round) == 120 and judged and len(judged) == min(AT_MOST, len(judged) + len(shortlisted))
        for row in judged:
            assert row["validation_evaluations"] > 0
            assert row["rejected_reason"] or row["validated_scale"] == "MP2020 GGA/GGA+U"
    ledger = json.loads((tmp_path / "run" / "ledger.json").read_text())
    assert sum(ledger["states"].values()) == ledger["samples"] == 240
    assert ledger["evaluations"]["validate"] == sum(row["validation_evaluations"] for row in rows)
    assert ledger["evaluations"]["validate references"] > 0

    (dataset,) = documents(tmp_path / "run", extend_dataset)
    finds = {row["id"] for row in read_lines(dataset.crystals) if row.get("round_find")}
    validated = {f"found:{row['sample']}" for row in rows if row["round"] == 0 and row["state"] == "validated"}
    assert validated and validated <= finds
