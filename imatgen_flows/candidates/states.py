"""States of a candidate, and the stages at which it can be rejected. Everything that counts candidates derives from here."""

from __future__ import annotations

from imatgen_flows.registry import DescribedEnum


class State(DescribedEnum):
    """How far a candidate came, in order. A candidate has exactly one; `REJECTED` stands beside the order.

    Examples
    --------
    >>> State("unique").label
    'Unique and new'
    >>> [state.value for state in State.ordered()][:2]
    ['sampled', 'valid']
    """

    SAMPLED = "sampled", "Sampled", "A latent vector was drawn."
    VALID = "valid", "Valid", "It decodes to a crystal of the system that passes the checks of validity."
    UNIQUE = "unique", "Unique and new", "It matches no other sample, no known phase and no substituted structure."
    SCREENED = "screened", "Relaxed", "A potential relaxed it and placed it on the hull."
    SHORTLISTED = "shortlisted", "Shortlisted", "As relaxed it is new, and lies within the threshold of the hull."
    VALIDATED = "validated", "Validated", "DFT confirmed it."
    REJECTED = "rejected", "Rejected", "It left the campaign at one stage for one reason."

    @classmethod
    def ordered(cls) -> tuple[State, ...]:
        """Return the states that a candidate passes through, first to last."""
        return tuple(state for state in cls if state is not cls.REJECTED)


class Stage(DescribedEnum):
    """Where a candidate can be rejected, in order.

    Examples
    --------
    >>> Stage.UNIQUENESS.reached is State.VALID
    True
    """

    DECODE = "decode", "Decoding", "The images hold no readable crystal."
    VALIDITY = "validity", "Validity", "Elements, size, distances or the charge balance are not acceptable."
    UNIQUENESS = "uniqueness", "Uniqueness", "It matches another sample, a known phase or a substituted structure."
    SCREEN = "screen", "Relaxation", "The potential could not relax it."
    VALIDATE = "validate", "Validation", "DFT refused it."

    @property
    def reached(self) -> State:
        """State that a candidate had reached when it was rejected here."""
        return _REACHED[self]


class Geometry(DescribedEnum):
    """The structures of a candidate, in the order in which it gets them. Each crystal has an id of its own."""

    DECODED = "decoded", "As decoded", "As its images show it, repaired, in the standard cell."
    RELAXED = "relaxed", "As relaxed", "As the potential relaxed it."
    FOLLOWED = (
        "followed",
        "Soft mode followed",
        "The lower structure to which its softest phonon leads: no candidate itself.",
    )
    VALIDATED = "validated", "As validated", "As DFT left it."

    @property
    def id_column(self) -> str:
        """Column of the candidate table that holds the id of this crystal."""
        return "id" if self is Geometry.DECODED else f"{self.value}_id"


_REACHED = {
    Stage.DECODE: State.SAMPLED,
    Stage.VALIDITY: State.SAMPLED,
    Stage.UNIQUENESS: State.VALID,
    Stage.SCREEN: State.UNIQUE,
    Stage.VALIDATE: State.SHORTLISTED,
}
