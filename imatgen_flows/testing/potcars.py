"""Stub POTCARs: files with the header that pymatgen reads, and without a pseudopotential.

Nothing in them comes from VASP's distribution. Valences follow from the periodic table, the cutoff is one number for
all, and the title says that it is a stub where a real one has its date.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

FUNCTIONALS = ("PBE", "PBE_54", "PBE_64")
CUTOFF = 400.0  # eV
# electrons of inner shells that a suffix adds to the valence
INNER = {"pv": 6, "sv": 8, "d": 10, "3": 6, "2": 6}

TEMPLATE = """  {title}
   {valence:.12f}
 parameters from PSCTR are:
   VRHFIN ={element}: stub
   LEXCH  = PE
   TITEL  = {title}
   LULTRA =        F    use ultrasoft PP ?
   LPAW   =        T    paw PP
   POMASS = {mass:8.3f}; ZVAL   = {valence:8.3f}    mass and valenz
   ENMAX  = {cutoff:8.3f}; ENMIN  = {least:8.3f} eV
   COPYR  = a stub for tests of workflows; not a pseudopotential
 END of PSCTR-controll parameters
 no data
   0.0000  1.0000
 End of Dataset
"""


def write_potcars(root: Path) -> Path:
    """Write a POTCAR directory for PMG_VASP_PSP_DIR, with every symbol that an input set of pymatgen or atomate2 uses.

    Parameters
    ----------
    root : directory, made where it does not exist

    Returns
    -------
    `root`
    """
    from pymatgen.io.vasp.inputs import PotcarSingle

    texts = {symbol: stub(symbol) for symbol in known_symbols()}
    for functional in FUNCTIONALS:
        folder = root / PotcarSingle.functional_dir[functional]
        folder.mkdir(parents=True, exist_ok=True)
        for symbol, text in texts.items():
            (folder / f"POTCAR.{symbol}").write_text(text)
    return root


def stub(symbol: str) -> str:
    """Return the stub of one POTCAR symbol, for example `V_pv`."""
    from pymatgen.core import Element

    element = Element(symbol.split("_", 1)[0])
    return TEMPLATE.format(
        title=f"PAW_PBE {symbol} STUB",
        element=element.symbol,
        valence=float(valence(symbol)),
        mass=float(element.atomic_mass),
        cutoff=CUTOFF,
        least=0.75 * CUTOFF,
    )


def valence(symbol: str) -> int:
    """Return the number of valence electrons of a POTCAR symbol: V 5, V_pv 11, V_sv 13, Li_sv 3."""
    from pymatgen.core import Element

    name, suffix, *_ = [*symbol.split("_"), ""]
    element = Element(name)
    if suffix in ("2", "3"):  # f electrons in the core
        outer = int(suffix)
    elif element.is_lanthanoid or element.is_actinoid:
        outer = element.Z - (46 if element.is_lanthanoid else 78)  # with the closed shells around the core
    else:
        outer = element.group if element.group <= 12 else element.group - 10
    return min(outer + INNER.get(suffix, 0), element.Z)


def known_symbols() -> list[str]:
    """Collect the POTCAR symbols of the input sets of pymatgen and atomate2."""
    import yaml

    tables = ["pymatgen.io.vasp", "atomate2.vasp.sets"]
    found: set[str] = set()
    for package in tables:
        spec = find_spec(package)
        if spec is None:
            continue
        for folder in spec.submodule_search_locations or []:
            for path in Path(folder).glob("*.yaml"):
                content = yaml.safe_load(path.read_text())
                if isinstance(content, dict) and isinstance(content.get("POTCAR"), dict):
                    # some tables give a hash beside the symbol
                    named = content["POTCAR"].values()
                    found |= {item["symbol"] if isinstance(item, dict) else str(item) for item in named}
    return sorted(found)
