"""Documents that pass between jobs."""

from imatgen_flows.schemas.candidate import Candidate, Energy, Origin, Rejection, Stage, State
from imatgen_flows.schemas.stages import (
    BatchDocument,
    CalculationsDocument,
    CandidatesDocument,
    DatasetDocument,
    LabelDocument,
    ModelDocument,
    ReconstructionDocument,
    ReferenceDocument,
    RoundDocument,
    StageDocument,
)

__all__ = [
    "BatchDocument",
    "CalculationsDocument",
    "Candidate",
    "CandidatesDocument",
    "DatasetDocument",
    "Energy",
    "LabelDocument",
    "ModelDocument",
    "Origin",
    "ReconstructionDocument",
    "ReferenceDocument",
    "Rejection",
    "RoundDocument",
    "Stage",
    "StageDocument",
    "State",
]
