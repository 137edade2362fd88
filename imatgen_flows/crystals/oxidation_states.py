"""Oxidation states that the elements take in compounds: a table, and the families of compounds that go beyond it."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pymatgen.core import Element

from imatgen_flows.errors import InputError

Range = tuple[float, float]  # lowest and highest mean oxidation state, elementary charges per atom


def _groups(*numbers: int) -> frozenset[str]:
    """Return the symbols of the elements of groups of the periodic table up to Lr, nonmetals and f elements left out."""
    return frozenset(
        element.symbol
        for element in Element
        if element.Z <= 103 and element.block != "f" and element.group in numbers and element.is_metal
    )


ALKALI = _groups(1)
ALKALINE_EARTH = _groups(2)
ACTINIDES = frozenset(element.symbol for element in Element if 89 <= element.Z <= 103)
LANTHANIDES = frozenset(element.symbol for element in Element if 57 <= element.Z <= 71)
RARE_EARTH = LANTHANIDES | ACTINIDES | {"Sc", "Y"}  # actinides included, which behave alike here
TRANSITION = _groups(4, 5, 6, 7, 8, 9, 10, 11)
POST_TRANSITION = _groups(12, 13, 14, 15, 16)
METALLOIDS = frozenset({"B", "Si", "Ge", "As", "Sb", "Te"})
ELECTROPOSITIVE = ALKALI | ALKALINE_EARTH | RARE_EARTH
METALS = ELECTROPOSITIVE | TRANSITION | POST_TRANSITION
HALOGENS = frozenset({"F", "Cl", "Br", "I", "At"})
NOBLE_GASES = frozenset({"He", "Ne", "Ar", "Kr", "Xe", "Rn"})

# state of an anion with a closed shell
CLOSED_SHELL = {
    "H": -1, "C": -4, "N": -3, "P": -3, "As": -3, "Sb": -3, "O": -2, "S": -2, "Se": -2, "Te": -2, "Po": -2,
    **dict.fromkeys(HALOGENS, -1),
}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """A kind of compounds in which an element takes states that are not its usual ones.

    Parameters
    ----------
    name : of the family, with examples
    elements : whose states these are
    beside : at least one of them must be present
    lowest, highest : mean oxidation states; a family of cations has no highest of its own
    only : all other elements of the compound are among these; None where any may be
    also : at least one of these must be present too
    without : none of these may be present
    """

    name: str
    elements: Set[str]
    beside: Set[str]
    lowest: float
    highest: float = math.inf
    only: Set[str] | None = None
    also: Set[str] | None = None
    without: Set[str] = frozenset()

    def holds(self, symbol: str, others: Set[str]) -> bool:
        """Test whether an element belongs to this family beside others."""
        return (
            symbol in self.elements
            and not others.isdisjoint(self.beside)
            and others.isdisjoint(self.without)
            and (self.only is None or others <= self.only)
            and (self.also is None or not others.isdisjoint(self.also))
        )


_PEROXIDES = ALKALI | ALKALINE_EARTH - {"Be"} | {"Zn", "Cd", "Hg", "H"}
_LARGE_ALKALI = frozenset({"K", "Rb", "Cs"})
_EARLY = _groups(4, 5, 6)
_HARD = frozenset({"O", "F"})
_OXYCARBIDES = TRANSITION | RARE_EARTH | {"Al", "Si", "B"}  # carbides that take up oxygen have one of them
_INVERSE = _groups(13, 14, 15) - {"Al"} | {"Au", "Pt", "Si", "Ge"}  # anions of nitrides of antiperovskite type
_TETRELS_AND_BISMUTH = _groups(14, 15) | {"Si", "Ge"}
_POLAR_METALS = POST_TRANSITION | _groups(10, 11)  # those that take electrons from an electropositive metal
_HETERO = frozenset({"O", "F", "N", "S", "Se", "Cl", "Br", "I"})

# Anions that are bonded to each other, or share a band: their mean charge is less than that of a closed shell.
# Greenwood and Earnshaw, Chemistry of the Elements, 2nd ed. (1997), has a section about each family.
LINKED_ANIONS = [
    Family("peroxides: Na2O2, BaO2, ZnO2, H2O2", {"O"}, _PEROXIDES, -1, -1, only=_PEROXIDES),
    Family("tetraperoxometallates: K3CrO8", {"O"}, ALKALI - {"Li"}, -1, -1, only=(ALKALI - {"Li"}) | _EARLY),
    Family("peroxodisulphates: K2S2O8", {"O"}, ALKALI, -7 / 4, -7 / 4, only=ALKALI | {"S", "N", "H"}, also={"S"}),
    Family("superoxides: NaO2, KO2", {"O"}, ALKALI - {"Li"}, -1 / 2, -1 / 2, only=ALKALI),
    Family("sesquioxides of alkali metals: Rb4O6", {"O"}, _LARGE_ALKALI, -1, -1 / 2, only=ALKALI),
    Family("ozonides: KO3", {"O"}, ALKALI - {"Li"}, -1 / 3, -1 / 3, only=ALKALI),
    Family("polysulphides: K2S5, H2S2, Tl2S5", {"S", "Se"}, ALKALI | {"Tl", "H"}, -2, -1 / 3,
           only=ALKALI | {"Tl", "H", "N", "S", "Se"}),
    Family("polysulphides: BaS3", {"S", "Se"}, ALKALINE_EARTH - {"Be", "Mg"}, -2, -2 / 3, only=ELECTROPOSITIVE),
    Family("disulphides: FeS2, VS4, NbSe3, CsGaS3, La2O2S2", {"S", "Se"},
           ELECTROPOSITIVE - {"Be", "Mg"} | TRANSITION | {"Zn", "Cd", "B"}, -2, -1),
    Family("polytellurides: Cs2Te5, BaTe3", {"Te"}, ALKALI | ALKALINE_EARTH | {"Tl"}, -2, -1 / 5,
           only=ALKALI | ALKALINE_EARTH | {"Tl"}),
    Family("polytellurides: AgTe3", {"Te"}, {"Cu", "Ag", "Au"}, -2, -1 / 3, only={"Cu", "Ag", "Au"}),
    Family("polytellurides: ZrTe5, GdTe3, Al2Te5", {"Te"}, METALS | METALLOIDS, -2, -4 / 5),
    Family("azides: NaN3, Pb(N3)2", {"N"}, METALS - {"Ga", "In"} | {"H"}, -1 / 3, -1 / 3, only=METALS | {"H"}),
    Family("diazenides: BaN2, SrN", {"N"}, {"Ca", "Sr", "Ba"}, -3, -1, only=ALKALINE_EARTH),
    Family("pernitrides: PtN2, TiN2", {"N"}, TRANSITION - _groups(5, 6, 11), -2, -1.5, only=TRANSITION),
    Family("hydrazine", {"N"}, {"H"}, -3, -1 / 3, without=METALS),
    Family("polyphosphides: CdP4, LiP7, KP15", {"P"}, METALS - {"Al", "Ga"} | METALLOIDS | {"H"}, -3, -1 / 15,
           without=_HETERO),
    Family("polyarsenides: CoAs3, NaSb", {"As", "Sb"}, METALS - {"Al", "Ga"} | METALLOIDS, -3, -1 / 5,
           without=_HETERO),
    Family("sulpharsenides: FeAsS", {"P", "As", "Sb"}, TRANSITION, -3, -1, only=METALS | {"S", "Se"}),
    Family("pnictide halides: Cd2PCl2", {"P", "As", "Sb"}, {"Cd", "Hg"}, -3, -1, also={"Cl", "Br", "I"}),
    Family("oxypnictides with Pn2-: La2O2Sb", {"As", "Sb", "Bi"}, RARE_EARTH, -2, -2, only=RARE_EARTH | {"O"}),
    Family("acetylides: CaC2, Na2C2, Ag2C2, K2PdC2", {"C"}, ALKALI | ALKALINE_EARTH | {"Cu", "Ag", "Au"}, -1, -1,
           without=_HETERO | {"H"}),
    Family("acetylides of Pd(0) and Pt(0): K2PdC2", {"C"}, {"Pd", "Pt"}, -2, -2, also=ALKALI, without=_HETERO | {"H"}),
    Family("sesquicarbides: Mg2C3", {"C"}, {"Mg"}, -4 / 3, -4 / 3, only={"Mg"}),
    Family("rare-earth dicarbides: LaC2, ThC2", {"C"}, RARE_EARTH, -4, -1.5, without=_HARD),
    Family("graphite intercalation: LiC6, KC8, CaC6", {"C"}, ELECTROPOSITIVE - {"Be", "Mg"}, -1 / 3, -1 / 60,
           only=ELECTROPOSITIVE),
    Family("superhydrides: LaH10, CaH6", {"H"}, RARE_EARTH | {"Ca", "Sr", "Ba"}, -1 / 2, -1 / 6, only=ELECTROPOSITIVE),
    Family("tribromides: CsBr3", {"Br"}, _LARGE_ALKALI, -1 / 3, -1 / 3, only=ALKALI),
    Family("polyiodides: CsI3, CsI4, TlI3", {"I"}, _LARGE_ALKALI | {"Tl"}, -1 / 3, -1 / 5, only=ALKALI | {"Tl"}),
    Family("hydrocarbons", {"C"}, {"H"}, -4, 0),
]  # fmt: skip

# Cations that keep electrons to themselves (metal-metal bonds, interstitial anions, electrides) or are bonded to each other:
# the lowest mean state that they reach beside closed-shell anions.
ELECTRON_RICH_CATIONS = [
    Family("interstitial carbides, borides, silicides: Fe3C, TiB2", TRANSITION | RARE_EARTH, {"B", "C", "Si", "Ge"},
           0, without=_HARD),
    Family("metal-rich pnictides: Cr3P, Fe2As", TRANSITION | RARE_EARTH, {"P", "As", "Sb"}, 0, without=_HETERO),
    Family("metal-rich tellurides: Pd3Te2, Gd2Te", TRANSITION | RARE_EARTH, {"Te"}, 0,
           without=_HARD | {"Cl", "Br", "I"}),
    Family("interstitial hydrides: PdH, Mg2NiH4", TRANSITION | RARE_EARTH, {"H"}, 0, without=_HETERO - {"S", "Se"}),
    Family("interstitial nitrides: Fe4N, Ti2N", TRANSITION - _groups(11), {"N"}, 0, without=_HARD),
    Family("antiperovskite nitrides: Sc3AlN, La3InN", RARE_EARTH, {"N"}, 0, also=POST_TRANSITION, without=_HARD),
    Family("actinide mononitrides: ThN, PaN", {"Th", "Pa"}, {"N"}, 3),
    Family("interstitial oxides: Ti2O, V4O, Ta2O", _EARLY, {"O"}, 0, only=_EARLY | {"O", "N", "C"}),
    Family("eta-carbide oxides: Ti4Fe2O", _groups(4, 5), {"O"}, 0, only=TRANSITION | {"O"}),
    Family("eta-carbide oxides: Ti4Fe2O", TRANSITION, {"O"}, 0, only=TRANSITION | {"O"}, also=_groups(4, 5)),
    Family("monoxides of high pressure: LaO, CeO, NdO", RARE_EARTH - ACTINIDES, {"O"}, 2, only={"O"}),
    Family("metal-rich sulphides: Ta2S", _groups(4, 5), {"S", "Se"}, 0, only=TRANSITION | POST_TRANSITION | {"S", "Se"}),
    Family("metal-rich sulphides: Ni3S2, KNi2Se2", _groups(9, 10), {"S", "Se"}, 0, without=_HARD | {"Cl", "Br", "I"}),
    Family("cluster sulphides: PbMo6S8, KMo3S3, BaMo3Se3", {"Mo"}, {"S", "Se", "Te"}, 4 / 3),
    Family("ThCr2Si2-type selenides: KFe2Se2", {"Fe"}, {"S", "Se"}, 1.5, also=ALKALI | {"Tl"}),
    Family("monosulphides: LaS", RARE_EARTH, {"S", "Se"}, 2, without=_HARD),
    Family("shandites and parkerites: Ni3Sn2S2, Pd3Bi2S2", POST_TRANSITION | {"Ge", "As", "Sb"}, {"S", "Se", "Te"},
           0, also=_groups(8, 9, 10), without=_HARD),
    Family("subhalides: ZrCl, LaI, Sc7Cl10", RARE_EARTH | _groups(4), {"Cl", "Br", "I"}, 1, without=_HARD),
    Family("cluster iodides: Nb6I11", {"Nb"}, {"I"}, 1.8),
    Family("monovalent iron metals: LaNiO2, K3FeO2", {"Fe", "Co", "Ni"}, {"O"}, 1, also=ELECTROPOSITIVE),
    Family("delafossites: PdCoO2", {"Pd", "Pt"}, {"O"}, 1, also=METALS),
    Family("suboxides: Cs3O, Cs7O, Rb9O2, Cs9InO4", {"Rb", "Cs"}, {"O"}, 2 / 7, only=METALS | {"O"}),
    Family("subnitrides: Ca2N, Sr2N", {"Ca", "Sr"}, {"N"}, 1.5, only=ALKALINE_EARTH | ALKALI | {"N"}),
    Family("subnitrides: Ba3N", {"Ba"}, {"N"}, 1, only=ALKALINE_EARTH | ALKALI | {"N"}),
    Family("barium subnitrides and suboxides: NaBa3N, NaBa2O", {"Li", "Na", "K"}, {"Ba"}, 0,
           only={"Ba", "N", "O", "Li", "Na", "K"}, also={"N", "O"}),
    Family("barium subnitrides and suboxides: NaBa3N, NaBa2O", {"Ba"}, {"Li", "Na", "K"}, 1,
           only={"N", "O", "Li", "Na", "K"}, also={"N", "O"}),
    Family("subpnictides: Ca2As, Ba5Sb3", {"Ca", "Sr", "Ba"}, {"As", "Sb"}, 1.5, without=_HETERO),
    Family("silver subfluoride and suboxides: Ag2F, Ag3O", {"Ag"}, {"O", "F"}, 0.5),
    Family("mercury chains: Hg3(AsF6)2", {"Hg"}, {"F", "Cl"}, 1 / 3, also={"As", "Sb", "Nb", "Ta", "Al"}),
    Family("bismuth-rich tellurides: Bi4Te3", {"Bi", "Sb"}, {"Te", "Se"}, 0,
           only={"Bi", "Sb", "As", "S", "Se", "Te", "Ge", "Sn", "Pb"}),
    Family("bismuth subhalides: Bi4I4, Bi6Cl7", {"Bi"}, {"Cl", "Br", "I"}, 0.5,
           only=TRANSITION | {"Cl", "Br", "I", "Al", "Ga"}),
    Family("cadmium(I): Cd2(AlCl4)2", {"Zn", "Cd"}, {"Cl"}, 1, also={"Al"}, without=_HARD),
    Family("low states of Ga and In: GaS, In4Se3, InCl", {"Ga", "In"}, {"S", "Se", "Te", "Cl", "Br", "I"}, 1,
           without=_HARD),
    Family("boron-rich compounds: B4C, B12P2, Na2B12H12", {"B"}, {"C", "H", "N", "P", "As", "S", "Se", "Cl", "Br", "I"},
           1 / 6, without=_HARD),
    Family("boron suboxide: B6O", {"B"}, {"O"}, 1 / 3, only={"O"}),
    Family("Si-Si and Ge-Ge bonds: K6Si2Te6, SiP, GeS", {"Si", "Ge"}, _HETERO - _HARD | {"H", "P", "As", "Te"}, 1,
           without=_HARD),
    Family("germanium difluoride", {"Ge"}, {"F"}, 2, without={"O"}),
    Family("hypophosphites: NaH2PO2", {"P"}, {"H"}, 1),
    Family("P-P and As-As bonds: P4S3, FePS3, As4S4, P2I4", {"P", "As", "Sb"}, {"S", "Se", "Te", "Cl", "Br", "I"}, 1,
           without=_HARD),
    Family("chalcogen halides and polycations: S2Cl2, Te2I, Se4(AsF6)2", {"S", "Se", "Te"}, HALOGENS | {"N"}, 0.25,
           without={"O"}),
    Family("carbon suboxides: C3O2", {"C"}, {"O"}, 0, only={"O"}),
    Family("cyanogen and other carbon nitrides", {"C"}, {"N"}, 0, without=METALS),
    Family("lower oxides of nitrogen, hyponitrites: N2O, Na2N2O2", {"N"}, {"O"}, 1, only=ALKALI | {"O", "H"}),
    Family("organic compounds, graphite fluoride", {"C"}, HALOGENS | {"H"}, 0),
    Family("carbonyls: Ni(CO)4, HCo(CO)4", TRANSITION, {"C"}, -1, also={"O"}, only={"C", "O", "H"}),
    Family("polyiodine cations: I2Sb2F11", {"I"}, {"F", "Cl"}, 0.2, also={"As", "Sb", "Al"}),
]  # fmt: skip


@dataclass(frozen=True)
class CationStates:
    """Positive oxidation states of an element, one row of the table.

    Parameters
    ----------
    lowest : of its common compounds; fractions where its atoms are bonded to each other (S8+, Hg3+)
    highest : beside F, O or N, and an electropositive metal (Fe 6 in K2FeO4)
    highest_alone : beside F, O or N without such a metal (Fe 3)
    highest_chloride, highest_sulfide, highest_iodide : beside Cl or Br; beside other anions; beside I
    """

    lowest: float
    highest: float
    highest_alone: float
    highest_chloride: float
    highest_sulfide: float
    highest_iodide: float

    def highest_beside(self, anion: str, with_electropositive: bool) -> float:
        """Return the highest state beside an anion."""
        if anion in {"F", "O", "N"}:
            return self.highest if with_electropositive else self.highest_alone
        if anion in {"Cl", "Br"}:
            return self.highest_chloride
        return self.highest_iodide if anion in {"I", "At"} else self.highest_sulfide


@cache
def cation_table() -> dict[str, CationStates]:
    """Read the table of positive states by symbol; He, Ne, Ar and F have none.

    Values are those of Greenwood and Earnshaw, Chemistry of the Elements, 2nd ed. (1997), compared with the numbers of
    reports in the ICSD that SMACT 4.0.2 lists.
    """
    text = resources.files("imatgen_flows.crystals").joinpath("data/oxidation_states.csv").read_text(encoding="utf-8")
    rows = csv.reader(line for line in text.splitlines() if not line.startswith("#"))
    next(rows)
    return {symbol: CationStates(*map(float, values)) for symbol, *values in rows}


def cation_states(symbol: str, anions: Set[str], others: Set[str], is_linked: bool) -> Range:
    """Return the range of the mean state of a cation.

    Parameters
    ----------
    symbol : of the element
    anions : elements that are anions in the compound
    others : all elements of the compound but this one
    is_linked : whether anions are bonded to each other; cations take their usual states then
    """
    states = cation_table()[symbol]
    electropositive = not others.isdisjoint(ELECTROPOSITIVE)
    highest = max(states.highest_beside(anion, electropositive) for anion in anions)
    lowest = [states.lowest]
    if not is_linked:
        lowest += [family.lowest for family in ELECTRON_RICH_CATIONS if family.holds(symbol, others)]
    return min(lowest), highest


def anion_states(symbol: str, others: Set[str]) -> Iterator[tuple[Range, bool]]:
    """Yield the ranges of the mean state of an anion beside others, and whether its atoms are bonded to each other.

    There are none where the element is no anion beside these.
    """
    if symbol in CLOSED_SHELL:
        if symbol != "C" or "O" not in others or not others.isdisjoint(_OXYCARBIDES):
            yield (CLOSED_SHELL[symbol], CLOSED_SHELL[symbol]), False
        yield from _linked_states(symbol, others)
    elif _is_polar_anion(symbol, others):
        yield from ((states, False) for states in _polar_states(symbol, others))
        yield from _linked_states(symbol, others)


def _linked_states(symbol: str, others: Set[str]) -> Iterator[tuple[Range, bool]]:
    return (((family.lowest, family.highest), True) for family in LINKED_ANIONS if family.holds(symbol, others))


def _is_polar_anion(symbol: str, others: Set[str]) -> bool:
    """Test whether a metal or metalloid takes electrons from another metal: Mg2Si, Ca3SnO, CsAu."""
    if symbol in METALLOIDS:
        return not others.isdisjoint(METALS)
    return symbol in _POLAR_METALS and not others.isdisjoint(ELECTROPOSITIVE)


def _polar_states(symbol: str, others: Set[str]) -> Iterator[Range]:
    """Yield the states of a metal or metalloid that is an anion; beside other anions only those of known families."""
    group = Element(symbol).group
    filled = float(group - 18 if group > 12 else -2)  # an octet; Au in aurides, Pt in platinides
    any_charge = (filled, -0.05)
    anions = others & _HETERO
    is_inverse = anions == {"N"} and symbol in _INVERSE  # Ca3BiN, Ca3InN, Ca3AuN
    is_auride = anions == {"O"} and symbol in {"Au", "Pt"}  # Rb7Au5O2
    is_silicide = symbol in METALLOIDS and others & RARE_EARTH and others.isdisjoint(_HARD)  # La3Cl2Si3
    if not anions or is_inverse or is_auride or is_silicide:
        yield any_charge
    elif anions == {"O"} and symbol in _TETRELS_AND_BISMUTH:  # Ca3SnO, Ca3SiO
        yield filled, filled


def known_symbol(symbol: str) -> str:
    """Return the symbol of an element; H for its isotopes.

    Raises
    ------
    InputError
        Where it is no element, or one beyond Lr, of which no compounds are known.
    """
    if symbol in {"D", "T"}:
        return "H"
    if not Element.is_valid_symbol(symbol):
        raise InputError(f"{symbol!r} is not the symbol of an element.")
    if Element(symbol).Z > 103:
        raise InputError(f"{symbol} has no known oxidation states (they are known up to Lr): choose another element.")
    return symbol
