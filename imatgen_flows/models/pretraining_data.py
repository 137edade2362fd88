"""Crystals of many chemical systems as pretrained networks learn from them: prototypes, whose elements are left open."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from imatgen_flows.crystals.box import BOX
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import writing
from imatgen_flows.representation.crystal import PackedCrystals, pack_roles

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.crystals.exclusion import Exclusion
    from imatgen_flows.crystals.raw_crystal import RawCrystal
    from imatgen_flows.crystals.templates import Template

MIN_ELEMENTS = 2


@dataclass(frozen=True)
class PretrainingData:
    """Crystals of two to five elements, packed by role.

    Attributes
    ----------
    crystals : packed by `pack_roles`, at the volume per atom at which they are drawn
    ids, systems, labels : of each: its id, its chemical system in the order of the roles, its protostructure label, which
        is empty where spglib finds no symmetry
    counts : crystals that were read, and excluded, by reason
    source : name and content hash of the file
    """

    crystals: PackedCrystals
    ids: list[str]
    systems: list[tuple[str, ...]]
    labels: list[str]
    counts: dict[str, int]
    source: dict[str, str]

    def __len__(self) -> int:
        return len(self.ids)

    def held_out(self, share: float, seed: int) -> Tensor:
        """Draw a share of the protostructures, and mark (B,) the crystals that have them."""
        known = sorted(set(self.labels) - {""})
        order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed)).tolist()
        drawn = {known[place] for place in order[: round(share * len(known))]}
        return torch.tensor([label in drawn for label in self.labels])

    def save(self, path: Path) -> None:
        """Write an .npz file, whole or not at all."""
        facts = {
            "ids": self.ids,
            "systems": self.systems,
            "labels": self.labels,
            "counts": self.counts,
            "source": self.source,
        }
        arrays = {name: getattr(self.crystals, name).numpy() for name in ("lattices", "positions", "mask")}
        with writing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays, box=self.crystals.box, facts=np.array(json.dumps(facts)))

    @classmethod
    def load(cls, path: Path) -> PretrainingData:
        """Read a file that `save` wrote."""
        from imatgen_flows.representation.crystal import role_names

        with np.load(path, allow_pickle=False) as file:
            lattices, positions, mask = (torch.from_numpy(file[name]) for name in ("lattices", "positions", "mask"))
            facts = json.loads(str(file["facts"]))
            crystals = PackedCrystals(lattices, positions, mask, role_names(mask.shape[1]), float(file["box"]))
        facts["systems"] = [tuple(system) for system in facts["systems"]]
        return cls(crystals, **facts)


def read_pretraining_data(
    path: Path, max_sites: int, max_edge: float, roles: int, volume: float | None, workers: int = 1
) -> PretrainingData:
    """Read crystals from a file of JSON lines, reduce them to their standard primitive cells, and label them.

    Parameters
    ----------
    path : of the file, which may be compressed
    max_sites, max_edge : limits on the primitive cell; A
    roles : largest number of elements
    volume : per atom to which crystals are scaled, A^3; None as they are
    workers : processes

    Raises
    ------
    InputError
        Where the file cannot be read, or no crystal is left.
    """
    from imatgen_flows.crystals.batches import map_items
    from imatgen_flows.crystals.isotopes import read_isotopes_as_elements
    from imatgen_flows.crystals.json_lines import read_lines
    from imatgen_flows.crystals.protostructure import find_label
    from imatgen_flows.crystals.templates import Template, check_crystal, reduce_crystals
    from imatgen_flows.io.files import file_hash

    read = read_isotopes_as_elements(read_lines(path, None, "data of the pretraining"))
    checked = (_check_elements(check_crystal(raw, None, max_sites), roles) for raw in read)
    reduced = [_at_volume(volume, item) for item in reduce_crystals(checked, max_sites, max_edge, workers)]
    kept = [item for item in reduced if isinstance(item, Template)]
    excluded = Counter(item.reason for item in reduced if not isinstance(item, Template))
    if not kept:
        raise InputError(
            f"{path}: none of its {len(reduced)} crystals has {MIN_ELEMENTS} to {roles} elements and is within the limits "
            f"({', '.join(f'{reason} {number}' for reason, number in excluded.most_common())})."
        )
    structures = [item.structure for item in kept]
    return PretrainingData(
        crystals=pack_roles(structures, roles),
        ids=[item.id for item in kept],
        systems=[_system(structure) for structure in structures],
        labels=map_items(find_label, structures, workers, "labelling protostructures"),
        counts={"read": len(reduced), "kept": len(kept)} | dict(excluded),
        source={"name": path.name, "sha256": file_hash(path)},
    )


def _check_elements(item: RawCrystal | Exclusion, roles: int) -> RawCrystal | Exclusion:
    """Exclude a crystal with too few or too many elements."""
    from imatgen_flows.crystals.exclusion import Exclusion

    if isinstance(item, Exclusion) or isinstance(item.crystal, Exclusion):
        return item
    if MIN_ELEMENTS <= (number := len(_system(item.crystal))) <= roles:
        return item
    detail = f"{number} elements, not {MIN_ELEMENTS} to {roles}"
    return Exclusion(item.id, "wrong_number_of_elements", detail)


def _at_volume(volume: float | None, item: Template | Exclusion) -> Template | Exclusion:
    """Scale a crystal to the volume per atom at which it is drawn; exclude one that does not fit in the box of the images."""
    from imatgen_flows.crystals.exclusion import Exclusion
    from imatgen_flows.crystals.standard import extent

    if isinstance(item, Exclusion):
        return item
    structure = item.structure.copy()
    if volume is not None:
        structure.scale_lattice(volume * len(structure))
    if (room := extent(structure)) >= BOX:
        return Exclusion(item.id, "no_room_in_the_box", f"it needs {room:.1f} A, the box of the images has {BOX:g} A")
    return replace(item, structure=structure)


def _system(structure: Structure) -> tuple[str, ...]:
    from imatgen_flows.crystals.system import chemical_system

    return tuple(chemical_system({site.specie.symbol for site in structure}))
