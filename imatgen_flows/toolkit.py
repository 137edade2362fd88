"""The steps of a campaign one by one, for a notebook: load a model, generate, relax, screen."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from imatgen_flows.energetics.potential_registry import DEFAULT_POTENTIAL
from imatgen_flows.errors import InputError
from imatgen_flows.models.registry import PRETRAINED
from imatgen_flows.run import Run

if TYPE_CHECKING:
    import pandas
    from pymatgen.core import Structure

    from imatgen_flows.crystals.raw_crystal import RawCrystal
    from imatgen_flows.energetics.relax import Relaxation
    from imatgen_flows.jobs.comparison import ComparisonSource
    from imatgen_flows.sources.generated import GeneratedCrystals
    from imatgen_flows.sources.trained_model import TrainedModel


def load_model(source: str | Path = PRETRAINED, system: str | None = None) -> TrainedModel:
    """Load trained networks.

    Parameters
    ----------
    source : `pretrained`, the model that ships with the program; a model file, as `imatgen models export` writes it; or the
        directory of a finished run
    system : elements, for example `V-O`; a model of any system needs them, as the pretrained one does

    Raises
    ------
    InputError
        Where there is no such model, its file is damaged or of another version, or it is of another system.

    Examples
    --------
    >>> imf.load_model("runs/vanadium-oxides").elements
    ('V', 'O')
    """
    from imatgen_flows.models.pretrained import find_model
    from imatgen_flows.sources.model_reading import read_trained_model

    path = find_model(str(source))
    if path.is_dir():
        return Run.open(path).model
    return read_trained_model(path, None if system is None else _elements(system))


def generate(
    system: str,
    n: int = 100,
    *,
    model: TrainedModel | Run | str | Path = PRETRAINED,
    formula: str | None = None,
    sites: str | int | None = None,
    space_group: int | None = None,
    seed: int = 0,
) -> list[Structure]:
    """Generate crystals of a chemical system.

    Parameters
    ----------
    system : elements, for example `V-O`
    n : number of valid crystals that are wanted
    model : a trained model, a finished run, or the file or directory of one; by default the pretrained model
    formula : a reduced one, as V3O4, in cells of any number of formula units; one that is not, as V6O8, as the contents of
        the cell; by default the contents of the training structures, as often as they occur
    sites : of the primitive cell, a number or a range such as `10-20`
    space_group : its number; others are left out after they were drawn
    seed : of the draws, from 0 on; equal seeds give equal crystals, and the draws of two seeds are independent

    Returns
    -------
    decoded and repaired crystals in their standard cells, `n` or fewer; `properties` hold id and quality of the decode, the
    `protostructure` and the `novelty`: `duplicate` of an earlier one, `substituted` where the pretrained model has learnt
    from a crystal of this protostructure, else `new`; empty where the model has no index of these. Where they are
    fewer, a warning says what became of the draws

    Raises
    ------
    InputError
        Where the model is of another system, or the formula is, or a number is out of its limits.

    Examples
    --------
    >>> crystals = imf.generate("V-O", n=2, model="runs/vanadium-oxides", seed=1)
    >>> {element.symbol for crystal in crystals for element in crystal.composition} <= {"V", "O"}
    True
    """
    return generate_counted(system, n, model, formula, sites, space_group, seed).structures


def generate_counted(
    system: str,
    n: int = 100,
    model: TrainedModel | Run | str | Path = PRETRAINED,
    formula: str | None = None,
    sites: str | int | None = None,
    space_group: int | None = None,
    seed: int = 0,
) -> GeneratedCrystals:
    """Generate crystals as `generate`, and count the draws that gave none."""
    from imatgen_flows.jobs.device import use_device
    from imatgen_flows.settings import get_settings

    elements, workers = _elements(system), get_settings().n_workers
    use_device()  # its threads: more of them wait for each other where other work shares the machine
    trained = _model(model, system)
    if set(elements) != set(trained.elements):
        from imatgen_flows.crystals.system import system_name

        own = system_name(trained.elements)
        raise InputError(f"{trained.name} is a model of {own}, not of {system}. Take a model of this system.")
    found = trained.generate(n, formula, seed, sites, space_group, workers)
    found.classify(trained.index, workers)
    return found


def relax(
    structures: Iterable[Structure],
    potential: str = DEFAULT_POTENTIAL,
    fmax: float = 0.05,
    max_steps: int = 500,
    workers: int | None = None,
    pressure: float = 0.0,
) -> list[Relaxation]:
    """Relax crystals, each isolated: what crashes, hangs or diverges costs one crystal.

    Parameters
    ----------
    structures : a list of ordered crystals
    potential : name of a potential, or ``module:callable`` that returns an ASE calculator
    fmax : largest force that is left, eV/A
    max_steps : of the optimiser, one at least
    workers : processes, one at least; by default one for each core that this process may use
    pressure : GPa; above zero, energies are enthalpies, E + pV

    Returns
    -------
    a `Relaxation` for each crystal, in order: structure, energy in eV/atom, or the reason why there is none

    Raises
    ------
    InputError
        Where an item of the list is no structure, the potential is not known or not installed, or a number is out of its
        limits.

    Examples
    --------
    >>> crystal = imf.Run.open("runs/vanadium-oxides").structure("r0-slerp-000000", "decoded")
    >>> [relaxation] = imf.relax([crystal], potential="toy", workers=1)
    >>> relaxation.state in ("relaxed", "rejected")
    True
    """
    from imatgen_flows.crystals.arguments import positive_number, structure_list, whole_number
    from imatgen_flows.energetics.relax import RelaxSettings, relax_many
    from imatgen_flows.jobs.potentials import installed_potential

    settings = RelaxSettings(
        positive_number(fmax, "fmax", "eV/A"),
        whole_number(max_steps, "max_steps", 1),
        pressure=positive_number(pressure, "pressure", "GPa") if pressure else 0.0,
    )
    if workers is not None:
        whole_number(workers, "workers", 1)
    return relax_many(structure_list(structures), installed_potential(potential), settings, workers=workers)


def screen(
    structures: Iterable[Structure],
    *,
    system: str | None = None,
    on: Run | str | Path | None = None,
    potential: str | None = None,
    known: Iterable[str | Path] = (),
    cache: str | Path | None = None,
) -> pandas.DataFrame:
    """Screen crystals: relax them, place them on a convex hull, class their novelty.

    Give either `system`, for a hull of the published phases that ship with the program, or `on`, for all that a run has.

    Parameters
    ----------
    structures : a list of crystals of the system
    system : elements, for example `V-O`; its published phases are relaxed too, and what matches none of them is new
    on : a finished run, which stays as it is; its potential, forces, hull, known phases, substituted structures and
        candidates are used
    potential : with `system`: name of a potential, or ``module:callable``; `chgnet` by default
    known : with `system`: files or folders of further published phases
    cache : directory in which relaxations are kept, so that another call repeats none; by default none is kept

    Returns
    -------
    one row a crystal, in order, with columns of the candidate table (energies in eV/atom; units in `attrs`), and the
    relaxed `structure`. A crystal that equals a candidate of the run, or an earlier one here, is a `duplicate`; one that
    is not valid (disordered, overlapping atoms, more than 200 sites, not charge balanced where the run rejects such ones)
    or could not be relaxed is `rejected` with a reason. Columns and their types are the same for every list, an empty one
    included: a number that does not exist is NaN, a text is empty, a structure None. `attrs` say what new means
    (`meaning_of_new`), and what the hull rests on (`hull`)

    Raises
    ------
    InputError
        Where neither or both of `system` and `on` are given, the run is not finished or its campaign file was edited since,
        an item of the list is no structure or has an element that is not of the system, or the potential is not known or
        not installed, or gives energies of another scale than the run's.

    Examples
    --------
    >>> run = imf.Run.open("runs/vanadium-oxides")
    >>> best = run.structure(run.shortlist.index[0], "decoded")
    >>> imf.screen([best], on=run).novelty.tolist()  # it relaxes to a crystal that the run has already
    ['duplicate']
    """
    from imatgen_flows.candidates.schema import units
    from imatgen_flows.crystals.arguments import structure_list
    from imatgen_flows.io.artifacts import ArtifactStore
    from imatgen_flows.jobs.screen_structures import COLUMNS, screen_structures

    source = _comparison(system, on, potential, [Path(path) for path in known])
    given = _of_system(structure_list(structures), source)
    with TemporaryDirectory(prefix="imatgen-screen-") as temporary:
        screening = screen_structures(source, given, ArtifactStore(cache or temporary))
    import pandas

    frame = screening.table.select(COLUMNS).to_pandas()
    frame["structure"] = pandas.Series(screening.structures, dtype=object)
    comparison = screening.comparison
    frame.attrs |= {"units": units(), "meaning_of_new": comparison.meaning_of_new}
    frame.attrs["hull"] = comparison.hull.basis.sentence()
    return frame


def _comparison(
    system: str | None, on: Run | str | Path | None, potential: str | None, known: list[Path]
) -> ComparisonSource:
    """Choose what crystals are compared with."""
    from imatgen_flows.jobs.comparison import FinishedRunSource, PublishedPhases

    if (system is None) == (on is None):
        raise InputError("give either `system`, as V-O, or `on`, a finished run.")
    source: ComparisonSource
    if system is not None:
        source = PublishedPhases(_elements(system), potential or DEFAULT_POTENTIAL, known)
        source.identity()  # it refuses what cannot be meant
        return source
    if potential is not None or known:
        raise InputError("`potential` and `known` go with `system`: a run has its own.")
    if not isinstance(on, Run | str | Path):
        raise InputError(f"`on` is of type {type(on).__name__}; give a finished run, or its directory.")
    run = on if isinstance(on, Run) else Run.open(on)
    run.require_finished()
    return FinishedRunSource(run.path)


def _of_system(structures: list[Structure], source: ComparisonSource) -> list[RawCrystal]:
    """Name structures by their place in the list; one with another element than those of the system was not meant."""
    from pymatgen.core import Structure

    from imatgen_flows.crystals.isotopes import read_isotopes_as_elements
    from imatgen_flows.crystals.known_phases import exclude_foreign
    from imatgen_flows.crystals.raw_crystal import RawCrystal

    crystals = list(
        read_isotopes_as_elements(
            RawCrystal(f"structure {place}", "", Structure(one.lattice, one.species_and_occu, one.frac_coords))
            for place, one in enumerate(structures)
        )
    )
    for crystal, structure in zip(crystals, structures, strict=True):
        if foreign := exclude_foreign(crystal, set(source.system)):
            raise InputError(
                f"{crystal.id} ({structure.composition.reduced_formula}) {foreign.detail.replace('holds', 'has')}; "
                f"{source.statement}."
            )
    return crystals


def _elements(system: str) -> list[str]:
    """Read a chemical system that is written V-O."""
    from imatgen_flows.crystals.system import chemical_system

    if not isinstance(system, str):
        raise InputError(f"the system is {system!r}, of type {type(system).__name__}; give a text, as V-O.")
    symbols = system.split("-")
    try:
        return chemical_system(symbols)
    except InputError as error:
        meant = [symbol.strip().capitalize() for symbol in symbols]
        try:
            chemical_system(meant)
        except InputError:
            raise InputError(f"`{system}`: {error} A system is written V-O.") from error
        raise InputError(f"`{system}` is no chemical system. Did you mean {'-'.join(meant)}?") from error


def _model(model: TrainedModel | Run | str | Path, system: str) -> TrainedModel:
    from imatgen_flows.sources.trained_model import TrainedModel

    if isinstance(model, Run):
        return model.model
    if isinstance(model, str | Path):
        return load_model(model, system)
    if not isinstance(model, TrainedModel):
        raise InputError(
            f"`model` is of type {type(model).__name__}; give a trained model, a finished run, or the path of one."
        )
    return model
