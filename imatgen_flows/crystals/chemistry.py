"""Chemical limits of a compound: oxidation states, from element data, for any system."""

from __future__ import annotations

from pymatgen.core import Composition, Element

from imatgen_flows.errors import InputError


def oxidation_range(element: str) -> tuple[int, int] | None:
    """Return the lowest and highest positive oxidation state of an element in the ICSD; None where it has none."""
    states = [state for state in _element(element).icsd_oxidation_states if state > 0]
    return (min(states), max(states)) if states else None


def has_valid_oxidation(composition: Composition) -> bool:
    """Test whether a compound can be neutral with the known oxidation states of its elements.

    The most electronegative element takes its common anionic state (O -2, N -3, Cl -1). Each other element may have any
    mean state within the range of its positive states in the ICSD, so that mixed valence is allowed; one without a
    positive state there (F beside O) takes its anionic state too. The compound is valid where the summed charge can be
    zero: for V-O, 1.0 <= O/V <= 2.5.

    Compounds without an anion (metals and metalloids only) have no definite oxidation states: the rule does not apply
    and they are valid. An element alone is no compound, and not valid.
    """
    amounts = {Element(symbol): amount for symbol, amount in composition.get_el_amt_dict().items() if amount > 0}
    if len(amounts) < 2:
        return False
    anion = max(amounts, key=lambda element: element.X)
    if is_metallic(anion) or (charge := _anionic_state(anion)) is None:
        return True
    lowest = highest = charge * amounts[anion]
    for element, amount in amounts.items():
        if element == anion:
            continue
        states = oxidation_range(element.symbol)
        if states is None:
            state = _anionic_state(element)
            if state is None:  # a noble gas: it carries no charge
                continue
            states = (state, state)
        lowest += states[0] * amount
        highest += states[1] * amount
    tolerance = 1e-6 * composition.num_atoms
    return bool(lowest <= tolerance and highest >= -tolerance)


def is_metallic(element: Element) -> bool:
    """Test whether an element is a metal or a metalloid, and so not an anion."""
    return bool(element.is_metal or element.is_metalloid)


def _element(symbol: str) -> Element:
    try:
        return Element(symbol)
    except ValueError:
        raise InputError(f"{symbol!r} is not the symbol of an element.") from None


def _anionic_state(element: Element) -> int | None:
    return min((state for state in element.common_oxidation_states if state < 0), default=None)
