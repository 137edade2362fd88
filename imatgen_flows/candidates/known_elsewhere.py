"""What is already known of candidates: by tight tolerances, by prototype, by distance, and in databases elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pymatgen.core import Composition, Structure

from imatgen_flows.candidates.known_words import NOT_AMONG, NOT_ANSWERED, SUBSTITUTED
from imatgen_flows.candidates.novelty import NoveltyClassifier, classify_relaxed
from imatgen_flows.candidates.ordered_variants import DisorderedParent, VariantFinder, variants_among
from imatgen_flows.candidates.schema import Row
from imatgen_flows.crystals.elsewhere import Answer
from imatgen_flows.crystals.protostructure import find_label
from imatgen_flows.crystals.prototype_index import PrototypeIndex
from imatgen_flows.matching.fingerprint import Fingerprint
from imatgen_flows.matching.grouping import StructureIndex

# as LeMat-GenBench compares structures: pymatgen's StructureMatcher with ltol=0.1 and its other defaults (the method
# `structure-matcher` of https://github.com/LeMaterial/lemat-genbench, fingerprinting/utils.py)
TIGHT = {"ltol": 0.1, "stol": 0.3, "angle_tol": 5}


@dataclass(frozen=True)
class KnownCrystals:
    """What candidates are compared with, beside the novelty classifier.

    Attributes
    ----------
    published : published phases by id, as given and as relaxed
    substituted : substituted structures by id, as made and as relaxed
    disordered : published phases with sites that elements share
    prototypes : protostructures of published crystals; None where there is no index
    answers : of databases elsewhere
    """

    published: Mapping[str, Structure]
    substituted: Mapping[str, Structure]
    disordered: Mapping[str, Structure]
    prototypes: PrototypeIndex | None
    answers: Sequence[Answer] = field(default_factory=list)


class NearestKnown:
    """Look up which known crystal is the nearest to another, by the distance of their fingerprints; see `Fingerprint`.

    Compared are the known crystals of the same reduced formula; where there are none, those of the same stoichiometry, in
    which elements have other roles, as LiV2O4 and VLi2O4.

    Parameters
    ----------
    known : ordered crystals by name
    """

    def __init__(self, known: Mapping[str, Structure]) -> None:
        self._by_formula: defaultdict[str, dict[str, Structure]] = defaultdict(dict)
        self._by_roles: defaultdict[str, dict[str, Structure]] = defaultdict(dict)
        self._fingerprints: dict[str, Fingerprint] = {}
        for name, structure in known.items():
            composition = _elements_of(structure)
            self._by_formula[composition.reduced_formula][name] = structure
            self._by_roles[composition.anonymized_formula][name] = structure

    def find(self, structure: Structure) -> tuple[str, float] | None:
        """Find the nearest known crystal, and its distance; of equal ones the first. None where none can be compared."""
        composition = _elements_of(structure)
        held = self._by_formula.get(composition.reduced_formula) or self._by_roles.get(composition.anonymized_formula)
        if not held:
            return None
        own = Fingerprint.of(structure)
        distances = {name: own.distance(self._fingerprint(name, other)) for name, other in held.items()}
        nearest = min(distances, key=lambda name: distances[name])
        return nearest, distances[nearest]

    def _fingerprint(self, name: str, structure: Structure) -> Fingerprint:
        if name not in self._fingerprints:
            self._fingerprints[name] = Fingerprint.of(structure)
        return self._fingerprints[name]


def classify_tightly(structures: Mapping[str, Structure], classifier: NoveltyClassifier) -> list[Row]:
    """Write the novelty of relaxed candidates by tight tolerances, beside the class that a campaign goes by.

    Parameters
    ----------
    structures : by sample, lowest E_hull first
    classifier : of what is known besides, with the tolerances `TIGHT`
    """
    found = classify_relaxed(list(structures.values()), list(structures), classifier, TIGHT)
    return [
        {"sample": sample, "tight_novelty": row["novelty"], "tight_match": row["novelty_match"]}
        for sample, row in zip(structures, found, strict=True)
    ]


def classify_followed(structures: Mapping[str, Structure], classifier: NoveltyClassifier) -> list[Row]:
    """Write the novelty of the lower structures to which soft modes lead.

    Parameters
    ----------
    structures : by the sample whose mode was followed
    classifier : of what is known, to which all relaxed candidates count as found: what a mode leads to can be another of
        them, or by the tolerances still the same one
    """
    return [
        {"sample": sample, "followed_novelty": novelty.value, "followed_match": match}
        for sample, (novelty, match, _) in zip(
            structures, classifier.classify_all(list(structures.values())), strict=True
        )
    ]


def describe_known(structures: Mapping[str, Structure], known: KnownCrystals) -> list[Row]:
    """Write what is known of shortlisted candidates.

    Parameters
    ----------
    structures : as relaxed, by sample, lowest E_hull first: a candidate can be an ordered variant of one before it
    known : what they are compared with
    """
    elsewhere = {f"{name} ({answer.provider})": one for answer in known.answers for name, one in answer.ordered.items()}
    nearest_known = NearestKnown({**known.published, **elsewhere})
    # a formula that nobody has published: how far it is from what plain substitution gives
    nearest_made = NearestKnown({f"{name}{SUBSTITUTED}": one for name, one in known.substituted.items()})
    variants = find_variants(structures, known)
    lookups = [(answer, StructureIndex(answer.ordered.items())) for answer in known.answers]
    rows: list[Row] = []
    for sample, structure in structures.items():
        label, nearest = find_label(structure), nearest_known.find(structure) or nearest_made.find(structure)
        rows.append(
            {
                "sample": sample,
                "protostructure": label,
                "prototype_known": label in known.prototypes if label and known.prototypes is not None else None,
                "nearest": nearest[0] if nearest else "",
                "nearest_distance": nearest[1] if nearest else None,
                "variant_of": variants.get(sample, ""),
                "elsewhere": [_say(answer, index.find(structure)) for answer, index in lookups],
            }
        )
    return rows


def find_variants(structures: Mapping[str, Structure], known: KnownCrystals) -> dict[str, str]:
    """Say of what candidates are ordered variants: of a disordered phase, else a published one, else another candidate."""
    parents = [DisorderedParent(f"{name} (disordered)", one) for name, one in known.disordered.items()]
    for answer in known.answers:
        parents += [
            DisorderedParent(f"{name} (disordered, {answer.provider})", one) for name, one in answer.disordered.items()
        ]
    parents += [DisorderedParent(f"{name} (known)", one) for name, one in known.published.items()]
    finder = VariantFinder(parents)
    found = {name: f"{first} (candidate)" for name, first in variants_among(structures).items()}
    return found | {name: parent for name, one in structures.items() if (parent := finder.find(one))}


def _say(answer: Answer, match: str | None) -> str:
    """Say whether a provider holds a crystal, in one line."""
    if answer.fault:
        return f"{answer.provider}{NOT_ANSWERED}{answer.fault})"
    if match is not None:
        return f"{answer.provider}: {match} {answer.link(match)}"
    unread = f"; {answer.unread:,} entries cannot be read" if answer.unread else ""
    return f"{answer.provider}{NOT_AMONG}{len(answer.ordered):,} crystals of the system{unread}"


def _elements_of(structure: Structure) -> Composition:
    return structure.composition.element_composition
