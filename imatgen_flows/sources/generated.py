"""What a trained model generated: the crystals that were asked for, and what became of the other draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.decoding import Examined
from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import Stage
from imatgen_flows.crystals.protostructure import find_label

if TYPE_CHECKING:
    from imatgen_flows.crystals.prototype_index import PrototypeIndex

# beside the stages: a valid crystal that is not one that was asked for, and one beyond the number that was
UNWANTED, SURPLUS = "unwanted", "surplus"
WORDS = {
    Stage.DECODE: "not decodable",
    Stage.VALIDITY: "not valid",
    UNWANTED: "not what was asked for",
    SURPLUS: "not needed",
}

Unwanted = Callable[[Row], str | None]  # of a valid crystal: why it is not one that was asked for, or None


@dataclass
class GeneratedCrystals:
    """Crystals that were generated, and the draws that they took.

    Attributes
    ----------
    wanted : number of crystals that were asked for
    structures : valid ones that were asked for, so many at most; their `properties` hold id and quality of the decode
    drawn : latent vectors that were drawn and decoded
    left : draws that gave none of them, by stage and reason
    """

    wanted: int
    structures: list[Structure] = field(default_factory=list)
    drawn: int = 0
    left: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def clean(self) -> int:
        """Number of structures whose decode is clean."""
        return sum(bool(structure.properties["clean"]) for structure in self.structures)

    def add(self, item: Examined, unwanted: Unwanted | None = None) -> None:
        """Count a draw, and keep its crystal where it is one that was asked for."""
        self.drawn += 1
        structure = valid_structure(item)
        if structure is None:
            self.left[str(item.row["rejected_stage"]), str(item.row["rejected_reason"])] += 1
        elif unwanted is not None and (reason := unwanted(item.row)):
            self.left[UNWANTED, reason] += 1
        elif len(self.structures) == self.wanted:
            self.left[SURPLUS, f"more than the {self.wanted} that were asked for"] += 1
        else:
            self.structures.append(structure)

    def classify(self, index: PrototypeIndex | None, workers: int = 1) -> None:
        """Write the novelty of each structure among its properties.

        A `duplicate` matches an earlier one here. Where there is an index of the training data, a crystal whose
        protostructure is in it is `substituted`: a known prototype with other elements, and another one is `new`. One that
        no symmetry was found of is neither.

        Parameters
        ----------
        index : of what the model was trained on; None where nothing is known of it, and `novelty` stays empty
        workers : processes
        """
        from imatgen_flows.crystals.batches import map_items
        from imatgen_flows.matching.grouping import group_duplicates

        firsts = group_duplicates(self.structures, workers=workers)
        labels = map_items(find_label, self.structures, workers, "labelling protostructures")
        for place, (structure, first, label) in enumerate(zip(self.structures, firsts, labels, strict=True)):
            novelty = ""
            if index is not None and label:
                novelty = str((Novelty.SUBSTITUTED if label in index else Novelty.NEW).value)
            structure.properties |= {
                "protostructure": label,
                "novelty": Novelty.DUPLICATE.value if first != place else novelty,
            }

    def counts(self) -> dict[str, int]:
        """Count the draws: what was kept, by quality and novelty, and what was not, by the reason."""
        numbers = {"kept": len(self.structures), "of these clean": self.clean}
        classes = Counter(str(structure.properties.get("novelty", "")) for structure in self.structures)
        numbers |= {f"of these {kind.value}": classes[kind.value] for kind in Novelty if classes[kind.value]}
        clean_new = sum(
            structure.properties["clean"] and structure.properties.get("novelty") == Novelty.NEW.value
            for structure in self.structures
        )
        numbers["of these clean and new"] = clean_new
        for (stage, reason), number in self.left.most_common():
            numbers[f"left out, {WORDS[stage]}: {reason.replace('_', ' ')}"] = number
        return numbers

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return {
            "wanted": self.wanted,
            "drawn": self.drawn,
            "counts": self.counts(),
            "structures": [
                {"formula": structure.composition.reduced_formula, "nsites": len(structure), **structure.properties}
                for structure in self.structures
            ],
        }

    @property
    def fates(self) -> str:
        """Say how many draws gave no crystal that was asked for, and why: most frequent reasons first."""
        said = []
        for stage, text in WORDS.items():
            reasons = [
                (reason.replace("_", " "), number)
                for (where, reason), number in self.left.most_common()
                if where == stage
            ]
            if reasons:
                parts = ", ".join(f"{reason} {number:,}" for reason, number in reasons)
                said.append(f"{sum(number for _, number in reasons):,} were {text} ({parts})")
        return "; ".join(said)


def valid_structure(item: Examined) -> Structure | None:
    """Return the structure of a valid decode, with its id and the quality of the decode among its properties."""
    if not item.is_valid or item.crystal is None:
        return None
    structure = item.crystal.structure()
    structure.properties = {name: item.row[name] for name in ("id", "residual", "clean")}
    return structure
