"""The stages of a campaign, read from its flow before anything runs."""

from __future__ import annotations

from imatgen_flows.managers.stages import campaign_stages

DATA = ["build dataset", "relax references", "label dataset", "extend hull"]
TRAINING = ["train cell autoencoder", "train basis autoencoder", "train VAE"]
SAMPLING = ["evaluate reconstruction", "sample candidates", "filter candidates"]
BATCH = ["propose candidates", "relax batch", "rank candidates"]
END = ["search other databases", "finish round"]


def titles(config, number=1):
    return [stage.title for stage in campaign_stages(config) if stage.round == number]


def test_a_round_has_each_of_its_jobs_once(tiny):
    found = titles(tiny())
    assert sorted(found) == sorted([*DATA, *TRAINING, *SAMPLING, *BATCH, *END])
    assert found[0] == "build dataset" and found[-1] == "finish round"
    assert found.index("train VAE") < found.index("sample candidates") < found.index("relax batch")


def test_later_rounds_and_batches_are_stages_too(tiny):
    config = tiny(rounds={"at_most": 3}, sources={"batches": 2})
    assert titles(config).count("relax batch") == titles(config, 2).count("relax batch") == 2
    assert sorted(titles(config, 3)) == sorted(
        ["extend dataset", "extend labels", *TRAINING, *SAMPLING, *BATCH, *BATCH, *END]
    )
    assert titles(config, 2) == titles(config, 3) and not titles(config, 4)


def test_what_a_campaign_does_not_ask_for_is_no_stage(tiny):
    alone = titles(tiny(sources={"shares": {"substitution": 1.0}}))
    assert not {*TRAINING, *SAMPLING} & set(alone) and "relax batch" in alone
    evidence = titles(
        tiny(committee={"potentials": ["emt"]}, phonons={"at_most": 2}, validate={"backend": "force-field"})
    )
    assert {"references by emt", "take votes", "compute phonons", "place candidates"} <= set(evidence)
    assert evidence.count("collect calculations") == 2  # of the references, and of the shortlist


def test_networks_that_are_not_trained_further_are_no_stage_of_later_rounds(tiny):
    config = tiny(rounds={"at_most": 2}, model={"epochs": 0.06, "fine_tune": 0})
    assert set(TRAINING) <= set(titles(config)) and not set(TRAINING) & set(titles(config, 2))
