"""Crystals as images and back: exact, batched and differentiable."""

from imatgen_flows.representation.basis import BasisImageCodec
from imatgen_flows.representation.cell import CellImageCodec
from imatgen_flows.representation.crystal import Certificate, CrystalCodec, CrystalImages, PackedCrystals, pack
from imatgen_flows.representation.errors import DecodeError, PackError

__all__ = [
    "BasisImageCodec",
    "CellImageCodec",
    "Certificate",
    "CrystalCodec",
    "CrystalImages",
    "DecodeError",
    "PackError",
    "PackedCrystals",
    "pack",
]
