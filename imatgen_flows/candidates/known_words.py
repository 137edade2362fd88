"""Words by which the candidate table says what is known of a candidate: written by `known_elsewhere`, read by the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

SUBSTITUTED = " (substituted)"  # behind the name of the nearest crystal where that is no published one
NOT_ANSWERED = ": not answered ("  # behind the name of a provider, before the reason
NOT_AMONG = ": not among "  # behind the name of a provider, before the number of its crystals


def silent_providers(said: Iterable[Sequence[str]]) -> Counter[str]:
    """Count, by provider, the candidates about which it has not answered.

    Parameters
    ----------
    said : of each candidate, what its column `elsewhere` says

    Examples
    --------
    >>> silent_providers([["mp: mp-1 https://...", "oqmd: not answered (500)"], ["oqmd: not answered (500)"]])
    Counter({'oqmd': 2})
    """
    return Counter(line.partition(NOT_ANSWERED)[0] for lines in said for line in lines if NOT_ANSWERED in line)


def is_match(line: str) -> bool:
    """Test whether a line of the column `elsewhere` says that a provider holds the crystal.

    Examples
    --------
    >>> is_match("http://127.0.0.1:9: not answered (refused)"), is_match("mp: mp-1 https://example.org/mp-1")
    (False, True)
    """
    return NOT_ANSWERED not in line and NOT_AMONG not in line
