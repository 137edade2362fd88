"""Settings that the Materials Project prescribes for a composition: Hubbard U, pseudopotentials, and where they fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pymatgen.core import Composition, Structure

from imatgen_flows.energetics.backends import BACKENDS
from imatgen_flows.registry import load_object

if TYPE_CHECKING:
    from imatgen_flows.energetics.backends import Backend

MP_GGA = BACKENDS["vasp-mp-gga"]
U_TOLERANCE = 0.005  # eV; U values are given with two decimals


def prescribed_u(composition: Composition | str, backend: Backend = MP_GGA) -> dict[str, float]:
    """Return the U values that the settings of a back end prescribe: element -> U in eV, only where there is one.

    In the GGA and GGA+U settings, transition metals carry U where the most electronegative element is O or F: V in VO2,
    but not in VN or V. r2SCAN is used without U.
    """
    elements = sorted(Composition(composition).elements, key=lambda element: element.X)
    table = _input_settings(backend)["INCAR"].get("LDAUU", {}).get(elements[-1].symbol, {})
    return {element.symbol: float(table[element.symbol]) for element in elements if table.get(element.symbol)}


def potcar_fault(composition: Composition, titles: Sequence[str], backend: Backend = MP_GGA) -> str:
    """Say in which pseudopotentials a calculation differs from the prescribed ones; empty where in none.

    Releases of the same pseudopotential (PBE, PBE_52, PBE_54) bear the same title and cannot be told apart.
    """
    known = _input_settings(backend)["POTCAR"]
    expected = {f"PAW_PBE {known.get(element.symbol, 'no pseudopotential')}" for element in composition.elements}
    found = {" ".join(title.split()[:2]) for title in titles}
    if found == expected:
        return ""
    return (
        f"pseudopotentials {', '.join(sorted(found)) or 'unknown'} where the Materials Project takes "
        f"{', '.join(sorted(expected))} for {composition.reduced_formula}."
    )


def hubbard_fault(composition: Composition, found: Mapping[str, float], expected: Mapping[str, float]) -> str:
    """Say on which elements U differs from the expected value; empty where on none. Values in eV."""
    faults = [
        f"U of {found.get(symbol, 0.0):g} eV on {symbol}, expected {expected.get(symbol, 0.0):g} eV"
        for symbol in sorted({element.symbol for element in composition.elements} | set(found))
        if not abs(found.get(symbol, 0.0) - expected.get(symbol, 0.0)) < U_TOLERANCE
    ]
    return f"{'; '.join(faults)} in {composition.reduced_formula}." if faults else ""


def f_element_fault(structure: Structure | Composition) -> str:
    """Say which f elements a candidate contains; empty where it contains none.

    The pseudopotentials of the Materials Project freeze most f electrons (Nd_3, Yb_2) or treat them without U (Ce, Eu,
    U), and its hull combines both.
    """
    composition = structure.composition if isinstance(structure, Structure) else structure
    found = sorted({e.symbol for e in composition.elements if e.is_lanthanoid or e.is_actinoid})
    if not found:
        return ""
    return (
        f"{composition.reduced_formula} holds {', '.join(found)}: pseudopotentials and U of the Materials Project are "
        "not reliable for f-elements, so its energy would not compare with others on the hull."
    )


def _input_settings(backend: Backend) -> dict[str, Any]:
    """Return the settings of the back end's input set in pymatgen, which caches them."""
    return load_object(backend.input_set).CONFIG
