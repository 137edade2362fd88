"""One change, one place: what is added to a registry appears wherever a user can choose it or read of it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest
from pyarrow import parquet
from pymatgen.core import Composition, Lattice, Structure

from imatgen_flows.candidates import schema
from imatgen_flows.candidates.candidate import VALIDATED, describe_crystal, place_on_hull
from imatgen_flows.candidates.ledger import Ledger
from imatgen_flows.candidates.schema import Column
from imatgen_flows.candidates.states import State
from imatgen_flows.candidates.table import count_by, join, table_part, write_table
from imatgen_flows.config import CampaignConfig
from imatgen_flows.energetics.backends import BACKENDS, Backend
from imatgen_flows.energetics.hull import Hull, HullEntry
from imatgen_flows.energetics.potentials import POTENTIALS, Potential, get_potential
from imatgen_flows.errors import InputError
from imatgen_flows.registry import DescribedEnum, Entry, Registry
from imatgen_flows.sources.proposal import Proposal, SourceContext
from imatgen_flows.sources.registry import SOURCES, Source
from imatgen_flows.sources.target_cell import TargetCell

POTENTIAL = Potential(
    name="hardium",
    label="Hardium",
    description="A potential of a test.",
    factory="imatgen_flows.energetics.toy:ToyCalculator",
    weights="7",
)
BACKEND = Backend("abacus", "ABACUS", "A program of a test.", scale="ABACUS 1", report_name="ABACUS of a test")
COLUMN = Column("hardness", "number", "Hardness", "Hardness of a test.", "GPa", in_header=True)


HULL = (("V", 0.0), ("VO", -2.02), ("O", 0.0))  # eV/atom


def propose_again(targets, context, seed):
    """Propose the same structure for each target."""
    return [Proposal("again", rocksalt()) for _ in targets]


SOURCE = Source("again", "Again", "The same structure for each target.", "test_registry_source:propose_again")


@pytest.fixture
def added(monkeypatch):
    """One new entry in each registry."""
    monkeypatch.setitem(sys.modules, "test_registry_source", sys.modules[__name__])
    schema.COLUMNS.append(COLUMN)
    registries = ((SOURCES, SOURCE), (POTENTIALS, POTENTIAL), (BACKENDS, BACKEND))
    for registry, entry in registries:
        registry.add(entry)
    yield
    schema.COLUMNS.remove(COLUMN)
    for registry, entry in registries:
        registry.remove(entry.name)


def campaign(potential="hardium", backend="abacus"):
    return {
        "system": ["V", "O"],
        "labels": {"potential": potential},
        "screen": {"potential": potential},
        "validate": {"backend": backend},
    }


def rocksalt():
    return Structure.from_spacegroup(225, Lattice.cubic(4.1), ["V", "O"], [[0] * 3, [0.5] * 3])


@pytest.fixture
def finished(tmp_path):
    """Write the directory of a finished run of two samples; call it where the new entries are there."""

    def write():
        run = tmp_path / "run"
        run.mkdir()
        origin = {"sampler": "slerp", "seed": 7, "parents": ["mp-1:Ti=V"], "latent_x": 0.1, "latent_y": 0.2}
        quality = {"residual": 0.1, "count_matches": True, "min_distance": 2.05, "clean": True}
        drawn = [origin | quality | {"sample": f"r0-slerp-00000{row}", "state": "sampled"} for row in range(2)]
        ranked = {"sample": drawn[0]["sample"], "id": "0123456789ab", "relaxed_id": "ab" * 6, "validated_id": "cd" * 6}
        ranked |= {"novelty": "new", "evaluations": 10, "validation_evaluations": 5} | describe_crystal(rocksalt())
        for scale, above, prefix in ((POTENTIAL.scale, 0.02, ""), (BACKEND.scale, 0.01, VALIDATED)):
            hull = Hull(
                [HullEntry(name, Composition(name), energy, "invented") for name, energy in HULL], potential=scale
            )
            ranked |= place_on_hull(hull, Composition("VO"), -2.02 + above, prefix)
        ranked["state"] = State.VALIDATED.value
        # what a job of one's own writes: the value of the new column, for the samples that have one
        measured = {"sample": ranked["sample"], COLUMN.name: 2.5}
        table = join([table_part(drawn), table_part([ranked]), table_part([measured])])
        write_table(run / "candidates.parquet", table)
        (run / "structures").mkdir()
        for name in (ranked["relaxed_id"], ranked["validated_id"]):
            rocksalt().to(str(run / "structures" / f"{name}.cif"))
        ledger = Ledger(samples=2)
        for (state,), number in count_by(table, "state").items():
            ledger.count(state, number=number)
        ledger.spend("screen", 10)
        references = [
            {
                "name": name,
                "formula": name,
                "fractions": {"V": 1 - x, "O": x},
                "formation_energy": energy,
                "e_above_hull": 0,
                "source": "invented",
                "kind": "element" if x in (0, 1) else "compound",
            }
            for name, x, energy in (("V", 0.0, 0.0), ("VO", 0.5, -2.02), ("O", 1.0, 0.0))
        ]
        training = {
            "id": "mp-1:Ti=V",
            "x": 0,
            "y": 0,
            "stable": True,
            "formation_energy": 0,
            "formula": "VO",
            "known": False,
        }
        documents = {
            "provenance": {"system": ["V", "O"], "name": "a test", "seed": 7, "potential": POTENTIAL.scale},
            "ledger": ledger.to_dict(),
            "metrics": {"reconstruction": {}, "training": {}, "sampling": {"slerp": {"n": 2, "clean": 2}}},
            "hull": {"potential": POTENTIAL.scale, "references": references},
            "latent": {"training": [training], "explained": [0.3, 0.2]},
        }
        for name, content in documents.items():
            (run / f"{name}.json").write_text(json.dumps(content))
        CampaignConfig.model_validate(campaign()).to_file(run / "campaign.yaml")
        return run

    return write


# What a registry does


def test_an_unknown_name_is_answered_with_the_nearest_one_or_with_all():
    colours = Registry("colour", Entry("red", "Red", "Of long waves."), Entry("blue", "Blue", "Of short waves."))
    with pytest.raises(InputError, match="unknown colour `rde`. Did you mean `red`?"):
        colours["rde"]
    with pytest.raises(InputError, match="Known: red, blue."):
        colours["magenta-ish"]
    assert "red" in colours and len(colours) == 2 and colours.help() == "`red`: Of long waves; `blue`: Of short waves."


def test_a_described_value_is_its_text():
    class Colour(DescribedEnum):
        RED = "red", "Red", "Of long waves."

    assert Colour("red") is Colour.RED and Colour.RED == "red" and json.dumps([Colour.RED]) == '["red"]'
    assert (Colour.RED.label, Colour.RED.description) == ("Red", "Of long waves.")


# Where an addition appears


@pytest.mark.usefixtures("added")
def test_new_entries_are_choices_of_a_campaign_and_of_its_error_messages():
    config = CampaignConfig.model_validate(campaign())
    assert (config.labels.potential, config.validation.backend) == ("hardium", "abacus")
    with pytest.raises(InputError, match="Did you mean `abacus`?"):
        CampaignConfig.model_validate(campaign(backend="abacsu"))
    with pytest.raises(InputError, match="Did you mean `hardium`?"):
        get_potential("hardum")
    with pytest.raises(InputError, match="Did you mean `again`?"):
        SOURCES["agan"]
    assert get_potential("hardium").scale == "hardium 7"


def test_they_are_gone_afterwards():
    with pytest.raises(InputError, match="unknown DFT back end `abacus`. Known: none, vasp-mp-gga"):
        CampaignConfig.model_validate(campaign(potential="toy"))
    with pytest.raises(InputError, match="unknown potential `hardium`"):
        get_potential("hardium")
    assert "again" not in SOURCES and "hardness" not in schema.column_names()


@pytest.mark.usefixtures("added")
def test_a_new_source_proposes_structures_as_the_others_do():
    target = TargetCell.of(rocksalt())
    found = SOURCES["again"].load()([target] * 2, SourceContext(), 0)
    assert [proposal.structure for proposal in found] == [rocksalt()] * 2


@pytest.mark.usefixtures("added")
def test_new_entries_reach_the_table_the_exports_and_the_report(finished):
    from imatgen_flows.report.export import export_run
    from imatgen_flows.report.html import build_report

    run = finished()
    table = parquet.read_table(run / "candidates.parquet")
    assert table.column("hardness").to_pylist() == [2.5, None]
    assert table.schema.field("hardness").metadata[b"unit"] == b"GPa"
    (text,), (exported,), (crystals,) = (export_run(run, name, only="all") for name in ("csv", "parquet", "extxyz"))
    with text.open(newline="") as file:
        assert [float(row["hardness"]) for row in csv.DictReader(file)] == [2.5]
    assert parquet.read_table(exported).column("hardness").to_pylist() == [2.5]
    assert "hardness=2.5" in crystals.read_text()
    page = build_report(run).read_text(encoding="utf-8")
    assert '"label":"Hardness","unit":"GPa"' in page and '"hardness":2.5' in page
    assert "Hardium 7" in page  # the energy scale, by the label of the potential
    assert "ABACUS of a test" in page


ADD = """
import sys
from imatgen_flows.energetics.backends import BACKENDS, Backend
from imatgen_flows.energetics.potentials import POTENTIALS, Potential
from imatgen_flows.sources.registry import SOURCES, Source
POTENTIALS.add(Potential(name="hardium", label="Hardium", description="A potential of a test.", factory="a:b"))
BACKENDS.add(Backend("abacus", "ABACUS", "A program of a test."))
SOURCES.add(Source("again", "Again", "The same structure for each target.", "a:b", "a:b"))
"""


def run_with_additions(code):
    """Run Python code in a process whose registries held the additions before anything else was imported."""
    environment = os.environ | {"COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(
        [sys.executable, "-c", ADD + code], capture_output=True, text=True, check=True, env=environment
    ).stdout


def test_new_entries_are_in_the_descriptions_of_the_campaign_s_keys():
    out = run_with_additions(
        "from imatgen_flows.config import Labels, Validate\n"
        "print(Labels.model_fields['potential'].description, Validate.model_fields['backend'].description)"
    )
    assert "`hardium`: A potential of a test" in out and "`abacus`: A program of a test" in out


def test_a_new_source_is_in_the_help_of_the_baseline_benchmark():
    out = run_with_additions(
        "from imatgen_flows.cli.main import app\nsys.argv = ['imatgen', 'evaluate', 'baselines', '--help']\napp()"
    )
    assert "again" in out and "The same structure for each target" in out


def test_registries_are_light():
    modules = (
        "candidates.states candidates.classes candidates.schema sources.registry models.registry crystals.registry"
    )
    modules += " energetics.backends energetics.potentials"
    code = "".join(f"import imatgen_flows.{name}\n" for name in modules.split())
    heavy = "torch", "pymatgen", "jobflow", "pyarrow", "scipy", "sklearn", "pandas", "ase"
    out = run_with_additions(code + f"print([name for name in {heavy} if name in sys.modules])")
    assert out.strip() == "[]"
