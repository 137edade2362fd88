"""The plots of a run: `Run.plot` reads tables and documents and hands them to the functions of `plots`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from imatgen_flows.candidates.naming import check_name, find_crystal
from imatgen_flows.errors import InputError

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure

    from imatgen_flows.report.run_directory import RunDirectory

NAMED = 3  # candidates that are suggested where one has no phonons


@dataclass(frozen=True)
class RunPlots:
    """Plots of a run as figures of Plotly, which a notebook shows; the report has the same.

    Parameters
    ----------
    path : the run directory
    candidates : returns the candidate table, as far as it has come
    require_finished : raises an InputError where the run is not finished
    """

    path: Path
    candidates: Callable[[], pandas.DataFrame]
    require_finished: Callable[[], None]

    def hull(self) -> Figure:
        """Plot the relaxed candidates on the hull of the references.

        A binary has three views: close to the candidates, the whole by formation energy, and by energy above the hull. A
        ternary has its triangle, and E_hull with a column for each composition; a larger system has the latter alone.

        Raises
        ------
        InputError
            Where the run is not finished.

        Examples
        --------
        >>> run = imf.Run.open("runs/vanadium-oxides")
        >>> figure = run.plot.hull()
        >>> figure.layout.xaxis.title.text
        'Atomic fraction of O'
        """
        from imatgen_flows.report.interactive import hull_figure

        return hull_figure(self._results)

    def energies(self) -> Figure:
        """Plot the distribution of E_hull of the relaxed candidates, by class of novelty and by source.

        Raises
        ------
        InputError
            Where the run is not finished, or no candidate was relaxed.

        Examples
        --------
        >>> run = imf.Run.open("runs/vanadium-oxides")
        >>> bars = run.plot.energies().select_traces({"type": "bar"})
        >>> sum(sum(trace.y) for trace in bars) == len(run.candidates["e_above_hull"].dropna())
        True
        """
        from imatgen_flows.report.interactive import energies_figure

        if not self._results.relaxed:
            raise InputError(
                f"{self.path}: no candidate was relaxed, so that none has an energy. {self._results.empty}"
            )
        return energies_figure(self._results)

    def funnel(self) -> Figure:
        """Plot how many samples reached each state, by sampler; of a run that goes on, as far as it has come.

        Raises
        ------
        InputError
            Where no samples have been drawn yet.

        Examples
        --------
        >>> run = imf.Run.open("runs/vanadium-oxides")
        >>> sum(trace.x[0] for trace in run.plot.funnel().select_traces({"type": "bar"})) == len(run.candidates)
        True
        """
        from imatgen_flows.plots.funnel import funnel
        from imatgen_flows.report.interactive import sampler_labels

        table = self.candidates()
        if not len(table):
            raise InputError(f"{self.path}: no source proposed anything, so that there is no funnel.")
        return funnel(table, sampler_labels(table["sampler"].unique()))

    def latent_map(self) -> Figure:
        """Plot training structures and samples on the first two principal components of the latent space.

        Raises
        ------
        InputError
            Where the run is not finished, or has no latent space because its campaign trains no networks.

        Examples
        --------
        >>> run = imf.Run.open("runs/vanadium-oxides")
        >>> run.plot.latent_map().layout.xaxis.title.text
        'First component (... % of variance)'
        """
        from imatgen_flows.report.interactive import latent_figure

        if not self._results.latent["training"]:
            raise InputError(
                f"{self.path}: the run has no latent space: the generator is none of its sources (`sources.shares`)."
            )
        return latent_figure(self._results)

    def phonons(self, name: str) -> Figure:
        """Plot phonon bands and density of states of a candidate.

        Parameters
        ----------
        name : a sample, or the id of one of its crystals; a beginning suffices that no other has

        Raises
        ------
        InputError
            Where the run is not finished, there is no such candidate, or its phonons were not computed.

        Examples
        --------
        >>> run = imf.Run.open("runs/vanadium-oxides")
        >>> run.plot.phonons(run.shortlist.index[0])
        Traceback (most recent call last):
        imatgen_flows.errors.InputError: ...: no phonons were computed. ...
        """
        from imatgen_flows.report.interactive import phonons_figure
        from imatgen_flows.report.phonons import computed_phonons

        wanted = check_name(name)
        spectra = computed_phonons(self._results)
        if not spectra:
            raise InputError(
                f"{self.path}: no phonons were computed. Write `phonons: {{at_most: 10}}` into its campaign.yaml, and go on "
                "with the run (`--resume`): they are added."
            )
        try:
            sample, _ = find_crystal(self.candidates(), wanted, None)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from error
        if sample not in spectra:
            raise InputError(f"{self.path}: {self._without_phonons(sample, list(spectra))}")
        row = next(row for row in self._results.relaxed if row["sample"] == sample)
        return phonons_figure(row, spectra[sample])

    def _without_phonons(self, sample: str, others: list[str]) -> str:
        note = str(self.candidates().loc[sample].get("phonon_note") or "they were not asked for")
        more = " ..." if len(others) > NAMED else ""
        return f"{sample} has no phonons: {note.rstrip('.')}. Computed: {', '.join(others[:NAMED])}{more}"

    @cached_property
    def _results(self) -> RunDirectory:
        """Tables and documents of the finished run."""
        from imatgen_flows.report.run_directory import RunDirectory

        self.require_finished()
        return RunDirectory.open(self.path)
