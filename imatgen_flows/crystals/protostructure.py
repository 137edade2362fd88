"""Protostructure labels: space group and occupied Wyckoff positions of a crystal, whatever its elements and its volume."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from functools import cache

from pymatgen.core import Structure

from imatgen_flows.crystals.prototypes import aflow_prototypes
from imatgen_flows.crystals.system import chemical_system

logger = logging.getLogger(__name__)

# A; spglib's symprec. Of known crystals from another origin, each atom moved by 0.05 A, 98 % keep their label with 0.2, 97 %
# with 0.3 and 26 % with 0.1
TOLERANCE = 0.2
# stand for the elements of a crystal, the most electropositive first: pymatgen orders elements by the alphabet
_STAND_INS = ("Ac", "Ag", "Al", "Am", "Ar")
MAX_ELEMENTS = len(_STAND_INS)


def protostructure_label(structure: Structure, tolerance: float = TOLERANCE) -> str | None:
    """Name the protostructure of a crystal (Goodall et al., Science Advances 8, eabn4117 (2022)).

    Two crystals with one label may differ in the free parameters of their positions and in their cells, so that not all are
    the same prototype; and two with different labels may be alike but for small distortions. It does not change with the
    origin, nor with the elements, as long as their order by electronegativity is the same: A, B, C ... are the elements from
    the most electropositive on.

    Parameters
    ----------
    structure : ordered crystal of up to five elements
    tolerance : within which positions are symmetric, A

    Returns
    -------
    The label, for example `AB2_tP6_136_a_f` for rutile; None where spglib finds no symmetry

    Raises
    ------
    ValueError
        Where it has more than five elements.

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> protostructure_label(Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3]))
    'AB_cF8_225_a_b'
    """
    elements = chemical_system({site.specie.symbol for site in structure})
    if len(elements) > MAX_ELEMENTS:
        raise ValueError(
            f"{structure.composition.reduced_formula} has {len(elements)} elements, at most {MAX_ELEMENTS}"
        )
    stand_ins = dict(zip(elements, _STAND_INS, strict=False))
    anonymous = Structure(
        structure.lattice, [stand_ins[site.specie.symbol] for site in structure], structure.frac_coords
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        label = _pymatgen_label()(anonymous, raise_errors=False, init_symprec=tolerance, fallback_symprec=None)
    return label.partition(":")[0] if label else None


@cache
def _pymatgen_label() -> Callable[..., str | None]:
    """Import pymatgen's function, whose module reads the library of AFLOW; see `aflow_prototypes`."""
    aflow_prototypes()
    from pymatgen.analysis.prototypes import get_protostructure_label_from_spglib

    label: Callable[..., str | None] = get_protostructure_label_from_spglib
    return label


def find_label(structure: Structure) -> str:
    """Label a protostructure; empty where there is none, or where a library fails on the crystal, which a warning says."""
    try:
        return protostructure_label(structure) or ""
    except Exception as error:  # of spglib or pymatgen, for an absurd cell: it costs one label
        logger.warning("no protostructure label for %s: %s", structure.composition.reduced_formula, error)
        return ""
