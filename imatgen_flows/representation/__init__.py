"""Images of crystals: encoding and decoding of cells and atoms, batched and differentiable."""

from imatgen_flows.representation.basis import BasisImageCodec
from imatgen_flows.representation.cell import CellImageCodec
from imatgen_flows.representation.crystal import CrystalCodec, CrystalImages, DecodeQuality, PackedCrystals, pack
from imatgen_flows.representation.errors import DecodeError, PackError

__all__ = [
    "BasisImageCodec",
    "CellImageCodec",
    "CrystalCodec",
    "CrystalImages",
    "DecodeError",
    "DecodeQuality",
    "PackError",
    "PackedCrystals",
    "pack",
]
