"""Registry of interatomic potentials: their weights, what these were trained on, and the scale of their energies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imatgen_flows.registry import Entry, Registry, load_object

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from pymatgen.core import Structure

DEFAULT_POTENTIAL = "chgnet"
CORRECTIONS = ("none", "mp2020")
PBE_U = "PBE / PBE+U"  # as the Materials Project calculates
MATBENCH = "Matbench Discovery, unique prototypes (models/{}.yml of janosh/matbench-discovery)"


@dataclass(frozen=True, kw_only=True)
class Potential(Entry):
    """An interatomic potential that is described but not loaded; it can be pickled.

    Parameters
    ----------
    name, label, description : see `Entry`
    factory : ``module:function``; called as ``function(device=..., **options)``, it returns an ASE calculator
    package : the distribution on PyPI that provides it
    version : of that package, as installed
    weights : the trained parameters, by the name that their authors use; empty where there are none
    licence : of the weights; empty where it is not known
    trained_on : names of the data sets, as their authors call them; potentials that share one are not independent
    functional : of the energies that it learnt; empty where it learnt none
    f1 : published F1 score of the stability of crystals, from 0 to 1; None where none is published for these weights
    f1_source : where it is published
    citation : of the potential
    correction : ``none``, or ``mp2020`` where the training labels are plain PBE / PBE+U energies, to which the
        Materials Project 2020 scheme must be applied (CHGNet's labels already carry it)
    options : further keyword arguments of the factory
    evaluations : mean number of evaluations of a relaxation of a generated crystal to 0.05 eV/A
    reference_evaluations : the same of a published phase
    timeout : time limit of one relaxation, s
    threshold : E_hull up to which it should shortlist, eV/atom, as its calibration says; None where it has none
    interpreter : Python in which it runs; empty for the one that runs this program
    has_moments : whether its calculator gives the magnetic moments of atoms, ASE's property `magmoms`
    """

    factory: str
    package: str = ""
    version: str = ""
    weights: str = ""
    licence: str = ""
    trained_on: tuple[str, ...] = ()
    functional: str = ""
    f1: float | None = None
    f1_source: str = ""
    citation: str = ""
    correction: str = "none"
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)  # a dictionary has no hash
    # the means of CHGNet over 80 generated V-O candidates (notebook/2026-11-29-relaxations.md) and over V-O references; those
    # of SevenNet, and the thresholds, are of notebook/2026-11-30-calibration.md
    evaluations: int = 50
    reference_evaluations: int = 40
    timeout: float = 900.0  # CHGNet on one core, 200 sites: a second an evaluation
    threshold: float | None = None
    interpreter: str = ""
    has_moments: bool = False

    @property
    def scale(self) -> str:
        """Name of the energy scale; energies of two scales must never be combined on one hull."""
        return f"{self.name} {self.weights or self.version}".strip()

    def calculator(self, device: str = "cpu") -> Calculator:
        """Load the weights onto a device and return the ASE calculator, in this process."""
        return load_object(self.factory)(device=device, **self.options)

    def correction_per_atom(self, structure: Structure) -> float:
        """Return the energy that the correction scheme adds to a structure, eV/atom."""
        if self.correction == "none":
            return 0.0
        from imatgen_flows.energetics.mp_corrections import mp2020_correction

        return mp2020_correction(structure)


CHGNET_PAPER = "CHGNet: Deng et al., Nat. Mach. Intell. 5, 1031 (2023), doi:10.1038/s42256-023-00716-3"
SEVENNET_PAPER = "SevenNet: Park et al., J. Chem. Theory Comput. 20, 4857 (2024), doi:10.1021/acs.jctc.4c00190"

POTENTIALS = Registry(
    "potential",
    Potential(
        "chgnet",
        "CHGNet",
        "CHGNet 0.3.0, trained on the Materials Project with its corrections of 2020.",
        factory="imatgen_flows.energetics.chgnet:chgnet",
        package="chgnet",
        weights="0.3.0",
        licence="BSD-3-Clause, modified",
        trained_on=("MPtrj",),
        functional=PBE_U,
        f1=0.613,
        f1_source=MATBENCH.format("chgnet/chgnet-0.3.0"),
        citation=CHGNET_PAPER,
        has_moments=True,
        threshold=0.08,
    ),
    Potential(
        "chgnet-r2scan",
        "CHGNet of r2SCAN",
        "CHGNet 0.3.0 trained further on r2SCAN energies, without corrections: a scale of its own.",
        factory="imatgen_flows.energetics.chgnet:chgnet",
        package="chgnet",
        weights="r2scan",
        licence="BSD-3-Clause, modified",
        trained_on=("MPtrj", "MP-r2SCAN"),
        functional="r2SCAN",
        citation=f"{CHGNET_PAPER}; r2SCAN: Huang et al., npj Comput. Mater., Cross-functional transferability in "
        "foundation machine learning interatomic potentials",
        options={"weights": "r2scan"},
        has_moments=True,
    ),
    Potential(
        "sevennet",
        "SevenNet",
        "SevenNet-0 (package sevenn); on a GPU it relaxes structures in batches.",
        factory="imatgen_flows.energetics.sevennet:sevennet",
        package="sevenn",
        weights="7net-0",
        licence="MIT",
        trained_on=("MPtrj",),
        functional=PBE_U,
        f1=0.724,
        f1_source=MATBENCH.format("sevennet/sevennet-0"),
        citation=SEVENNET_PAPER,
        correction="mp2020",
        options={"model": "7net-0"},
        evaluations=45,
        reference_evaluations=42,
        timeout=2700.0,  # 200 sites: 3.4 s an evaluation, by what 112 take
        threshold=0.075,
    ),
    Potential(
        "sevennet-l3i5",
        "SevenNet-l3i5",
        "SevenNet-l3i5 (package sevenn): more accurate than SevenNet-0, and 2.5 times as slow.",
        factory="imatgen_flows.energetics.sevennet:sevennet",
        package="sevenn",
        weights="7net-l3i5",
        licence="MIT",
        trained_on=("MPtrj",),
        functional=PBE_U,
        f1=0.760,
        f1_source=MATBENCH.format("sevennet/sevennet-l3i5"),
        citation=SEVENNET_PAPER,
        correction="mp2020",
        options={"model": "7net-l3i5"},
        evaluations=45,  # of SevenNet-0
        reference_evaluations=35,
        timeout=9000.0,  # 200 sites: 13 s
        threshold=0.12,
    ),
    Potential(
        "mace",
        "MACE",
        "MACE-MPA-0 (package mace-torch).",
        factory="mace.calculators:mace_mp",
        package="mace-torch",
        weights="mpa-0-medium",
        licence="MIT",
        trained_on=("MPtrj", "sAlex"),
        functional=PBE_U,
        f1=0.852,
        f1_source=MATBENCH.format("mace/mace-mpa-0"),
        citation="MACE-MPA-0: Batatia et al., arXiv:2401.00096",
        correction="mp2020",
        options={"model": "medium-mpa-0", "default_dtype": "float64"},
    ),
    Potential(
        "orb",
        "Orb",
        "Orb-v3, conservative, without a limit of neighbours (package orb-models).",
        factory="imatgen_flows.energetics.other_calculators:orb",
        package="orb-models",
        weights="v3-conservative-inf-mpa",
        licence="Apache-2.0",
        trained_on=("MPtrj", "Alexandria", "OMat24"),
        functional=PBE_U,
        f1=0.905,
        f1_source=MATBENCH.format("orb/orb-v3"),
        citation="Orb-v3: Rhodes et al., arXiv:2504.06231",
        correction="mp2020",
        options={"model": "orb_v3_conservative_inf_mpa"},
    ),
    Potential(
        "mattersim",
        "MatterSim",
        "MatterSim 1.0.0 with 1M parameters (package mattersim).",
        factory="mattersim.forcefield:MatterSimCalculator",
        package="mattersim",
        weights="v1.0.0-1M",
        licence="MIT",
        trained_on=("MatterSim", "Materials Project", "Alexandria"),
        functional=PBE_U,
        citation="MatterSim: Yang et al., arXiv:2405.04967",
        correction="mp2020",
        options={"load_path": "MatterSim-v1.0.0-1M.pth"},
    ),
    Potential(
        "matgl",
        "MatGL",
        "TensorNet of PBE energies without U (package matgl), whose scale the corrections do not fit.",
        factory="imatgen_flows.energetics.other_calculators:matgl",
        package="matgl",
        weights="TensorNet-PES-MatPES-PBE-2025.2",
        trained_on=("MatPES-PBE-2025.2",),
        functional="PBE",
        options={"model": "materialyze/TensorNet-PES-MatPES-PBE-2025.2"},
    ),
    Potential(
        "emt",
        "EMT",
        "Effective medium theory of ASE, for Al, Cu, Ag, Au, Ni, Pd and Pt.",
        factory="imatgen_flows.energetics.other_calculators:emt",
        package="ase",
    ),
    Potential(
        "toy",
        "Toy potential",
        "A Morse potential for any elements, for tests; its energies mean nothing.",
        factory="imatgen_flows.energetics.toy:ToyCalculator",
        package="imatgen-flows",
        weights="1",
    ),
)
