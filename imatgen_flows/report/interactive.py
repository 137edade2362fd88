"""The interactive plots of a run or a screening: its tables and documents, handed to the functions of `plots`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from imatgen_flows.plots import style
from imatgen_flows.plots.energies import energies
from imatgen_flows.plots.hull import hull
from imatgen_flows.plots.latent_map import latent_map
from imatgen_flows.plots.phonons import phonons
from imatgen_flows.plots.reconstruction import reconstruction
from imatgen_flows.report.documents import RelaxedRow
from imatgen_flows.report.figures import ERRORS
from imatgen_flows.report.phonons import computed_phonons
from imatgen_flows.report.result_directory import ResultDirectory, crystal_id
from imatgen_flows.report.run_directory import RunDirectory, how_made, per_structure, sampler_label

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure

# a plot of the page: the id of its place, and a figure, or one for each choice of its switch
Plot = dict[str, Any]


def hull_figure(results: ResultDirectory) -> Figure:
    """Plot the candidates of a run or a screening on its hull."""
    table = _relaxed(results)
    phases = results.hull["references"]
    return hull(table, phases, results.system, results.threshold, results.scale, results.quantity)


def energies_figure(run: RunDirectory) -> Figure:
    """Plot the distribution of E_hull of the candidates of a run."""
    return energies(_relaxed(run), run.threshold, sampler_labels(run.samplers), run.scale, run.quantity)


def latent_figure(run: RunDirectory) -> Figure:
    """Plot the latent map of a run."""
    samples = _frame([dict(row) for row in run.mapped], ["sample", "sampler", "latent_x", "latent_y"])
    labels = sampler_labels(run.samplers)
    return latent_map(run.latent["training"], samples, run.latent.get("explained") or [], labels)


def phonons_figure(row: RelaxedRow, spectrum: Mapping[str, Any]) -> Figure:
    """Plot the phonons of a candidate."""
    group = f"{style.space_group(row['spacegroup'])} ({row['spacegroup_number']})"
    distance = f"{style.E_HULL} {style.energy(row['e_above_hull'])} eV/atom"
    title = f"{style.formula(row['formula'])}  {group}, {distance}, {escape(crystal_id(row))}"
    return phonons(spectrum["bands"], spectrum["density"], title)


def sampler_labels(samplers: Iterable[str]) -> dict[str, str]:
    """Return what people call samplers and sources."""
    return {name: sampler_label(name) for name in samplers}


def hull_plot(results: ResultDirectory) -> Plot:
    """Return the hull as the page draws it."""
    return {"id": "hull-plot", "figure": hull_figure(results).to_plotly_json()}


def run_plots(run: RunDirectory) -> list[Plot]:
    """Return all plots of the page of a run that Python makes."""
    plots = [hull_plot(run)]
    if run.relaxed:
        plots.append({"id": "energies-plot", "figure": energies_figure(run).to_plotly_json()})
    if run.latent["training"]:
        plots.append({"id": "latent-plot", "figure": latent_figure(run).to_plotly_json()})
    if spectra := computed_phonons(run):
        rows = {row["sample"]: row for row in run.relaxed}
        choices = [
            {
                "label": f"{style.formula(rows[sample]['formula'])} <small>{crystal_id(rows[sample])[:6]}</small>",
                "figure": phonons_figure(rows[sample], spectrum).to_plotly_json(),
            }
            for sample, spectrum in spectra.items()
        ]
        plots.append({"id": "phonons-plot", "choices": choices})
    errors = [
        (title, unit, tolerance, per_structure(run.reconstruction_errors.get(key)))
        for key, title, unit, tolerance in ERRORS
    ]
    return [*plots, {"id": "errors-plot", "figure": reconstruction(errors).to_plotly_json()}]


def _relaxed(results: ResultDirectory) -> pandas.DataFrame:
    """Return the relaxed candidates as a table indexed by sample, with how each was made."""
    rows = [{**row, **({"made": how_made(row)} if row.get("sampler") else {})} for row in results.relaxed]
    return _frame(rows, ["sample", "sampler", "formula", "novelty", "formation_energy", "e_above_hull"])


def _frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pandas.DataFrame:
    """Make a table of rows; its columns are there without a row too."""
    import pandas

    return (pandas.DataFrame(rows) if rows else pandas.DataFrame(columns=columns)).set_index("sample")
