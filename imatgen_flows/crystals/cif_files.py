"""Crystals of CIF and magnetic CIF files: pymatgen reads them, and what it warns of decides whether they are taken."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

from pymatgen.core import Composition, Element, Structure
from pymatgen.io.cif import CifBlock, CifParser

from imatgen_flows.crystals.cif_checks import MAX_POSITIONS, UNKNOWN, count_positions, faults, stated_groups
from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.raw_crystal import Found, unreadable

OCCUPANCY_TOLERANCE = 1.01  # 1.001 is 1 written with three shares that were rounded; a choice

FORMULAS = ("_chemical_formula_sum", "_chemical_formula_structural")
BLOCK = re.compile(r"^[ \t]*data_", re.MULTILINE | re.IGNORECASE)
EMPTY_LOOP = re.compile(
    r"^[ \t]*loop_[ \t]*\n(?:[ \t]*_\S+[ \t]*\n)+(?=\s*(?:loop_|_\S+[ \t]+\S|data_|#|\Z))", re.MULTILINE | re.IGNORECASE
)
# pymatgen's warnings that leave out or change atoms; others tell of repairs that are right
LOSSES = ("implicit hydrogens", "parsed as")
NEEDED = ("_cell", "_symmetry", "_space_group", "_atom_site", "_atom_type", "_chemical_formula", "_magnetic", "_parent")


def read_cif(text: str) -> Found:
    """Read each block of a CIF that holds a crystal.

    Sites with the symbol of an isotope (18O) are read as those of its element. A crystal is excluded where a site names no
    element, where hydrogens are implied and have no positions, and where the sites do not make up the formula that the
    file states.

    Parameters
    ----------
    text : of the file

    Returns
    -------
    the name of each block, empty where there is one alone, and its crystal or the reason why there is none
    """
    starts = [match.start() for match in BLOCK.finditer(text)]
    if not starts:
        return [("", unreadable("it is no CIF: no block begins with `data_`"))]
    blocks = [text[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
    # a block of the publication, the refinement or the powder pattern alone is no crystal
    crystals = [block for block in blocks if "_atom_site_" in block or "_cell_length_a" in block] or blocks[:1]
    names = [block.split(maxsplit=1)[0][len("data_") :] or str(number) for number, block in enumerate(crystals, 1)]
    return list(zip(names if len(crystals) > 1 else [""], _read_blocks(crystals), strict=True))


def _read_blocks(blocks: list[str]) -> Iterator[Structure | Exclusion]:
    for text in blocks:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield _read_block(BLOCK.sub("data_", EMPTY_LOOP.sub("", text), count=1))
            except Exception as error:  # of any kind: pymatgen has none of its own
                # "no structures" is pymatgen's last word; what it warned of before says why
                messages = [str(item.message) for item in caught] if "no structures" in str(error) else []
                uneven = "a row of a table has too few or too many values" if "zip()" in str(error) else ""
                yield unreadable("; ".join(dict.fromkeys(messages)) or uneven or error)


def _read_block(text: str) -> Structure | Exclusion:
    block = CifBlock.from_str(text)
    labels, given = (block.data.get(f"_atom_site_{column}") for column in ("label", "type_symbol"))
    symbols = given or labels
    if not symbols or not isinstance(symbols, list):
        return unreadable("it has no table of sites (`_atom_site_label`)")
    if fault := next(faults(block, text), None):
        return unreadable(fault)
    if (positions := count_positions(block)) > MAX_POSITIONS:
        return Exclusion("", "too_large", f"up to {positions:,} sites in the cell; at most {MAX_POSITIONS:,} are tried")
    elements = []
    for number, symbol in enumerate(symbols):
        try:
            elements.append(_element_of_symbol(symbol) if given else _element_of_label(symbol, _formula(block)))
        except ValueError as error:
            site = labels[number] if isinstance(labels, list) and number < len(labels) else number + 1
            return unreadable(f"site {site}: {error}")
    parser = CifParser.from_str(
        _corrected(block, symbols, elements) or text, occupancy_tolerance=OCCUPANCY_TOLERANCE, check_cif=False
    )
    crystal = parser.parse_structures(primitive=False, on_error="raise")[0]
    for message in parser.warnings:  # type: ignore[attr-defined]  # pymatgen sets it in from_str
        if any(part in message for part in LOSSES):
            return unreadable(message)
        if "Defaulting to P1" in message and (groups := stated_groups(block.data)):
            return unreadable(
                f"space group `{groups[0]}` is not one that pymatgen reads, and no symmetry operations are listed"
            )
    complaint = parser.check(_of_elements(crystal)) if crystal.is_ordered and _formula(block) else None
    return unreadable(complaint) if complaint else crystal


def _element_of_symbol(symbol: str) -> str:
    """Find the element that the symbol of a site names; a mass number before it and a charge after it may stand there."""
    if " + " in symbol:  # "0.8Nb + 0.2Zr" of the Pauling File, which pymatgen takes apart
        return symbol
    match = re.match(r"\d*([A-Za-z]{1,2})(?![A-Za-z])", symbol)
    if match is None or not Element.is_valid_symbol(match[1].title()):
        raise ValueError(f"`{symbol}` names no element")
    return match[1].title()


def _element_of_label(label: str, formula: str) -> str:
    """Find the element that a label begins with: Fe of Fe1 or FeT1; of HO1, which may be Ho too, the one of the formula."""
    match = re.match(r"\d*([A-Z])([A-Za-z]?)", label)
    short, pair = (match[1], (match[1] + match[2]).title()) if match else ("", "")
    named = {pair} if match and match[2].islower() else {short, pair}
    choices = {symbol for symbol in named if Element.is_valid_symbol(symbol)}
    if len(choices) > 1 and formula:
        choices &= {element.symbol for element in Composition(formula).elements}
    if len(choices) != 1:
        raise ValueError(f"`{label}` names no element, or more than one; give `_atom_site_type_symbol`")
    return choices.pop()


def _corrected(block: CifBlock, symbols: list[str], elements: list[str]) -> str:
    """Write a block anew where pymatgen would misread it; empty where it would not.

    It drops sites with a mass number, or whose occupancy is `.`, the default of 1, and reads the label CA1 as Ca.
    """
    data = dict(block.data)
    if any(
        not re.match(rf"{re.escape(element)}(?![A-Za-z])", symbol)
        for symbol, element in zip(symbols, elements, strict=True)
    ):
        data["_atom_site_type_symbol"] = elements
    shares = data.get("_atom_site_occupancy")
    if isinstance(shares, list) and "." in shares:
        data["_atom_site_occupancy"] = ["1" if share == "." else share for share in shares]
    if data == block.data:
        return ""
    kept = {key: value for key, value in data.items() if key.startswith(NEEDED)}
    loops = [[key for key in loop if key in kept] for loop in block.loops]
    for loop in loops:
        if "_atom_site_label" in loop and "_atom_site_type_symbol" in kept and "_atom_site_type_symbol" not in loop:
            loop.append("_atom_site_type_symbol")
    return str(CifBlock(kept, [loop for loop in loops if loop], block.header))


def _formula(block: CifBlock) -> str:
    """Return the formula that a block states, if pymatgen can read it; empty otherwise."""
    for key in FORMULAS:
        formula = block.data.get(key)
        if isinstance(formula, str) and formula not in UNKNOWN:
            try:
                Composition(formula)
            except Exception:  # of any kind: the text is somebody's, and a formula is only compared where there is one
                return ""
            return formula
    return ""


def _of_elements(crystal: Structure) -> Structure:
    """Replace the species of an ordered crystal by their elements, deuterium by hydrogen."""
    return Structure(crystal.lattice, [site.specie.symbol for site in crystal], crystal.frac_coords)
