"""Ten thousand candidates: the size of documents, and the cost of dispatch compared with one job for each structure."""

from __future__ import annotations

import json
import time
from pathlib import Path

import bson
import numpy as np
import pytest
from campaigns import CPU_ONLY, small_campaign, status
from jobflow import Flow

from imatgen_flows.candidates.candidate import describe_crystal
from imatgen_flows.candidates.states import State
from imatgen_flows.cluster import PROFILES
from imatgen_flows.flows import ScreenMaker
from imatgen_flows.flows.profiles import assign_profiles
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.candidate_table import candidates_fields, extend_table
from imatgen_flows.jobs.documents import CampaignData, CandidatesDocument, CandidateTable, DatasetDocument
from imatgen_flows.jobs.filter_candidates import filter_candidates
from imatgen_flows.jobs.finish_round import finish_round
from imatgen_flows.jobs.label_dataset import label_dataset
from imatgen_flows.jobs.reconstruction import evaluate_reconstruction
from imatgen_flows.jobs.references import extend_hull, relax_references
from imatgen_flows.jobs.train import train_autoencoder, train_vae
from imatgen_flows.managers.campaigns import campaign_flow, metadata
from imatgen_flows.managers.cluster_files import manager_config
from imatgen_flows.managers.fireworks import CampaignLaunchPad
from imatgen_flows.managers.local import run_campaign
from imatgen_flows.managers.results import read_documents
from imatgen_flows.sources.registry import GENERATOR

pytestmark = pytest.mark.slurm

MANY, SINGLE = 10_000, 12
LARGEST_DOCUMENT = 4_000_000  # bytes
LESS_BY = 20


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A finished run, whose dataset, networks and hull the candidates here are made for."""
    return run_campaign(small_campaign(), tmp_path_factory.mktemp("prepared") / "run")


def candidates(store: ArtifactStore, template: CandidatesDocument, dataset: DatasetDocument, number: int):
    """Strain and shake the dataset's crystals into candidates, each with a row and a structure of its own."""
    from pymatgen.core import Structure

    from imatgen_flows.crystals.arrays import CrystalArrays
    from imatgen_flows.crystals.identity import structure_id
    from imatgen_flows.crystals.standard import standardise

    parents = [Structure.from_dict(row["structure"]) for row in read_lines(dataset.crystals)]
    shared = {"source": GENERATOR, "sampler": "made", "seed": 7, "state": State.UNIQUE.value}
    shared |= {"residual": 0.1, "count_matches": True, "min_distance": 1.5, "repaired": 0, "clean": True}
    random, rows, crystals = np.random.default_rng(7), [], []
    while len(rows) < number:
        structure = parents[len(rows) % len(parents)].copy()
        structure.apply_strain(random.uniform(-0.02, 0.02, 3))
        structure.translate_sites(list(range(len(structure))), random.normal(0, 0.01, 3), frac_coords=False)
        for site in range(len(structure)):
            structure.translate_sites([site], random.normal(0, 0.03, 3), frac_coords=False)
        structure = standardise(structure)
        sample = f"r0-made-{len(rows):06d}"
        own = {"sample": sample, "id": structure_id(structure), "latent_row": len(rows)}
        rows.append(shared | own | describe_crystal(structure))
        crystals.append((sample, CrystalArrays.of(structure)))
    fields = candidates_fields(extend_table(store, CandidateTable(), rows, crystals), template)
    given = {"round": 0, "batch": 0, "source": GENERATOR, "planned": number, "given": number, "made": 0}
    fields["extra"] = fields["extra"] | {
        "chosen": store.put_json("chosen", [row["sample"] for row in rows]),
        "allocation": store.put_json("allocation", [given]),
    }
    return CandidatesDocument(key=f"propose_candidates-made{number}", to_relax=number, **fields)


def submit(lab, documents, prepared, made: CandidatesDocument, run: Path, number: int, batch_size: int | None) -> str:
    """Put the second half of a campaign on the LaunchPad: relaxation and ranking of given candidates."""
    # relaxations of one step: what is measured here is all the rest
    screen = {"potential": "toy", "at_most": number, "batch_size": batch_size, "max_steps": 1, "fmax": 1.0}
    screen["distinct"] = False
    config = small_campaign(screen=screen)
    configs = {name: manager_config(name, lab.cluster, lab.directory) for name in PROFILES}
    campaign_id, _ = campaign_flow(config, run, lab.cluster)
    store = ArtifactStore(run / "artifacts")
    (labels,) = documents(prepared, label_dataset)
    data = CampaignData(
        dataset=documents(prepared, build_dataset)[0],
        labels=labels,
        evaluated=labels,
        references=documents(prepared, extend_hull)[0],
        published=documents(prepared, relax_references)[0],
    )
    screen = ScreenMaker(screen=config.screen, walltime=lab.cluster.profiles.gpu_relax.walltime).make(
        str(store.root), made, data
    )
    finish = finish_round(
        str(store.root),
        samples=number,
        data=data,
        models=documents(prepared, train_autoencoder, train_vae),
        reconstruction=documents(prepared, evaluate_reconstruction)[0],
        candidates=screen.output,
    )
    flow = Flow([screen, finish], output=finish.output, name="screening")
    assign_profiles(flow, configs)
    flow.update_metadata({"campaign_id": campaign_id})
    CampaignLaunchPad(lab.directory).add(flow, f"{campaign_id}: screening", metadata(config, run, campaign_id))
    return campaign_id


def orchestration(
    lab, documents, prepared, run: Path, number: int, batch_size: int | None, timeout: float
) -> tuple[float, str]:
    """Run it; return the seconds for 1,000 candidates that were no job's own, and the campaign's id.

    Counted: submission, harvest, the dispatcher, and of each job in the queue what the job itself did not take.
    """
    (dataset,) = documents(prepared, build_dataset)
    (filtered,) = documents(prepared, filter_candidates)
    made = candidates(ArtifactStore(run.with_name("made")), filtered, dataset, number)
    began = time.monotonic()
    campaign_id = submit(lab, documents, prepared, made, run, number, batch_size)
    spent = time.monotonic() - began
    states = lab.dispatch(timeout)
    assert set(states.values()) == {"COMPLETED"}
    spent += sum(seconds(lab.slurm.job(lab.slurm_id(fw_id))["RunTime"]) for fw_id in states)
    spent -= sum(document.seconds for document in read_documents(lab.directory, campaign_id))
    began = time.monotonic()
    # one step of relaxation leaves few candidates low in energy; a harvest with an empty shortlist ends with 1
    done = lab.run("imatgen", "harvest", campaign_id, timeout=600, check=False)
    spent += time.monotonic() - began
    assert (done.returncode == 0 or "no result" in done.stderr) and (run / "report.html").is_file(), done.stderr
    return spent / number * 1000, campaign_id


def seconds(clock: str) -> int:
    """Read SLURM's HH:MM:SS."""
    hours, minutes, rest = map(int, clock.split(":"))
    return (hours * 60 + minutes) * 60 + rest


def test_ten_thousand_candidates_pass_in_small_documents_at_small_cost(lab, documents, prepared, tmp_path):
    lab.configure(CPU_ONLY)
    single, _ = orchestration(lab, documents, prepared, tmp_path / "single" / "run", SINGLE, 1, 600)
    lab.launchpad.reset("", require_password=False, max_reset_wo_password=1_000)
    batched, campaign_id = orchestration(lab, documents, prepared, tmp_path / "many" / "run", MANY, None, 1800)
    said = status(lab, campaign_id)
    ledger = json.loads((tmp_path / "many" / "run" / "ledger.json").read_text())
    assert sum(ledger["states"].values()) == ledger["samples"] == MANY
    database = lab.launchpad.db
    largest = max(
        len(bson.encode(document)) for name in database.list_collection_names() for document in database[name].find()
    )
    print(
        f"\norchestration, s per 1,000 candidates: {batched:.1f} in batches, {single:.0f} with one job each "
        f"({single / batched:.0f} times); {len(said['jobs'])} fireworks, largest document {largest / 1e3:.0f} kB"
    )
    assert largest < LARGEST_DOCUMENT
    assert single / batched >= LESS_BY
