"""Pretraining from a data file to a model file, and what is generated with it."""

import csv
import gzip
import json
import re
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Lattice, Structure
from typer.testing import CliRunner

import imatgen_flows as imf
from imatgen_flows.cli.main import app
from imatgen_flows.crystals.distances import shortest_distance
from imatgen_flows.crystals.prototype_index import PrototypeIndex, index_path
from imatgen_flows.crystals.standard import standardise
from imatgen_flows.crystals.structure_files import crystal_row
from imatgen_flows.crystals.volumes import fitting_volume
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs import pretraining
from imatgen_flows.jobs.dataset_rows import TRAINED_ON
from imatgen_flows.jobs.pretraining import pretrain
from imatgen_flows.jobs.sample_candidates import trained_contents
from imatgen_flows.jobs.train import PRIOR_METRICS, train_vae
from imatgen_flows.managers.local import run_campaign
from imatgen_flows.managers.preflight import check_machine
from imatgen_flows.models.model_file import read_model
from imatgen_flows.models.presets import get_preset
from imatgen_flows.models.pretraining import VIEWS, encode_views, pretrain_autoencoders
from imatgen_flows.models.pretraining_data import PretrainingData, read_pretraining_data
from imatgen_flows.representation import pack
from imatgen_flows.representation.views import volumes_per_atom
from imatgen_flows.sources.generated import GeneratedCrystals

CORNER, MIDDLE = [0, 0, 0], [0.5, 0.5, 0.5]
METALS = ("Ti", "V", "Zr", "Nb", "Hf", "Ta")


def crystals():
    """Rocksalt, rutile, fluorite and perovskite of several metals, and what a data file may hold beside."""
    for number, metal in enumerate(METALS):
        a = 4.2 + 0.05 * number
        yield Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [metal, "O"], [CORNER, MIDDLE])
        yield Structure.from_spacegroup(
            "P4_2/mnm", Lattice.tetragonal(4.6, 2.9), [metal, "O"], [CORNER, [0.305, 0.305, 0]]
        )
        yield Structure.from_spacegroup("Fm-3m", Lattice.cubic(a + 0.8), [metal, "O"], [CORNER, [0.25] * 3])
        yield Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.9), ["Sr", metal, "O"], [MIDDLE, CORNER, [0.5, 0, 0]])
    yield Structure(Lattice.cubic(3.0), ["V"], [CORNER])
    yield Structure(Lattice.cubic(20.0), ["V", "O"], [CORNER, MIDDLE])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "crystals.jsonl.gz"
    with gzip.open(path, "wt") as stream:
        for number, crystal in enumerate(crystals()):
            stream.write(json.dumps(crystal_row(f"c{number}", "test", crystal)) + "\n")
        stream.write('{"id": "broken"}\n')
    return path


@pytest.fixture(scope="module", autouse=True)
def fewer_are_measured():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "MEASURED", 40)
        patch.setattr(pretraining, "INVERTED", 40)
        yield


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    return pretrain(data, tmp_path_factory.mktemp("pretrained"), epochs=0.1, licence="CC0")


def test_every_crystal_of_the_data_is_counted(data):
    read = read_pretraining_data(data, 20, 10.0, 5, 18.0)
    assert read.counts == {
        "read": 27, "kept": 24, "wrong_number_of_elements": 1, "edge_too_long": 1, "unreadable": 1
    }  # fmt: skip
    assert read.systems[1] == ("Ti", "O") and read.systems[3] == ("Sr", "Ti", "O")
    assert set(read.labels) == {"AB_cF8_225_a_b", "AB2_tP6_136_a_f", "AB2_cF12_225_a_c", "ABC3_cP5_221_a_b_c"}
    assert read.crystals.counts()[3].tolist() == [1, 1, 3, 0, 0]


def test_whole_protostructures_are_held_out(data, tmp_path):
    read = read_pretraining_data(data, 20, 10.0, 5, 18.0)
    read.save(tmp_path / "data.npz")
    again = PretrainingData.load(tmp_path / "data.npz")
    assert (again.ids, again.systems, again.counts) == (read.ids, read.systems, read.counts)
    held_out = again.held_out(0.25, seed=3)
    assert held_out.sum() == len(METALS)
    assert torch.equal(held_out, read.held_out(0.25, seed=3))
    assert len({label for label, held in zip(read.labels, held_out.tolist(), strict=True) if held}) == 1


def test_the_model_file_says_what_it_is(trained, data):
    path, card = trained
    read = read_model(path)[0]
    assert (read.sha256, read.data, read.reconstruction) == (card.sha256, card.data, card.reconstruction)
    assert card.elements == [f"role {number}" for number in range(1, 6)] and card.is_of_prototypes
    assert card.data["counts"]["kept"] == 24 and card.data["templates"]["name"] == data.name
    assert card.data["licence"] == "CC0" and card.training["vae"]["seed"] == 7
    assert path.stat().st_size < 32e6
    assert set(card.samples) == {"2 elements", "3 elements"}
    for quality in card.samples.values():
        rejected = sum(quality["rejected"].values())
        assert quality["drawn"] == quality["valid"] + rejected and 0 < quality["clean"] <= quality["valid"]
        share, low, high = quality["share_clean_new"]
        assert low <= share == quality["clean_new"] / quality["drawn"] <= high
        assert quality["clean_new"] <= quality["clean"]  # distorted ones are new too, where so little was learnt
        assert quality["large"] == 0  # no crystal of the data has 15 sites
    assert "AB2_tP6_136_a_f" in PrototypeIndex.read(index_path(path))


def test_a_finished_pretraining_is_read_and_an_interrupted_one_ends_alike(trained, data):
    path, card = trained
    before = path.read_bytes()
    path.unlink()
    (path.parent / "vae.safetensors").unlink()  # as if it had been killed in the second half
    again, card_again = pretrain(data, path.parent, epochs=0.1, licence="CC0")
    assert card_again.sha256 == card.sha256 and again.read_bytes() == before


def test_the_prior_knows_the_frame_of_the_standard_cell_and_the_vae_others_too(trained, data):
    directory = trained[0].parent
    read = PretrainingData.load(directory / pretraining.DATA)
    crystals = read.crystals[~read.held_out(pretraining.HELD_OUT, seed=7)]
    compressor, trained_now = pretrain_autoencoders(crystals, get_preset("pretrained"), 7, directory)
    codes, _ = encode_views(compressor, crystals, VIEWS, 7, directory / "codes.safetensors")
    assert not trained_now and len(codes) == VIEWS * len(crystals)
    standard, *others = codes.split(len(crystals))
    assert torch.equal(standard, compressor.encode(crystals)[0])
    assert all((other != standard).any(dim=(1, 2)).all() for other in others)


def test_a_directory_of_another_pretraining_is_refused(trained, data):
    with pytest.raises(InputError, match="belongs to another pretraining, of seed 7"):
        pretrain(data, trained[0].parent, seed=8, epochs=0.1)


@pytest.fixture
def rutile(tmp_path):
    """The file of a crystal of a system that the data lack."""
    path = tmp_path / "CrO2.cif"
    Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.42, 2.92), ["Cr", "O"], [CORNER, [0.3, 0.3, 0]]).to(
        filename=str(path)
    )
    return path


def model_check(campaign):
    (found,) = [check for check in check_machine(campaign, read_templates=False) if check.name == "model"]
    return found


def test_phases_are_held_out_from_networks_that_saw_no_crystal_of_their_system(trained, tiny, rutile):
    path, card = trained
    assert card.data["systems"] == sorted(
        "-".join(sorted((*others, metal, "O"))) for metal in METALS for others in ((), ("Sr",))
    )
    model = {"start": path, "preset": "pretrained", "fine_tune": 0}
    known = {"source": "file", "path": rutile}
    limits = {"max_sites": 6, "max_edge": 6}
    assert model_check(tiny(("Cr", "O"), model=model, known=known | {"held_out": "structures"})).ok
    seen = model_check(tiny(("V", "O"), model=model, known={"held_out": "structures"}))
    assert not seen.ok and "may have seen the phases of V-O" in seen.detail
    of_prototypes = model_check(tiny(("Cr", "O"), model=model, known=known | {"held_out": "prototypes"}, limits=limits))
    assert not of_prototypes.ok and "may have seen the prototypes of 1 of 1 known phases" in of_prototypes.detail


def test_held_out_prototypes_are_not_learnt(data, tiny, rutile, tmp_path):
    path, card = pretrain(data, tmp_path / "out", epochs=0.01, hold_out=rutile)
    labels = PrototypeIndex.read(index_path(path))
    assert "AB2_tP6_136_a_f" not in labels and "AB_cF8_225_a_b" in labels
    assert card.data["counts"]["held_out"] == len(METALS)
    known = {"source": "file", "path": rutile, "held_out": "prototypes"}
    assert model_check(
        tiny(("Cr", "O"), model={"start": path, "preset": "pretrained"}, known=known, limits={"max_sites": 6})
    ).ok
    with pytest.raises(InputError, match="belongs to another pretraining, of hold out 1 crystals"):
        pretrain(data, tmp_path / "out", epochs=0.01)
    (tmp_path / "broken.cif").write_text("no crystal")
    with pytest.raises(InputError, match="broken cannot be held out: .*no CIF"):
        pretrain(data, tmp_path / "other", hold_out=tmp_path)


def test_data_without_a_crystal_is_refused_with_the_reasons(tmp_path):
    with pytest.raises(InputError, match="no such file. A pretraining needs crystals"):
        pretrain(tmp_path / "none.jsonl", tmp_path / "out")
    metal = tmp_path / "metal.jsonl"
    metal.write_text(json.dumps(crystal_row("v", "test", Structure(Lattice.cubic(3.0), ["V"], [CORNER]))))
    with pytest.raises(InputError, match=r"none of its 1 crystals has 2 to 5 elements .*wrong_number_of_elements 1"):
        pretrain(metal, tmp_path / "out")


@pytest.mark.slow
def test_few_structures_follow_the_prior_that_learnt_from_many(trained, tiny, tmp_path, documents):
    model = {"start": trained[0], "preset": "pretrained", "epochs": 0.5, "fine_tune": 0.02}
    sampling = {"slerp": 4, "prior": 8, "perturb": 0}
    directory = run_campaign(tiny(model=model, sampling=sampling), tmp_path / "run")
    (vae,) = documents(directory, train_vae)
    assert read_lines(vae.extra[PRIOR_METRICS])
    rows = pq.read_table(directory / "candidates.parquet").to_pylist()
    assert {row["prior"] for row in rows if row["sampler"] == "prior"} == {"flow"}


@pytest.mark.parametrize(("system", "formula"), [("V-O", "VO2"), ("Pb-Ti-O", "PbTiO3")])
def test_one_model_generates_crystals_of_any_system(trained, system, formula):
    model = imf.load_model(trained[0], system=system)
    found = model.generate(8, formula=formula, seed=1)
    assert found.structures and found.drawn == len(found.structures) + found.left.total()
    for crystal in found.structures:
        assert crystal.composition.reduced_composition == Composition(formula)
        assert crystal.get_neighbor_list(1.0)[0].size == 0  # no two atoms closer than 1 A
        volume = {"VO2": 10.5, "PbTiO3": 12.6}[formula]  # A^3 per atom, of rutile and of the perovskite
        assert 0.8 * volume < crystal.volume / len(crystal) < 2.5 * volume  # an atom that overlapped leaves its room


def test_encoding_does_not_see_the_elements_nor_the_volume(trained):
    path, _ = trained
    vo2, tio2 = (imf.load_model(path, system=system) for system in ("V-O", "Ti-O"))
    crystal = list(crystals())[5]
    other = crystal.copy()
    other.replace_species({"V": "Ti"})
    other.scale_lattice(1.3 * crystal.volume)
    assert vo2.encode([crystal]) == pytest.approx(tio2.encode([other]), abs=1e-3)


def test_what_is_read_from_images_has_the_volume_of_its_elements(trained):
    compressor = imf.load_model(trained[0], system="V-O").networks.compressor
    crystal = standardise(list(crystals())[5])
    drawn = compressor.drawn(pack([crystal], ("V", "O")))
    assert float(volumes_per_atom(drawn)) == pytest.approx(18.0, rel=1e-4)
    ([found], [quality]) = compressor.read(compressor.codec.encode(drawn))
    assert StructureMatcher(ltol=0.01, stol=0.01, angle_tol=0.5).fit(found, crystal)
    assert found.volume == pytest.approx(fitting_volume(crystal), rel=1e-3)
    assert quality.min_distance == pytest.approx(shortest_distance(found), rel=1e-3)


def test_a_preset_without_a_volume_is_refused(data, tmp_path):
    with pytest.raises(InputError, match="`paper` draws crystals at their own volumes"):
        pretrain(data, tmp_path / "out", preset_name="paper")
    assert not (tmp_path / "out").exists()


def test_an_imported_model_brings_its_index(trained, tmp_path):
    result = CliRunner().invoke(app, ["models", "import", str(trained[0]), "--directory", str(tmp_path)])
    assert result.exit_code == 0 and "imatgen generate V-O --model" in result.output
    assert imf.load_model(tmp_path / trained[0].name, system="V-O").index


def test_a_campaign_knows_the_contents_that_imported_prototypes_were_learnt_with(trained, tmp_path):
    record = ArtifactStore(tmp_path).put_json("trained-on", trained[1].data["training"])
    of_prototypes, of_a_system = (SimpleNamespace(extra=extra) for extra in ({TRAINED_ON: record}, {}))
    contents = trained_contents(of_prototypes, ("Ti", "O"), "reject")
    assert sorted(map(tuple, contents.tolist())) == [(1, 1), (1, 2), (2, 4)]  # rock salt, fluorite and rutile
    assert trained_contents(of_prototypes, ("Sr", "Ti", "O"), "reject").tolist() == [[1, 1, 3]]
    assert trained_contents(of_a_system, ("Ti", "O"), "reject") is None


def test_equal_seeds_generate_equal_crystals(trained):
    one, again = (imf.generate("V-O", n=5, model=trained[0], formula="VO2", seed=2) for _ in range(2))
    assert one == again
    assert {crystal.properties["novelty"] for crystal in one} <= {"new", "substituted", "duplicate"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"system": "V"}, "V has 1 element; .* generates crystals of 2 to 5"),
        ({"system": "Li-Na-K-Ti-V-O"}, "has 6 elements; .* generates crystals of 2 to 5"),
        ({"system": "Bk-O"}, "Bk has no known volume"),
        ({"system": "V-O", "formula": "TiO2"}, "has Ti, which the system V-O has not"),
        ({"system": "V-O", "formula": "V11O13"}, "V11O13 has 24 atoms, the limit of .* is 20"),
        ({"system": "V-O", "sites": "30-40"}, "30-40 sites are asked for, the limit of .* is 20"),
        ({"system": "V-O", "formula": "VO2", "sites": 7}, "no cell of VO2 that .* knows has 7 sites"),
        ({"system": "V-O", "space_group": 300}, "space_group is 300"),
    ],
)
def test_what_cannot_be_generated_is_refused(trained, arguments, message):
    with pytest.raises(InputError, match=message):
        imf.generate(n=1, model=trained[0], **arguments)


def test_missing_and_damaged_weights_are_named(trained, tmp_path):
    path, _ = trained
    damaged = tmp_path / "damaged.safetensors"
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(InputError, match="damaged: the weights of vae"):
        imf.load_model(damaged, system="V-O")
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="the index of training protostructures is missing"):
        imf.load_model(alone, system="V-O")
    with pytest.raises(InputError, match="suits any system: say which"):
        imf.load_model(path)


@pytest.mark.parametrize("name", ["crystals", "crystals.extxyz", "crystals.jsonl"])
def test_the_command_writes_what_other_programs_read(trained, tmp_path, name):
    from ase.io import read as read_ase

    out = tmp_path / name
    result = CliRunner().invoke(
        app,
        ["generate", "V-O", "--n", "4", "--formula", "VO2", "--model", str(trained[0]), "--out", str(out), "--json"],
    )
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    kept = shown["counts"]["kept"]
    assert 0 < kept <= 4 and shown["drawn"] >= kept
    if name == "crystals":
        found = [Structure.from_file(path) for path in out.glob("*.cif")]
        assert {path.stem for path in out.glob("*.cif")} == {one["id"] for one in shown["structures"]}
        table = list(csv.DictReader((out / "crystals.csv").open()))
        assert [(row["id"], row["novelty"]) for row in table] == [
            (one["id"], one["novelty"]) for one in shown["structures"]
        ]
    elif name.endswith("extxyz"):
        found = read_ase(out, index=":")
        assert [atoms.info["novelty"] for atoms in found] == [one["novelty"] for one in shown["structures"]]
    else:
        found = [json.loads(line) for line in out.read_text().splitlines()]
        assert [row["residual"] for row in found] == [one["residual"] for one in shown["structures"]]
    assert len(found) in (kept, len({one["id"] for one in shown["structures"]}))


@pytest.mark.parametrize("name", ["crystals", "crystals.extxyz"])
def test_the_command_overwrites_nothing(tmp_path, name):
    out = tmp_path / name
    before = out if out.suffix else out / "mine.cif"
    before.parent.mkdir(exist_ok=True)
    before.write_text("mine")
    result = CliRunner().invoke(app, ["generate", "V-O", "--n", "4", "--out", str(out)])
    assert isinstance(result.exception, InputError) and str(out) in str(result.exception)
    assert before.read_text() == "mine" and [path for path in tmp_path.rglob("*") if path.is_file()] == [before]


def test_the_command_says_what_it_drew(trained, tmp_path):
    result = CliRunner().invoke(
        app, ["generate", "V-O", "--n", "3", "--model", str(trained[0]), "--out", str(tmp_path / "cifs")]
    )
    assert re.search(r"V-O: [\d,]+ samples drawn", result.output), result.output
    assert "of these clean and new" in result.output


def test_a_crystal_without_a_label_is_not_said_to_be_new(monkeypatch):
    rutile, rocksalt = list(crystals())[1], list(crystals())[0]
    labels = {"TiO2": "", "TiO": "AB_cF8_225_a_b"}
    monkeypatch.setattr(
        "imatgen_flows.sources.generated.find_label", lambda crystal: labels[crystal.composition.reduced_formula]
    )
    found = GeneratedCrystals(2, [rutile, rocksalt])
    found.classify(PrototypeIndex(["AB2_cF12_225_a_c"]))
    assert [crystal.properties["novelty"] for crystal in found.structures] == ["", "new"]
