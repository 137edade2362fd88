"""Charge balance of a compound: whether oxidation states that its elements are known for can sum to zero."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import product

from pymatgen.core import Composition, Element

from imatgen_flows.crystals.oxidation_states import (
    ALKALI,
    ALKALINE_EARTH,
    METALLOIDS,
    METALS,
    NOBLE_GASES,
    Range,
    anion_states,
    cation_states,
    cation_table,
    known_symbol,
)

# Pauling units; below this difference either of two nonmetals may be the anion (C and Se: 0, H and P: 0.01, As and Te: 0.08)
TIE = 0.1
# an element that is cation and anion at once -> the element beside which it is: NH4NO3, acetates, NH3BH3
BOTH = {"N": "H", "C": "H", "H": "B"}
ACTINYLS = frozenset({"U", "Np", "Pu"})
ACID_FORMERS = frozenset({"N", "C", "Cl", "Br", "I"})
# nonmetals that are cations beside a metal only with some anions: sulphates and SCl3(AlCl4), but no sulphur iodide salts
OXIDISED_BY = {
    **dict.fromkeys(("S", "Se"), frozenset({"O", "F", "Cl"})),
    **dict.fromkeys(("Cl", "Br"), frozenset({"O", "F"})),
    "N": frozenset({"O"}),
    "I": frozenset({"O", "F", "Cl", "Br"}),
}
PNICTOGENS = frozenset({"As", "Sb"})
S_BLOCK = ALKALI | ALKALINE_EARTH
TOLERANCE = 1e-4  # elementary charges per atom; a rounded share errs by 1e-6, one charge in 1,000 atoms is 1e-3
ACIDIC = 4  # highest state of a metal in a nitrate, carbonate or halate; metals beyond it form acids themselves


def is_charge_balanced(composition: Composition) -> bool:
    """Test whether a compound can be neutral with oxidation states that its elements are known for.

    Each element is a cation, an anion, or in a few compounds (NH4NO3) both; a nonmetal is a cation only beside one of the
    same or a higher electronegativity. A cation has any mean state between its lowest and its highest beside these anions,
    so that mixed valence is allowed; an anion has a closed shell (O -2, N -3, Cl -1), or the mean state of a family of
    compounds with bonds between anions (peroxides, azides, polysulphides). Metal-rich families (suboxides, interstitial
    carbides) lower the state of cations. The compound is balanced where one choice of all this can sum to zero: for V-O,
    up to O/V = 2.5.

    Alloys, Zintl phases and elements alone have no definite oxidation states: they count as balanced.

    Parameters
    ----------
    composition : of a compound; neither the order nor the number of its formula units matters

    Raises
    ------
    InputError
        Where an element lies beyond Lr: no compounds of it are known.

    References
    ----------
    States and families: Greenwood and Earnshaw, Chemistry of the Elements, 2nd ed. (1997); see `oxidation_states`.

    Examples
    --------
    >>> [is_charge_balanced(Composition(formula)) for formula in ("V4O7", "TaON", "FeS2", "Cs3O")]
    [True, True, True, True]
    >>> [is_charge_balanced(Composition(formula)) for formula in ("Na3O", "CaF5", "TaNO5")]
    [False, False, False]
    """
    amounts: dict[str, float] = {}
    for symbol, amount in composition.get_el_amt_dict().items():
        if amount > 0:
            amounts[known_symbol(symbol)] = amounts.get(known_symbol(symbol), 0.0) + amount
    total = sum(amounts.values())
    return _balanced(tuple(sorted((symbol, round(amount / total, 6)) for symbol, amount in amounts.items())))


@lru_cache(maxsize=100_000)
def _balanced(shares: tuple[tuple[str, float], ...]) -> bool:
    symbols = [symbol for symbol, _ in shares]
    if len(shares) < 2 or not _has_anion(frozenset(symbols)):
        return True
    return any(
        _sums_to_zero(states, [share for _, share in shares])
        for anions, cations in _roles(symbols)
        for states in _states(symbols, anions, cations)
    )


def _has_anion(symbols: frozenset[str]) -> bool:
    """Test whether the rule applies: alloys and Zintl phases have no definite oxidation states."""
    metallic = METALS | METALLOIDS - {"Te"} | NOBLE_GASES
    return not symbols <= metallic or (not symbols.isdisjoint(PNICTOGENS) and symbols - PNICTOGENS <= S_BLOCK)


def _sums_to_zero(states: Sequence[Range], shares: Sequence[float]) -> bool:
    lowest, highest = (sum(state[end] * share for state, share in zip(states, shares, strict=True)) for end in (0, 1))
    return lowest <= TOLERANCE and highest >= -TOLERANCE


def _roles(symbols: list[str]) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    """Yield the sets of anions and of cations that a compound may have; an element may be in both, noble gases in none."""
    for roles in product(*(_roles_of(symbol, frozenset(symbols) - {symbol}) for symbol in symbols)):
        anions = frozenset(symbol for symbol, role in zip(symbols, roles, strict=True) if "-" in role)
        cations = frozenset(symbol for symbol, role in zip(symbols, roles, strict=True) if "+" in role)
        if all(_is_oxidised(symbol, anions, cations) for symbol in cations) and all(
            _is_reduced(symbol, cations) for symbol in anions
        ):
            yield anions, cations


def _roles_of(symbol: str, others: frozenset[str]) -> list[str]:
    roles = ["+"] if symbol in cation_table() else []
    if symbol in NOBLE_GASES:
        roles.append("0")
    if any(True for _ in anion_states(symbol, others)):
        roles.append("-")
        if BOTH.get(symbol) in others:
            roles.append("+-")
    return roles


def _is_oxidised(symbol: str, anions: frozenset[str], cations: frozenset[str]) -> bool:
    """Test whether one of the anions is electronegative enough to take electrons from an element."""
    takers = anions - {symbol}
    if symbol in METALS:
        return bool(takers)
    if symbol in OXIDISED_BY and not cations.isdisjoint(METALS):
        takers &= OXIDISED_BY[symbol]
    return any(electronegativity(anion) >= electronegativity(symbol) - TIE for anion in takers)


def _is_reduced(symbol: str, cations: frozenset[str]) -> bool:
    """Test whether one of the cations is electropositive enough to give electrons to an element."""
    return any(
        cation in METALS or electronegativity(cation) <= electronegativity(symbol) + TIE
        for cation in cations - {symbol}
    )


def _states(symbols: list[str], anions: frozenset[str], cations: frozenset[str]) -> Iterator[list[Range]]:
    """Yield the ranges of the mean states of all elements, for each choice of the states of the anions."""
    others = {symbol: frozenset(symbols) - {symbol} for symbol in symbols}
    negative = [symbol for symbol in symbols if symbol in anions]
    for choice in product(*(anion_states(symbol, others[symbol]) for symbol in negative)):
        is_linked = any(linked for _, linked in choice)
        states = {symbol: range_ for symbol, (range_, _) in zip(negative, choice, strict=True)}
        for symbol in cations:
            lowest, highest = cation_states(symbol, anions, others[symbol], is_linked)
            if symbol in METALS - ACTINYLS and not cations.isdisjoint(ACID_FORMERS):
                highest = min(highest, max(ACIDIC, lowest))
            states[symbol] = (min(lowest, states[symbol][0]), highest) if symbol in states else (lowest, highest)
        yield [states.get(symbol, (0.0, 0.0)) for symbol in symbols]


@cache
def electronegativity(symbol: str) -> float:
    """Return the electronegativity in Pauling units; 0 for He, Ne and Ar, which have none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen's, of elements without a value
        value = Element(symbol).X
    return 0.0 if math.isnan(value) else float(value)
