"""Where the compositions of a run's valid samples were seen before: the counts, and the report's section of them."""

from __future__ import annotations

from collections import Counter

from imatgen_flows.report.compositions import amounts, dataset_formulas, published_formulas
from imatgen_flows.report.markup import table, words
from imatgen_flows.report.run_directory import STATES, RunDirectory, last_state
from imatgen_flows.studies.composition_classes import CompositionClass, count_classes

CLASS_TITLES = {
    CompositionClass.BOTH: "Known, in the dataset",
    CompositionClass.KNOWN: "Known only",
    CompositionClass.DATASET: "Dataset only",
    CompositionClass.NEW: "New",
}
Classes = dict[CompositionClass, Counter[str]]


def classes_of_samples(run: RunDirectory) -> dict[str, Classes]:
    """Count the valid samples of each sampling method by the class of their composition; all of these balance charges."""
    known, dataset = published_formulas(run), dataset_formulas(run)
    valid = [row for row in run.candidates if STATES.index(last_state(row)) >= STATES.index("valid")]
    return {
        method: count_classes((row["formula"] for row in valid if row["method"] == method), known, dataset)
        for method in run.methods
    }


def classes_of_database(run: RunDirectory) -> dict[str, Classes]:
    """Count what the samples are compared with in the same way: published phases of all elements, training structures."""
    known, dataset = published_formulas(run), dataset_formulas(run)
    whole = [formula for formula in known if set(amounts(formula)) == set(run.system)]
    return {
        "published phases": count_classes(whole, known, dataset),
        "dataset": count_classes(dataset, known, dataset),
    }


def merged(classes: Classes) -> Counter[str]:
    """Count the structures of all classes by composition."""
    return sum(classes.values(), Counter())


def classes_section(run: RunDirectory) -> str:
    """Write the section of the report."""
    titles = ["Structures (compositions)", *CLASS_TITLES.values(), "All"]
    rows = {**classes_of_database(run), **classes_of_samples(run)}
    lines = [
        [words(name), *(_cell(classes[each]) for each in CLASS_TITLES), _cell(merged(classes))]
        for name, classes in rows.items()
    ]
    return (
        "<section id=classes><h2>Compositions of the valid samples</h2><p class=caption>Samples that are valid crystals with "
        "valid oxidation states, by whether their composition is that of a published phase, of a training structure, of "
        "both, or of neither; in brackets how many compositions these are. A published phase counts even where it is "
        f"too large for the images. New is the composition here, not only the structure.</p>{table(titles, lines)}</section>"
    )


def _cell(found: Counter[str]) -> str:
    return f"{found.total():,} <small>({len(found):,})</small>" if found else "–"
