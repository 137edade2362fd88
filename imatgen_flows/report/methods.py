"""The paragraph on methods that a paper needs, written from the files of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from imatgen_flows.candidates.registry import REJECT_UNBALANCED
from imatgen_flows.energetics.hull_basis import COMPOUND
from imatgen_flows.energetics.optimisers import FIRE, OPTIMISERS
from imatgen_flows.energetics.potential_registry import POTENTIALS
from imatgen_flows.models.registry import SAMPLERS
from imatgen_flows.report.evidence import committee_sentence, further_potentials, phonons_sentence
from imatgen_flows.report.result_directory import ResultDirectory, read_json
from imatgen_flows.report.run_directory import RunDirectory
from imatgen_flows.report.sources import accounts_of_sources
from imatgen_flows.sources.registry import ADAPTIVE, ALLOCATIONS, FIXED, GENETIC, RANDOM_SEARCH

CITATIONS = {
    "the method": "Noh et al., Matter 1, 1370 (2019), doi:10.1016/j.matt.2019.08.017",
    "pymatgen": "Ong et al., Comput. Mater. Sci. 68, 314 (2013), doi:10.1016/j.commatsci.2012.10.028",
    "spglib": "Togo, Shinohara and Tanaka, Sci. Technol. Adv. Mater. Meth. 4, 2384822 (2024)",
    "ASE": "Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017), doi:10.1088/1361-648X/aa680e",
    "jobflow": "Rosen et al., J. Open Source Softw. 9, 5995 (2024), doi:10.21105/joss.05995",
}
PHONOPY = "phonopy: Togo et al., J. Phys.: Condens. Matter 35, 353001 (2023), doi:10.1088/1361-648X/acd831"
MATCHER = "ltol 0.2, stol 0.3, angle_tol 5"  # of `candidates.novelty`, pymatgen's defaults
KINDS = {"element": "of elements", "substituted": "substituted structures"}


def methods_paragraph(run: RunDirectory) -> str:
    """Write what a referee asks for: data, networks, sampling, potential, tolerances, versions, seed, and what to cite."""
    made = [_data(run), _networks(run), _sampling(run), _sources(run)]
    sentences = [
        *made,
        _screening(run),
        committee_sentence(run),
        phonons_sentence(run),
        _validation(run),
        _versions(run),
    ]
    cited = [*_citations(run), *_of_sources(run)]
    return " ".join(sentence for sentence in sentences if sentence) + f"\n\nTo cite: {'; '.join(cited)}."


def screening_paragraph(screening: ResultDirectory, meaning_of_new: str) -> str:
    """Write what a referee asks for of a screening; `meaning_of_new` is its sentence on what counts as new."""
    sentences = [
        f"{screening.table.num_rows:,} crystals, files that hold none included, were read and screened in the system "
        f"{'-'.join(screening.system)}; they were checked for {_checks(screening)} before they were relaxed.",
        _screening(screening),
        f"{meaning_of_new} Equal crystals were found with pymatgen's StructureMatcher ({MATCHER}).",
        "No energy is of density functional theory.",
        _versions(screening),
    ]
    cited = _citations(screening, ("pymatgen", "spglib", "ASE"))
    return " ".join(sentence for sentence in sentences if sentence) + f"\n\nTo cite: {'; '.join(cited)}."


def _data(run: RunDirectory) -> str:
    path = run.path / "dataset.json"
    counts = (read_json(path).get("counts") or {}) if path.is_file() else {}
    if not counts:
        return ""
    source, limits = _section(run, "templates").get("source", "prototypes"), _section(run, "limits")
    known = counts["known"]
    beside = f", beside {known:,} published phase{'s' * (known != 1)}" if known else ", and no published phases"
    return (
        f"Training structures of {'-'.join(run.system)} were made by substitution into {counts['templates']:,} templates "
        f"(source: {source}){beside}; {counts['kept']:,} crystals with at most "
        f"{limits.get('max_sites')} sites and edges up to {limits.get('max_edge'):g} A were kept, in Niggli-reduced cells."
    )


def _networks(run: RunDirectory) -> str:
    model, curves = _section(run, "model"), run.metrics.get("training") or {}
    if not curves:  # the generator is no source of the campaign
        return ""
    name = str(model.get("preset", "default"))
    epochs = ", ".join(f"{role} {curve['epochs']:,}" for role, curve in curves.items() if curve["epochs"])
    # the metric tensor of a cell is fitted to its image, without a network
    untrained = "".join(f"; the {role} needs no training" for role, curve in curves.items() if not curve["epochs"])
    return (
        f"Crystals were represented as images of the cell and of the atoms of each element, compressed by autoencoders, and "
        f"mapped to a latent space by a variational autoencoder with a stability classifier (preset `{name}`; "
        f"epochs: {epochs}{untrained}; seed {run.provenance.get('seed')})."
    )


def _sampling(run: RunDirectory) -> str:
    drawn = ", ".join(
        f"{record['n']:,} by {SAMPLERS[name].label.lower()}"
        for name, record in (run.metrics.get("sampling") or {}).items()
        if name in SAMPLERS
    )
    return f"Latent vectors were drawn ({drawn}), decoded and repaired." if drawn else ""


def _sources(run: RunDirectory) -> str:
    accounts = accounts_of_sources(run)
    shares = ", ".join(f"{row.relaxations:,} of {row.label.lower()}" for row in accounts)
    allocation = ALLOCATIONS[_section(run, "sources").get("allocation", FIXED)]
    shared = ""
    if shares:
        shared = (
            f"Candidates of several sources were relaxed, to the end or not ({shares}; allocation: "
            f"{allocation.label.lower()}). "
            if len(accounts) > 1
            else f"All candidates are of one source: {accounts[0].label.lower()}. "
        )
    if shares and allocation.name == ADAPTIVE:
        shared += "Relaxations were allocated by Thompson sampling on the finds per evaluation of each source. "
    rejects = _section(run, "validity").get("charge") == REJECT_UNBALANCED
    checks = "distances and charge balance" if rejects else "distances"
    return (
        f"{shared}All were checked for {checks}. Equal "
        f"crystals were found with pymatgen's StructureMatcher ({MATCHER}); those that match a published phase, a "
        "substituted structure or another sample do not count as new."
    )


def _checks(run: ResultDirectory) -> str:
    rejects = _section(run, "validity").get("charge") == REJECT_UNBALANCED
    return "distances and charge balance" if rejects else "distances"


def _screening(run: ResultDirectory) -> str:
    screen = _section(run, "screen")
    kinds = Counter(str(row["kind"]) for row in run.hull["references"] if row["kind"] != COMPOUND)
    others = [f"{number} {KINDS.get(kind, kind)}" for kind, number in kinds.items()]
    references = ", ".join([run.basis.words(), *others])
    energies, pressure = "Energies above the convex hull", ""
    if run.pressure:
        energies = f"Enthalpies above the convex hull at {run.pressure:g} GPa"
        pressure = (
            " Elements that are molecules at zero pressure enter as solids. Where a structure is evaluated without "
            "relaxation, it is compressed as a whole to its lowest enthalpy."
        )
    return (
        f"{len(run.relaxed):,} candidates were relaxed, cell and atoms, with {run.scale} by {_optimiser(run)} to forces "
        f"below {screen.get('fmax', 0.05):g} eV/A in {screen.get('max_steps', 500)} steps at most. {energies} are with "
        f"respect to {len(run.hull['references'])} phases relaxed with the same potential ({references}).{pressure} "
        f"{len(run.new):,} relaxed candidates are new; those up to {run.threshold:g} eV/atom are shortlisted. In all "
        f"{sum(run.evaluations.values()):,} energy-and-force evaluations were spent."
    )


def _optimiser(run: ResultDirectory) -> str:
    name = run.provenance.get("optimiser", FIRE)  # of all runs before it was written down
    return OPTIMISERS[name].label if name in OPTIMISERS else name


def _validation(run: RunDirectory) -> str:
    scales = sorted({row["validated_scale"] for row in run.relaxed if row["validated_e_above_hull"] is not None})
    if not scales:
        return "No energy is of density functional theory."
    return f"The lowest of the shortlist were calculated by {', '.join(scales)}, on a hull of the same settings."


def _versions(run: ResultDirectory) -> str:
    versions = ", ".join(
        f"{name} {version}"
        for name, version in (run.provenance.get("versions") or {}).items()
        if name not in _PACKAGES or name in _packages(run)  # installed, but not used
    )
    return f"Versions: {versions}." if versions else ""


_PACKAGES = {potential.package for potential in POTENTIALS} - {"ase", "imatgen-flows"}  # that potentials alone use


def _packages(run: ResultDirectory) -> set[str]:
    """Name the packages of the potentials that the run used."""
    used = [*([run.potential] if run.potential else []), *further_potentials(run)]
    return {potential.package for potential in used}


def _citations(run: ResultDirectory, works: Iterable[str] = tuple(CITATIONS)) -> list[str]:
    sources = [_section(run, name).get("source") for name in ("templates", "known")]
    cited = [f"{work}: {CITATIONS[work]}" for work in works]
    if (potential := run.potential) is not None and potential.citation:
        cited.append(potential.citation)
    cited += [potential.citation for potential in further_potentials(run) if potential.citation]
    if _section(run, "phonons").get("at_most"):
        cited.append(PHONOPY)
    if "mp" in sources:
        cited.append("the Materials Project: Jain et al., APL Mater. 1, 011002 (2013), doi:10.1063/1.4812323")
    return cited


def _of_sources(run: RunDirectory) -> list[str]:
    works = {
        RANDOM_SEARCH: "PyXtal: Fredericks et al., Comput. Phys. Commun. 261, 107810 (2021), doi:10.1016/j.cpc.2020.107810",
        GENETIC: "the genetic operators: Van den Bossche et al., J. Chem. Theory Comput. 14, 2797 (2018)",
    }
    return [works[row.name] for row in accounts_of_sources(run) if row.name in works]


def _section(run: ResultDirectory, name: str) -> dict[str, Any]:
    return dict(run.campaign.get(name) or {})
