"""A trained model of a chemical system, from structures to latent vectors and back, and as a source of new structures."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Composition, IStructure, Structure
from torch import Tensor

from imatgen_flows.candidates.decoding import Examined, examine
from imatgen_flows.candidates.registry import DEFAULT_CHARGE_CHECK, REJECT_UNBALANCED
from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.validity import check_validity
from imatgen_flows.crystals.arguments import positive_number, whole_number
from imatgen_flows.crystals.charge_balance import is_charge_balanced
from imatgen_flows.crystals.search_formulas import SearchFormula, read_sites
from imatgen_flows.errors import InputError
from imatgen_flows.models.sampling import Samples, sample_gaussian, sample_perturbed, sample_prior
from imatgen_flows.sources.generated import GeneratedCrystals, Unwanted, valid_structure
from imatgen_flows.sources.model_inputs import latent_vectors, standard_structures

if TYPE_CHECKING:
    from imatgen_flows.crystals.prototype_index import PrototypeIndex
    from imatgen_flows.models.crystal_model import CrystalModel

logger = logging.getLogger(__name__)

DRAWS_OF_A_STRUCTURE = 20  # latent vectors that are drawn at most for each structure that is asked for
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class TrainingSummary:
    """What sampling needs of the training structures.

    Attributes
    ----------
    scale : (latent,), standard deviations of their latent vectors
    atom_counts : (C, elements), their different contents, in the order of the model's elements
    weights : (C,), number of structures of each content
    latent : (n, latent), their latent vectors; None where only a model file is at hand
    """

    scale: Tensor
    atom_counts: Tensor
    weights: Tensor
    latent: Tensor | None = None

    @classmethod
    def of(cls, latent: Tensor, atom_counts: Tensor) -> TrainingSummary:
        """Summarise training structures with latent vectors (n, latent) and contents (n, elements)."""
        contents, numbers = atom_counts.unique(dim=0, return_counts=True)
        return cls(latent.std(0), contents, numbers, latent)

    @classmethod
    def read(cls, record: Mapping[str, list[Any]]) -> TrainingSummary:
        """Read the summary of a model file's card."""
        return cls(*(torch.tensor(record[name]) for name in ("scale", "atom_counts", "weights")))

    def of_system(self, elements: Sequence[str], charge: str) -> TrainingSummary:
        """Choose the contents with as many roles as a system has elements; where others are rejected, of these the balanced.

        Where none is balanced, as of an intermetallic system, all are kept.
        """
        number = len(elements)
        suits = (self.atom_counts[:, :number] > 0).all(dim=1) & (self.atom_counts[:, number:] == 0).all(dim=1)
        contents, weights = self.atom_counts[suits, :number], self.weights[suits]
        if charge == REJECT_UNBALANCED:
            balanced = torch.tensor(
                [is_charge_balanced(Composition(dict(zip(elements, row, strict=True)))) for row in contents.tolist()],
                dtype=torch.bool,
            )
            if balanced.any():
                contents, weights = contents[balanced], weights[balanced]
        return TrainingSummary(self.scale, contents, weights)


class TrainedModel:
    """The three trained networks of a system, with what is needed to use them.

    Parameters
    ----------
    networks : image autoencoders and VAE
    training : summary of the structures that they were trained on
    max_sites, max_edge : limits of valid structures, A
    name : of the run or the file, for messages
    charge : what is done about charge balance, one of `CHARGE_CHECKS`
    index : protostructures that the networks were trained on; None where a campaign's own novelty tells
    """

    def __init__(
        self,
        networks: CrystalModel,
        training: TrainingSummary,
        max_sites: int,
        max_edge: float,
        name: str = "model",
        charge: str = DEFAULT_CHARGE_CHECK,
        index: PrototypeIndex | None = None,
    ) -> None:
        self.index = index
        self.networks, self.training = networks, training
        self.max_sites, self.max_edge, self.name, self.charge = max_sites, max_edge, name, charge

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements of the model, in the order of its channels."""
        return self.networks.compressor.elements

    def __repr__(self) -> str:
        return f"TrainedModel({'-'.join(self.elements)}, {self.name})"

    def encode(self, structures: Sequence[Structure]) -> NDArray[np.float32]:
        """Map structures to latent vectors (n, latent).

        Raises
        ------
        InputError
            Where one is no ordered crystal of the model's elements, with finite numbers, apart atoms and room in the box of
            the images; it names the place in the list.
        """
        from imatgen_flows.representation import pack

        standard = standard_structures(structures, self.elements, self.name)
        if not standard:
            return np.zeros((0, len(self.training.scale)), np.float32)
        return self.networks.encode(pack(standard, self.elements)).cpu().numpy()

    def decode(self, latent: ArrayLike | Tensor) -> list[Structure | None]:
        """Decode latent vectors (n, latent): a repaired structure in its standard cell each, None where it is not valid.

        Raises
        ------
        InputError
            Where they have another shape, or numbers that are not finite.
        """
        vectors = latent_vectors(latent, len(self.training.scale))
        if not len(vectors):
            return []
        decoded = zip(*self.networks.compressor.read(self.networks.decode(vectors)), strict=True)
        examined = [examine(*pair, self.elements, self.max_sites, self.max_edge, self.charge) for pair in decoded]
        return [valid_structure(item) for item in examined]

    def is_valid(self, structure: Structure) -> bool:
        """Test whether a structure passes the checks of validity of the campaign that trained the model."""
        return check_validity(structure, self.elements, self.max_sites, self.max_edge, self.charge) is None

    def neighbours(self, structure: Structure, n: int = 20, width: float = 0.3, seed: int = 0) -> list[Structure]:
        """Generate structures near a given one in the latent space.

        Parameters
        ----------
        structure : of the model's elements
        n : number of valid structures that are wanted
        width : standard deviation of the Gaussian noise, in those of the training structures
        seed : of the noise; the draws of two seeds are independent

        Returns
        -------
        `n` valid structures, or fewer where `DRAWS_OF_A_STRUCTURE` draws for each did not give as many; a warning says then
        what became of the draws

        Raises
        ------
        InputError
            Where the structure is none that the model encodes, or a number is out of its limits.
        """
        if not isinstance(structure, IStructure):
            raise InputError(
                f"neighbours are those of one pymatgen structure; this is of type {type(structure).__name__}."
            )
        noise = positive_number(width, "width", "standard deviations of the latent space") * self.training.scale
        middle = torch.from_numpy(self.encode([structure]))

        def draw(number: int, batch: int) -> Samples:
            return sample_perturbed(middle, number, _stream(seed, batch, _VECTORS), width=noise)

        return self._collect(draw, n, seed, cure="A smaller `width` stays nearer to the structure.").structures

    def generate(
        self,
        n: int,
        formula: str | None = None,
        seed: int = 0,
        sites: str | int | None = None,
        space_group: int | None = None,
        workers: int = 1,
    ) -> GeneratedCrystals:
        """Generate structures from the prior.

        Parameters
        ----------
        n : number of valid structures that are wanted
        formula : a reduced one, as V3O4, means cells of any number of formula units within the limits; one that is not, as
            V6O8, the contents of the cell; by default the contents of the training structures, as often as they occur
        seed : of the draws; those of two seeds are independent
        sites : number of sites of the primitive cell, or a range such as `10-20`; the prior is conditioned on it
        space_group : its number; crystals of others are left out after they were drawn
        workers : processes that decode; the crystals are the same whatever their number

        Returns
        -------
        `n` valid structures, or fewer, as `neighbours`, with the number of draws that they took

        Raises
        ------
        InputError
            Where the formula is not of the model's elements, or no cell within the limits is what was asked for.
        """
        contents, weights = self._contents(formula, sites)
        wanted = self._formula(formula) if formula else None
        reduced = wanted.composition.reduced_formula if wanted else None
        size = read_sites(sites) if sites is not None else None
        if space_group is not None:
            whole_number(space_group, "space_group", 1, 230)

        def draw(number: int, batch: int) -> Samples:
            generator = torch.Generator().manual_seed(_stream(seed, batch, _CONTENTS))
            chosen = contents[torch.multinomial(weights.float(), number, replacement=True, generator=generator)]
            return self._from_prior(chosen, _stream(seed, batch, _VECTORS))

        def unwanted(row: Row) -> str | None:
            number = int(str(row["nsites"]))
            if reduced not in (None, row["formula"]) or (wanted and not wanted.cells(number, number)):
                return f"formula other than {wanted}"
            if size is not None and not size[0] <= number <= size[1]:
                return f"other than {sites} sites"
            if space_group not in (None, row["spacegroup_number"]):
                return f"other than space group {space_group}"
            return None

        cure = "Networks that are trained longer, or on more structures, decode more."
        if wanted:
            cure = f"Ask without `formula`, or near a known crystal of {wanted} (`model.neighbours`). {cure}"
        if space_group is not None:  # networks that are better do not help
            cure = "Samples have little symmetry before they are relaxed: ask without a space group, or for fewer."
        return self._collect(draw, n, seed, unwanted, cure, workers)

    def _contents(self, formula: str | None, sites: str | int | None = None) -> tuple[Tensor, Tensor]:
        """List the contents of a cell that are drawn, with their weights."""
        low, high = (1, self.max_sites) if sites is None else read_sites(sites)
        if low > self.max_sites:
            raise InputError(f"{sites} sites are asked for, the limit of {self.name} is {self.max_sites}.")
        if formula is None:
            contents, weights = self.training.atom_counts, self.training.weights
        else:
            wanted = self._formula(formula)
            unit = torch.tensor([int(wanted.unit[element]) for element in self.elements])
            size = int(unit.sum())
            cells = wanted.cells(1, self.max_sites)
            if not cells:
                raise InputError(f"{formula} has {size} atoms, the limit of {self.name} is {self.max_sites}.")
            contents = torch.stack([unit * (number // size) for number in cells])
            weights = torch.ones(len(cells))
        within = (contents.sum(dim=1) >= low) & (contents.sum(dim=1) <= high)
        if not within.any():
            raise InputError(
                f"no cell of {formula or '-'.join(self.elements)} that {self.name} knows has {sites} sites: ask for others."
            )
        return contents[within], weights[within]

    def _formula(self, formula: str) -> SearchFormula:
        """Read a formula of just the elements of the model."""
        wanted = SearchFormula.read(formula)
        wanted.check_elements(self.elements)
        return wanted

    def _from_prior(self, atom_counts: Tensor, seed: int) -> Samples:
        """Draw one sample for each content: from the flow, or a Gaussian where it was not trained."""
        prior = self.networks.vae.prior
        if prior is not None and prior.trained:
            conditions = torch.zeros(len(atom_counts), self.networks.vae.shape[0])
            conditions[:, : len(self.elements)] = atom_counts.float()
            conditions[:, -1] = prior.energy[0] - prior.energy[1]  # eV/atom: lower than most training structures
            drawn = sample_prior(prior, conditions, seed)
        elif self.training.latent is not None:
            drawn = sample_gaussian(self.training.latent, len(atom_counts), seed)
        else:
            raise InputError(
                f"{self.name} was trained on too few structures for a prior, and a file holds none of them: give the run "
                "that trained it, `model=Run.open(...)`."
            )
        return Samples(drawn.latent, seed, drawn.parents, atom_counts, drawn.prior)

    def _collect(
        self,
        draw: Callable[[int, int], Samples],
        n: int,
        seed: int,
        unwanted: Unwanted | None = None,
        cure: str = "",
        workers: int = 1,
    ) -> GeneratedCrystals:
        """Draw batches until there are `n` valid structures that were asked for, and count out the others."""
        n, _ = whole_number(n, "n", 1), whole_number(seed, "seed", 0, MAX_SEED)
        found, drawn, batch, most = GeneratedCrystals(n), 0, 0, DRAWS_OF_A_STRUCTURE * n
        while (missing := n - len(found.structures)) and drawn < most:
            # as many as should give those that are missing, by the share that was kept so far
            due = math.ceil(missing * drawn / len(found.structures)) if found.structures else n
            samples = draw(min(due, most - drawn), batch)
            for item in self._decode(samples, workers):
                found.add(item, unwanted)
            drawn += len(samples.latent)
            batch += 1
        number = len(found.structures)
        logger.info("%s: %d of %d draws gave a crystal that was asked for", self.name, number, drawn)
        if number < n:
            logger.warning(
                "%s gave %d of the %d structures: of %d draws %s. %s",
                self.name,
                number,
                n,
                found.drawn,
                found.fates,
                cure,
            )
        return found

    def _decode(self, samples: Samples, workers: int = 1) -> list[Examined]:
        from imatgen_flows.candidates.decode_samples import decode_samples

        return decode_samples(self.networks, samples, self.max_sites, self.max_edge, workers, self.charge)[1]


_CONTENTS, _VECTORS = 0, 1  # what is drawn from a random stream of its own: contents of the cell, latent vectors


def _stream(seed: int, batch: int, part: int) -> int:
    """Return the seed of a random stream that no other seed, batch or part shares."""
    return int(np.random.SeedSequence(seed, spawn_key=(batch, part)).generate_state(1, np.uint64)[0])
