"""A run of a campaign, finished or not, as tables, structures, a hull and a model."""

from __future__ import annotations

import shlex
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from imatgen_flows.candidates.schema import COLUMNS, units
from imatgen_flows.candidates.states import State
from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import InputError
from imatgen_flows.managers.run_files import CAMPAIGN_FILE, FAILURE_FILE, RunState, extended, run_state
from imatgen_flows.run_plots import RunPlots
from imatgen_flows.run_structures import RunStructures

if TYPE_CHECKING:
    import pandas
    from pymatgen.analysis.phase_diagram import PhaseDiagram
    from pymatgen.core import Structure

    from imatgen_flows.energetics.hull import Hull
    from imatgen_flows.jobs.documents import CampaignData, CandidatesDocument, CandidateTable
    from imatgen_flows.managers.time_left import RunProgress
    from imatgen_flows.metrics.run_differences import RunDifferences
    from imatgen_flows.sources.trained_model import TrainedModel


class Run:
    """A campaign in its directory. `Run.open` reads one; `run_campaign` makes one.

    Attributes
    ----------
    path : the run directory
    config : the campaign
    state : `RunState`, when it was opened

    Examples
    --------
    >>> import imatgen_flows as imf
    >>> run = imf.Run.open("runs/vanadium-oxides")
    >>> run.state.value
    'finished'
    >>> len(run.candidates) == run.config.sampling.total
    True
    """

    def __init__(self, path: Path, config: CampaignConfig, state: RunState) -> None:
        self.path, self.config, self.state = path, config, state

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run directory: of a run that is finished, still going, stopped, or failed.

        Raises
        ------
        InputError
            Where it is no run directory, one of version 1, or a folder whose campaign was never run.
        """
        path = Path(path).absolute()
        state = run_state(path)
        return cls(path, CampaignConfig.from_file(path / CAMPAIGN_FILE), state)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.state.value})"

    @property
    def failure(self) -> str:
        """The sentence by which the last attempt failed; empty where it did not."""
        record = self.path / FAILURE_FILE
        return record.read_text(encoding="utf-8").strip() if record.is_file() else ""

    @cached_property
    def candidates(self) -> pandas.DataFrame:
        """The candidate table, one row a sample, indexed by `sample`; of a run that goes on, as far as it has come.

        `attrs["units"]` holds the unit of each column that has one, `attrs["descriptions"]` a sentence on each column.

        Raises
        ------
        InputError
            Where no samples have been drawn yet, a file of the table is damaged, or the run is an unfinished campaign of a
            comparison, whose artifacts do not say which campaign they belong to.

        Examples
        --------
        >>> run = imf.Run.open("runs/vanadium-oxides")
        >>> run.candidates.attrs["units"]["e_above_hull"]
        'eV/atom'
        """
        from imatgen_flows.candidates.table import KEY, read_table

        written = self.path / "candidates.parquet"
        if self.state is RunState.FINISHED and written.is_file():
            table = read_table([written])
        else:
            table = read_table([part.path() for part in self._files.parts])
        frame = table.to_pandas().set_index(KEY)
        frame.attrs["units"] = units()
        frame.attrs["descriptions"] = {column.name: column.description for column in COLUMNS}
        return frame

    @property
    def shortlist(self) -> pandas.DataFrame:
        """The new candidates up to the threshold above the hull, lowest first; see `candidates`.

        Examples
        --------
        >>> run = imf.Run.open("runs/vanadium-oxides")
        >>> run.shortlist["e_above_hull"].is_monotonic_increasing
        True
        """
        chosen = self.candidates["state"].isin([State.SHORTLISTED.value, State.VALIDATED.value])
        return self.candidates[chosen].sort_values("e_above_hull", kind="stable")

    def structure(self, name: str, stage: str | None = None) -> Structure:
        """Read the structure of a candidate, or of a crystal that the networks were trained on.

        Parameters
        ----------
        name : a sample, or the id of one crystal: of a candidate, or of a training structure as `parents` has it. Of the
            names of candidates a beginning suffices that no other has
        stage : of a sample `decoded`, `relaxed` or `validated`, by default `relaxed`. An id is that of one stage

        Raises
        ------
        InputError
            Where there is no such crystal (the nearest names are given), the candidate never came to this stage, the id is
            that of another stage, or the file that held the structure is gone.

        Examples
        --------
        >>> run = imf.Run.open("runs/vanadium-oxides")
        >>> best = run.shortlist.iloc[0]
        >>> run.structure(best.name, "relaxed").composition.reduced_formula == best.formula
        True
        >>> run.structure(best.relaxed_id) == run.structure(best.name)
        True
        >>> run.structure(best.id) == run.structure(best.name, "decoded")
        True
        """
        return RunStructures(self.path, self.candidates, lambda: self._files, self.require_finished).read(name, stage)

    @cached_property
    def hull(self) -> Hull:
        """Convex hull of the references, on the scale of the potential of the screening.

        Raises
        ------
        InputError
            Where the references are not relaxed yet.

        Examples
        --------
        >>> run = imf.Run.open("runs/vanadium-oxides")
        >>> best = run.shortlist.iloc[0]
        >>> abs(run.hull.e_above_hull(best.formula, best.energy_per_atom) - best.e_above_hull) < 1e-9
        True
        """
        from imatgen_flows.energetics.hull import Hull
        from imatgen_flows.report.result_directory import read_json

        if not (self.path / "hull.json").is_file():
            raise InputError(f"{self.path}: {self.outlook} It has no hull yet.")
        table = read_json(self.path / "hull.json")
        return Hull.from_table(table["references"], table["potential"])

    def phase_diagram(self) -> PhaseDiagram:
        """Return pymatgen's phase diagram of the references; candidates are not part of it.

        Examples
        --------
        >>> run = imf.Run.open("runs/vanadium-oxides")
        >>> sorted(element.symbol for element in run.phase_diagram().elements)
        ['O', 'V']
        """
        return self.hull.phase_diagram()

    @cached_property
    def model(self) -> TrainedModel:
        """The trained networks of the last round: `encode`, `decode`, `neighbours` and `sample`.

        Raises
        ------
        InputError
            Where the run is not finished, or its artifacts were deleted.

        Examples
        --------
        >>> run = imf.Run.open("runs/vanadium-oxides")
        >>> crystal = run.structure(run.shortlist.index[0], "decoded")
        >>> run.model.encode([crystal]).shape[0]
        1
        >>> near = run.model.neighbours(crystal, n=2, width=0.3, seed=1)
        >>> len(near) <= 2
        True
        """
        from imatgen_flows.io.artifacts import ArtifactStore
        from imatgen_flows.jobs.model_export import trained_model
        from imatgen_flows.jobs.provenance import finished_round

        self.require_finished()
        return trained_model(
            self.config, ArtifactStore(self.path / "artifacts"), finished_round(self.path), str(self.path)
        )

    @cached_property
    def plot(self) -> RunPlots:
        """Its plots, as figures of Plotly: `hull`, `energies`, `funnel`, `latent_map` and `phonons` of a candidate.

        Examples
        --------
        >>> run = imf.Run.open("runs/vanadium-oxides")
        >>> run.plot.hull().layout.xaxis.title.text
        'Atomic fraction of O'
        """
        return RunPlots(self.path, lambda: self.candidates, self.require_finished)

    def methods(self) -> str:
        """Write the paragraph on methods for a paper: data, networks, potential, tolerances, versions, seeds, citations.

        Examples
        --------
        >>> run = imf.Run.open("runs/vanadium-oxides")
        >>> "convex hull" in run.methods()
        True
        """
        from imatgen_flows.report.methods import methods_paragraph
        from imatgen_flows.report.run_directory import RunDirectory

        self.require_finished()
        return methods_paragraph(RunDirectory.open(self.path))

    def report(self) -> Path:
        """Build `report.html` of a finished run, with its figures, and return its path."""
        from imatgen_flows.report.html import build_report

        self.require_finished()
        return build_report(self.path)

    def compare(self, other: Run) -> RunDifferences:
        """Put this run beside another finished one: settings, finds, cost. New structures are compared by the matcher.

        Examples
        --------
        >>> run = imf.Run.open("runs/vanadium-oxides")
        >>> found = run.compare(run)
        >>> len(found.settings), len(found.common) == found.found["new"][0]
        (0, True)
        """
        from imatgen_flows.jobs.run_facts import run_facts
        from imatgen_flows.metrics.run_comparison import compare_facts

        for run in (self, other):
            run.require_finished()
        return compare_facts(run_facts(self.path), run_facts(other.path))

    def first_round(self) -> tuple[str, CandidatesDocument, CampaignData]:
        """Return what a `ScreenMaker` makes a flow of: the artifact store, the candidates of the first round, and its data.

        The candidates are those that were filtered, before any was relaxed.

        Examples
        --------
        >>> root, candidates, data = imf.Run.open("runs/vanadium-oxides").first_round()
        >>> candidates.counts["unique"] > 0
        True
        """
        from imatgen_flows.jobs.run_inputs import screen_inputs

        self.require_finished()
        return screen_inputs(self.path)

    def require_finished(self) -> None:
        """Raise an InputError where the run is not finished; it says how far it has come."""
        if self.state is not RunState.FINISHED:
            raise InputError(f"{self.path}: {self.outlook}")

    @property
    def outlook(self) -> str:
        """How far the run had come when it was opened, and what goes on with it, in a sentence."""
        command = ["imatgen", "run", str(self.path / CAMPAIGN_FILE), "--directory", str(self.path), "--resume"]
        go_on = f"`{shlex.join(command)}` goes on with it."
        more = extended(self.path) if self.state is RunState.FINISHED else []
        added = (
            f" Since then {' and '.join(more)} were changed, and what was added is not done: {go_on}" if more else ""
        )
        return {
            RunState.FINISHED: f"the run is finished.{added}",
            RunState.RUNNING: f"the run is still going{self._where()}; wait for its end, or watch it: "
            f"`{shlex.join(['imatgen', 'report', str(self.path), '--serve'])}`.",
            RunState.FAILED: f"the run failed ({self.failure}). {go_on}",
            RunState.STOPPED: f"{self._how_far()} {go_on}",
        }[self.state]

    @property
    def progress(self) -> RunProgress | None:
        """The stages of the run and the time that they take, as they are now; None of a run on a cluster.

        Examples
        --------
        >>> progress = imf.Run.open("runs/vanadium-oxides").progress
        >>> progress.finished == progress.needed
        True
        """
        from imatgen_flows.managers.run_progress import read_run_progress

        return read_run_progress(self.path, going=self.state is RunState.RUNNING)

    def _where(self) -> str:
        """Say where a run is that goes on, as far as it says so."""
        progress = self.progress
        return f", at {progress.place} ({progress.times})" if progress and progress.number else ""

    def _how_far(self) -> str:
        """Say how far a run came that was stopped."""
        progress = self.progress
        if progress is None:
            return "the run was stopped before its end, or is on a cluster (`imatgen status`)."
        if not progress.finished:
            return "the run was stopped before any of its stages was finished."
        done = f"{progress.finished} of {progress.needed} stages {'is' if progress.finished == 1 else 'are'} finished"
        return f"the run was stopped before its end: {done}, and nothing of them is lost."

    @cached_property
    def _files(self) -> CandidateTable:
        """Where the candidates lie in the artifacts of the run."""
        from imatgen_flows.jobs.provenance import candidates_so_far, finished_round
        from imatgen_flows.managers.comparison import comparison_of

        if self.state is RunState.FINISHED:
            return finished_round(self.path).candidates
        if comparison := comparison_of(self.path):
            raise InputError(
                f"{self.path}: this campaign of the comparison in {comparison} has not come to its end ({self.state.value}). "
                "It shares its artifacts with the others, so that its candidates can be read only then; the command that "
                "began the comparison goes on with it."
            )
        found = candidates_so_far(self.path)
        if found is None:
            raise InputError(f"{self.path}: no samples have been drawn yet: {self.outlook}")
        return found


def run_campaign(campaign: str | Path | CampaignConfig, directory: str | Path) -> Run:
    """Run a campaign to its end on this machine, or go on with one that was interrupted.

    Parameters
    ----------
    campaign : its file, or a `CampaignConfig`
    directory : the run directory; jobs that are finished in it are not repeated

    Returns
    -------
    the finished run

    Raises
    ------
    InputError
        Where the campaign has a fault, or the directory holds another one.
    ImatgenError
        Where a job fails.

    Examples
    --------
    >>> run = imf.run_campaign("runs/vanadium-oxides/campaign.yaml", "runs/vanadium-oxides")
    >>> run.state.value
    'finished'
    """
    from imatgen_flows.managers.local import run_campaign as run_here

    config = campaign if isinstance(campaign, CampaignConfig) else CampaignConfig.from_file(Path(campaign))
    return Run.open(run_here(config, Path(directory), resume=True))
