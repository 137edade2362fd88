"""The structures of a run: of candidates at each stage, and of what its networks were trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imatgen_flows.candidates.naming import check_name, find_crystal, is_candidate
from imatgen_flows.candidates.states import Geometry, Stage, State
from imatgen_flows.errors import ImatgenError, InputError

if TYPE_CHECKING:
    import pandas
    from pymatgen.core import Structure

    from imatgen_flows.jobs.documents import CandidateTable


@dataclass(frozen=True)
class RunStructures:
    """What `Run.structure` reads.

    Parameters
    ----------
    path : the run directory
    candidates : the candidate table, indexed by sample
    files : returns where the candidates lie in the artifacts; raises an InputError where they cannot be read
    require_finished : raises an InputError where the run is not finished
    """

    path: Path
    candidates: pandas.DataFrame
    files: Callable[[], CandidateTable]
    require_finished: Callable[[], None]

    def read(self, name: str, stage: str | None = None) -> Structure:
        """Read one structure; see `Run.structure`."""
        wanted = check_name(name)
        asked = None if stage is None else _geometry(stage)
        if self._is_parent(wanted) and not is_candidate(self.candidates, wanted):
            return self._training_structure(wanted, asked)
        try:
            sample, geometry = find_crystal(self.candidates, wanted, asked)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from error
        row = self.candidates.loc[sample]
        crystal_id = row[geometry.id_column]
        if geometry is not Geometry.DECODED and not crystal_id:
            raise InputError(f"{sample} was never {geometry.value}: {_fate(row)}.")
        found = self._stored(sample, geometry, crystal_id)
        if found is None:
            raise InputError(f"{sample} was decoded to no structure: {_fate(row)}.")
        return found

    def _is_parent(self, name: str) -> bool:
        """Test whether the candidates have a parent of this name."""
        return any(name in parents for parents in self.candidates["parents"])

    def _training_structure(self, name: str, asked: Geometry | None) -> Structure:
        """Read a structure that the networks of the run were trained on."""
        from imatgen_flows.jobs.run_inputs import training_structure

        if asked is not None:
            raise InputError(f"`{name}` is a training structure, which was not {asked.value}: leave out the stage.")
        self.require_finished()
        return training_structure(self.path, name)

    def _stored(self, sample: str, geometry: Geometry, crystal_id: str) -> Structure | None:
        """Read a structure from the artifacts or, where these are gone, from the CIF file of the crystal."""
        from pymatgen.core import Structure

        from imatgen_flows.candidates.structure_table import read_structures

        cif = self.path / "structures" / f"{crystal_id}.cif"
        try:
            refs = self.files().structures.get(geometry.value, [])
            return read_structures([ref.path() for ref in refs], [sample]).get(sample)
        except ImatgenError as error:
            if geometry is not Geometry.DECODED and cif.is_file():
                return Structure.from_file(cif)
            raise InputError(f"{self.path}: the {geometry.value} structure of {sample} is gone: {error}") from error


def _geometry(stage: str) -> Geometry:
    try:
        return Geometry(stage)
    except ValueError:
        raise InputError(f"unknown stage `{stage}`. Known: {', '.join(one.value for one in Geometry)}.") from None


def _fate(row: pandas.Series) -> str:
    """Say how far a candidate came."""
    if row["state"] == State.REJECTED:
        stage = Stage(row["rejected_stage"]).label.lower()
        return f"it was rejected at {stage} ({row['rejected_detail'] or row['rejected_reason']})"
    return f"it came as far as `{row['state']}`"
