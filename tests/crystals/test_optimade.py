"""A provider of OPTIMADE is downloaded once, and no page that fails is left out."""

from __future__ import annotations

import logging
from datetime import date
from types import SimpleNamespace
from typing import ClassVar

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.known_phases import load_known
from imatgen_flows.crystals.registry import SourceOptions
from imatgen_flows.crystals.templates import load_templates
from imatgen_flows.errors import InputError

ROCKSALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
RUTILE = Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]])
VANADIUM = Structure(Lattice.cubic(3.0), ["V"], [[0, 0, 0]])


class FakeOptimade:
    """Like pymatgen's client, it logs a failed page and returns nothing for it."""

    aliases: ClassVar = {"oqmd": "https://oqmd.org/optimade/"}
    fails = 0  # how many of the next requests for two sites
    asked: ClassVar = []

    def __init__(self, providers, timeout):
        self.provider = providers[0]

    def get_snls_with_filter(self, query):
        type(self).asked.append(query)
        if "nsites=2" in query and type(self).fails:
            type(self).fails -= 1
            try:
                raise TimeoutError("no answer")
            except TimeoutError:
                logging.getLogger("pymatgen.ext.optimade").exception("Could not retrieve required information")
            return {}
        held = {"nelements=2 AND nsites=2": ROCKSALT.get_primitive_structure(), "nelements=2 AND nsites=6": RUTILE}
        held |= {'elements HAS ALL "O", "V" AND nelements=2': RUTILE, 'elements HAS ALL "V" AND nelements=1': VANADIUM}
        found = held.get(query)
        return {self.provider: {f"id{len(found)}": SimpleNamespace(structure=found)}} if found else {}


@pytest.fixture
def optimade(monkeypatch):
    rester = type("Rester", (FakeOptimade,), {"asked": []})
    monkeypatch.setattr("pymatgen.ext.optimade.OptimadeRester", rester)
    return rester


def test_optimade_asks_again_for_a_page_that_failed_then_uses_the_cache(optimade, tmp_path):
    optimade.fails = 1
    templates, exclusions = load_templates("optimade", SourceOptions(provider="oqmd", cache_dir=tmp_path), max_sites=8)
    assert [t.id for t in templates] == ["oqmd-id2", "oqmd-id6"] and exclusions == []
    assert len(optimade.asked) == 7 + 1
    optimade.fails = 99
    again, _ = load_templates("optimade", SourceOptions(provider="oqmd", cache_dir=tmp_path), max_sites=8)
    assert [t.structure for t in again] == [t.structure for t in templates]
    assert len(optimade.asked) == 8


def test_an_optimade_page_that_stays_missing_is_an_error_not_a_gap(optimade, tmp_path):
    optimade.fails = 99
    with pytest.raises(InputError, match=r"did not answer for 2 sites.*TimeoutError"):
        load_templates("optimade", SourceOptions(provider="oqmd", cache_dir=tmp_path))
    assert not list(tmp_path.iterdir())


def test_known_phases_of_a_system_are_asked_for_part_by_part_and_once(optimade, tmp_path):
    options = SourceOptions(provider="oqmd", cache_dir=tmp_path)
    phases, exclusions = load_known("optimade", ["V", "O"], options)
    assert [phase.id for phase in phases] == ["oqmd-id1", "oqmd-id6"] and not exclusions
    assert all(phase.source == f"OPTIMADE oqmd, {date.today()}" for phase in phases)
    assert load_known("optimade", ["O", "V"], options)[0] and len(optimade.asked) == 3
    with pytest.raises(InputError, match=r"known: OPTIMADE provider `oqmd` holds nothing of Ti-Zr"):
        load_known("optimade", ["Ti", "Zr"], options)


def test_an_unknown_optimade_provider_is_told_the_nearest(optimade, tmp_path):
    with pytest.raises(InputError, match="Did you mean `oqmd`"):
        load_templates("optimade", SourceOptions(provider="oqdm", cache_dir=tmp_path))
    with pytest.raises(InputError, match="needs a `provider`"):
        load_templates("optimade", SourceOptions(cache_dir=tmp_path))
