"""Compositions of valid samples, by whether they are published or in the dataset: counts, and the report's section."""

from __future__ import annotations

from collections import Counter

from markupsafe import Markup

from imatgen_flows.candidates.formulas import amounts
from imatgen_flows.candidates.funnel import last_state
from imatgen_flows.candidates.states import State
from imatgen_flows.candidates.table import count_by
from imatgen_flows.report.compositions import dataset_formulas, published_formulas
from imatgen_flows.report.markup import render
from imatgen_flows.report.run_directory import RunDirectory, sampler_label
from imatgen_flows.studies.composition_classes import CompositionClass, count_classes

CLASS_TITLES = {
    CompositionClass.BOTH: "Known, in the dataset",
    CompositionClass.KNOWN: "Known only",
    CompositionClass.DATASET: "Dataset only",
    CompositionClass.NEW: "New",
}
Classes = dict[CompositionClass, Counter[str]]


def classes_of_samples(run: RunDirectory) -> dict[str, Classes]:
    """Count the valid samples of each sampler by the class of their composition."""
    known, dataset = published_formulas(run), dataset_formulas(run)
    valid: dict[str, Counter[str]] = {sampler: Counter() for sampler in run.samplers}
    for (sampler, formula, *fate), number in count_by(
        run.table, "sampler", "formula", "state", "rejected_stage"
    ).items():
        if last_state(*fate) is not State.SAMPLED:
            valid[sampler][formula] += number
    return {sampler: count_classes(counted.elements(), known, dataset) for sampler, counted in valid.items()}


def classes_of_database(run: RunDirectory) -> dict[str, Classes]:
    """Count the published phases of all elements and the training structures in the same way, for comparison."""
    known, dataset = published_formulas(run), dataset_formulas(run)
    whole = [formula for formula in known if set(amounts(formula)) == set(run.system)]
    return {
        "published phases": count_classes(whole, known, dataset),
        "dataset": count_classes(dataset, known, dataset),
    }


def merged(classes: Classes) -> Counter[str]:
    """Count the structures of all classes by composition."""
    return sum(classes.values(), Counter())


def classes_section(run: RunDirectory) -> Markup:
    """Write the section of the report."""
    samples = {sampler_label(name): classes for name, classes in classes_of_samples(run).items()}
    return render(
        "composition_classes",
        titles=[*CLASS_TITLES.values(), "All"],
        rows=[
            (name, [*(classes[each] for each in CLASS_TITLES), merged(classes)])
            for name, classes in {**classes_of_database(run), **samples}.items()
        ],
    )
