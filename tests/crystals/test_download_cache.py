"""A file of the cache is whole, or it is downloaded again with a warning."""

from __future__ import annotations

import gzip
import json

import pytest
from pymatgen.core import DummySpecies, Lattice, Structure

from imatgen_flows.crystals.download_cache import Download, cached_crystals
from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.query import TemplateQuery
from imatgen_flows.crystals.structure_files import RawCrystal, crystal_row
from imatgen_flows.errors import InputError

QUERY = TemplateQuery(2, 8)
ROCKSALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
HALF = Structure(Lattice.cubic(3), [{"V": 0.5}, "O"], [[0, 0, 0], [0.5] * 3])
CRYSTALS = [
    RawCrystal("a", "Service 1", ROCKSALT),
    RawCrystal("b", "Service 1", Exclusion("b", "no_structure", "the provider sent no positions")),
    RawCrystal("c", "Service 1", HALF),
]


class Service:
    """Counts how often it is asked."""

    def __init__(self, crystals=CRYSTALS, version="2026-11-29"):
        self.crystals, self.version, self.asked, self.network = crystals, version, 0, True

    def download(self):
        self.asked += 1
        if not self.network:
            raise InputError("templates: the service did not answer. Try later.")
        return Download("Service", self.version, self.crystals)


@pytest.fixture
def read(tmp_path):
    return lambda service: cached_crystals(tmp_path, "service_*.jsonl.gz", QUERY, service.download)


def file_in(folder):
    (file,) = folder.iterdir()
    return file


def write_lines(file, lines):
    file.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))


def lines_of(file):
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def test_crystals_and_exclusions_come_back_from_the_cache(read, tmp_path):
    service = Service()
    first = read(service)
    assert read(service) == first and service.asked == 1
    assert [(c.id, c.source) for c in first] == [("a", "Service 1"), ("b", "Service 1"), ("c", "Service 1")]
    assert first[0].crystal == ROCKSALT and first[1].crystal == CRYSTALS[1].crystal and first[2].crystal == HALF
    assert file_in(tmp_path).name == "service_2026-11-29.jsonl.gz"


def truncate(file):
    file.write_bytes(file.read_bytes()[:-40])


def end_between_rows(file):
    write_lines(file, lines_of(file)[:-1])


def damage(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


def replace_by_a_page_of_html(file):
    file.write_bytes(gzip.compress(b"<html>sign in</html>\n"))


def keep_a_vacancy_as_the_first_version_did(file):
    row = crystal_row("a", "Service 1", HALF) | {"species": ["X_vacancy0+", "O"]}
    write_lines(file, [crystal_row("b", "Service 1", ROCKSALT), row])


FAULTS = {
    "truncated": truncate,
    "rows lost": end_between_rows,
    "damaged": damage,
    "empty": lambda file: file.write_bytes(b""),
    "no gzip": lambda file: file.write_bytes(b"rows"),
    "no rows": lambda file: write_lines(file, []),
    "header alone": lambda file: write_lines(file, lines_of(file)[:1]),
    "html": replace_by_a_page_of_html,
    "list": lambda file: write_lines(file, [[1, 2]]),
    "vacancy": keep_a_vacancy_as_the_first_version_did,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_file_that_is_not_whole_is_downloaded_again_with_a_warning(fault, read, tmp_path, caplog):
    service = Service()
    whole = read(service)
    fault(file_in(tmp_path))
    assert read(service) == whole and service.asked == 2
    assert "is not whole" in caplog.text and "it is downloaded again" in caplog.text
    assert read(service) == whole and service.asked == 2


def test_a_damaged_file_stays_until_the_download_comes(read, tmp_path):
    service = Service()
    whole = read(service)
    truncate(file_in(tmp_path))
    service.network = False
    with pytest.raises(InputError, match=r"did not answer.*file in the cache is damaged: .*2026-11-29"):
        read(service)
    service.network, service.version = True, "2026-11-30"
    assert read(service) == whole
    assert file_in(tmp_path).name == "service_2026-11-30.jsonl.gz"


def test_a_file_of_the_first_version_is_taken_where_it_can_be_read(read, tmp_path):
    write_lines(tmp_path / "service_2026-01-01.jsonl.gz", [crystal_row("a", "Service 0", ROCKSALT)])
    service = Service()
    assert read(service) == [RawCrystal("a", "Service 0", ROCKSALT)] and service.asked == 0


def test_a_crystal_that_could_not_be_read_again_is_excluded(read):
    vacancy = Structure(
        Lattice.cubic(3), [DummySpecies("X_vacancy", oxidation_state=None), "O"], [[0, 0, 0], [0.5] * 3]
    )
    crystals = read(Service([*CRYSTALS, RawCrystal("d", "Service 1", vacancy)]))
    assert crystals[-1].id == "d" and crystals[-1].crystal.reason == "unreadable"


def test_a_download_without_a_crystal_is_an_error_and_is_not_kept(read, tmp_path):
    with pytest.raises(InputError, match="Service holds nothing with 2 elements"):
        read(Service([]))
    with pytest.raises(InputError, match=r"none of the 1 entries .* is a crystal: 1 no structure; the first is b"):
        read(Service(CRYSTALS[1:2]))
    assert not list(tmp_path.iterdir())


def test_a_folder_in_place_of_a_file_of_the_cache_is_to_be_removed_before_anything_is_asked(read, tmp_path):
    (tmp_path / "service_2026-01-01.jsonl.gz").mkdir()
    service = Service()
    with pytest.raises(InputError, match=r"templates: .*service_2026-01-01.jsonl.gz is a folder, .* remove it"):
        read(service)
    assert not service.asked
