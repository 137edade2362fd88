"""Tables in Markdown of what runs and benchmarks left, beside the paper's figures; `notebook_page.py` puts them on a page."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

# Noh et al., Matter 1, 1370 (2019), Tables 1 and 2 and the text
PAPER_RMSE = {"a": 0.09, "b": 0.09, "c": 0.11, "alpha": 2.1, "beta": 2.1, "gamma": 2.0, "atoms": 0.19}
PAPER_VALID = {"slerp": "7,845 of 8,835 (89 %)", "prior": "1,697 of 10,000 (17 %)"}
PAPER_COMPOSITIONS = {"slerp": 36, "prior": 47}
# by class: structures (compositions)
PAPER_CLASSES = {
    "published phases": {"known_and_dataset": "31 (7)", "known": "81 (18)", "all": "112 (25)"},
    "dataset": {"known_and_dataset": "31 (7)", "dataset": "10,950 (76)", "all": "10,981 (83)"},
    "slerp": {
        "known_and_dataset": "6,099 (12)", "known": "35 (4)", "dataset": "1,409 (10)", "new": "302 (10)",
        "all": "7,845 (36)",
    },
    "prior": {
        "known_and_dataset": "1,399 (11)", "known": "8 (4)", "dataset": "238 (20)", "new": "52 (12)",
        "all": "1,697 (47)",
    },
}  # fmt: skip
PATHS = {
    "images": "image autoencoders, training",
    "images_held_out": "image autoencoders, held-out templates",
    "images_inverted_held_out": "the same, by inverting the autoencoders",
    "model": "through the VAE, training",
    "model_held_out": "through the VAE, held-out templates",
    "model_inverted_held_out": "the same, by inverting the decoder",
}
WITHIN = (0.0, 0.08, 0.1)  # eV/atom above the hull


def table(head: list[str], rows: list[list[Any]]) -> str:
    """Lay out a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def share(count: int, total: int) -> str:
    """Write a count with its share and the 95 % interval of Wilson."""
    from imatgen_flows.metrics.statistics import rate_interval

    low, high = rate_interval(count, total)
    return f"{count:,} of {total:,} ({100 * count / max(total, 1):.1f} %, {100 * low:.1f} to {100 * high:.1f})"


def dataset(run: Any) -> str:
    """Counts of the dataset."""
    counts = json.loads((run.path / "dataset.json").read_text())["counts"]
    return table(["dataset", "structures"], [[name, f"{number:,}"] for name, number in counts.items()])


def reconstruction(run: Any) -> str:
    """Table 1 of the paper."""
    rows = []
    for path, title in PATHS.items():
        summary = run.metrics["reconstruction"].get(path)
        if summary:
            rmse = summary["rmse"]
            errors = [", ".join("–" if rmse[name] is None else f"{rmse[name]:.2g}" for name in names)
                      for names in (("a", "b", "c"), ("alpha", "beta", "gamma"), ("atoms",))]  # fmt: skip
            rows.append([title, *errors, share(summary["fully_reconstructed"], summary["n"])])
    paper = [[f"{PAPER_RMSE[name]:g}" for name in names] for names in ("abc", ("alpha", "beta", "gamma"), ("atoms",))]
    rows.append(["paper", *(", ".join(part) for part in paper), "10,079 of 10,981 (91.8 %)"])
    return table(["RMSE", "a, b, c (A)", "angles (deg)", "atoms (A)", "fully reconstructed"], rows)


def generation(run: Any) -> str:
    """Table 2 of the paper, and what it leaves out."""
    import pyarrow.compute as pc

    from imatgen_flows.candidates.table import count_by

    rows = []
    for sampler in run.samplers:
        samples = run.table.filter(pc.field("sampler") == sampler)
        valid = samples.filter(~pc.field("rejected_stage").isin(["decode", "validity"]))
        drawn, reasons = samples.num_rows, count_by(samples, "rejected_reason")
        relaxed = [row for row in run.relaxed if row["sampler"] == sampler]
        new = [row for row in relaxed if row["novelty"] == "new"]
        clean = run.metrics["sampling"][sampler]["clean"]
        rows += [
            [sampler, "valid and charge balanced", share(valid.num_rows, drawn), PAPER_VALID.get(sampler, "")],
            ["", "clean: counts match, residual under 0.3, nothing repaired", share(clean, drawn), ""],
            ["", "duplicates, known, substituted",
             ", ".join(f"{reasons.get((name,), 0):,}" for name in ("duplicate", "known", "substituted")), ""],
            ["", "compositions of valid ones", len(count_by(valid, "formula")), PAPER_COMPOSITIONS.get(sampler, "")],
            ["", "relaxed; new among them", f"{len(relaxed):,}; {share(len(new), len(relaxed))}", ""],
        ]  # fmt: skip
        rows += [
            [
                "",
                f"new within {limit:g} eV/atom",
                share(sum(row["e_above_hull"] <= limit for row in new), len(relaxed)),
                "",
            ]
            for limit in WITHIN
        ]
    return table(["sampler", "", "here", "paper"], rows)


def composition_classes(run: Any) -> str:
    """Table 2 of the paper: whether compositions of valid samples are published, in the dataset, both or neither."""
    from imatgen_flows.report.composition_classes import CLASS_TITLES, classes_of_database, classes_of_samples, merged

    rows = []
    for name, classes in {**classes_of_database(run), **classes_of_samples(run)}.items():
        found = {each.value: classes[each] for each in CLASS_TITLES} | {"all": merged(classes)}
        rows.append([name.replace("_", " "), "here", *(f"{part.total():,} ({len(part):,})" for part in found.values())])
        if name in PAPER_CLASSES:
            rows.append(["", "paper", *(PAPER_CLASSES[name].get(each, "–") for each in found)])
    head = ["structures (compositions)", "", *(title.lower() for title in CLASS_TITLES.values()), "all"]
    return table(head, rows)


def rounds(run: Any) -> str:
    """What rounds brought, and the comparison with one long round where there is one."""
    head = ["round", "relaxed", "new", "within 0.1 eV/atom", "evaluations"]
    names = ("relaxed", "new", "within_0.1", "evaluations")
    text = table(head, [[row["round"] + 1, *(f"{row[name]:,}" for name in names)] for row in run.rounds])
    path = run.path / "loop.json"
    if not path.is_file():
        return text
    loop = json.loads(path.read_text())
    rows = [[row["seed"], f"{row['evaluations']:,}", row["loop"], row["long round"]] for row in loop["rows"]]
    return (
        text
        + "\n"
        + table(["seed", "evaluations of each", "loop", "one long round"], rows)
        + f"\nThe loop finds {loop['mean']:+.1f} (95 % {loop['low']:+.1f} to {loop['high']:+.1f}, t over seeds) new "
        f"structures within {loop['within']:g} eV/atom more than one long round.\n"
    )


def rediscovery(run: Any) -> str:
    """Held-out known phases that were found again, by tier, before and after relaxation; plain substitution beside them."""
    content = read(run, "rediscovery")
    rows, found_again = [], []
    for mode, part in (content.get("summary") or {}).items():
        plain = {state: hits for state, hits in part["substitution"].items() if any(hits["structures"])}
        searches = part["tiers"] | {f"substitution, {state}": hits for state, hits in plain.items()}
        for search, found in searches.items():
            for matcher in content["matchers"]:
                states = found[matcher] if "before" in found[matcher] else {"": found[matcher]}
                rows += [
                    [mode, search, matcher, when, f"{hits['union']} of {part['known']}",
                     f"{hits['clusters']['union']} of {part['clusters']}"]
                    for when, hits in states.items() if hits is not None  # where anything was relaxed
                ]  # fmt: skip
        for tier in part["tiers"]:
            names = [
                f"{row['id'].removeprefix('known:')} ({row['formula']})"
                for row in content["known"]
                if any(
                    row[mode][tier][name][when]["found"] for name in content["matchers"] for when in ("before", "after")
                )
            ]
            found_again.append(f"Found in {tier}, by either matcher: {', '.join(names) or 'none'}.\n")
    head = ["held out", "search", "matcher", "relaxed", "phases found", "prototypes found"]
    return "\n".join([table(head, rows), *found_again]) if rows else ""


def baselines(run: Any) -> str:
    """Compare the generator with other sources, over the same cells."""
    content = read(run, "baselines")
    sources = content.get("sources") or {}
    if not sources:
        return ""
    rows = []
    for source, found in sources.items():
        rows.append([source, *_finds(found)])
        for name, strata in found["strata"].items():
            rows += [["", *_finds(part, f"{name.replace('_', ' ')} {key}: ")] for key, part in strata.items()]
    near = [limit["e_above_hull"] for limit in next(iter(sources.values()))["within"]]
    head = ["source", "relaxed", "evaluations each", *(f"new within {limit:g} eV/atom" for limit in near)]
    leads = [
        [source, *(f"{100 * row['share']:+.0f} % ({_span(row['interval'], 100)})" for row in rows),
         f"{rows[-1]['per_1000_evaluations']:+.2f} ({_span(rows[-1]['per_1000_interval'], 1)})"]
        for source, rows in content["differences"].items() if rows
    ]  # fmt: skip
    lead_head = [
        "generator's lead over",
        *(f"within {limit:g} eV/atom" for limit in near),
        "finds in 1,000 evaluations",
    ]
    again = content["relaxed_substitutions"]
    bound = (
        f"Of {again['unique']} unique relaxed substitutions, {again['missed']} equal nothing that is known: as large a share "
        "of what is called new may be substitution too. "
    )
    return (
        table(head, rows)
        + ("\n" + table(lead_head, leads) if leads else "")
        + f"\nRelaxed to {content['fmax']:g} eV/A; {content['evaluations_total']:,} evaluations in all. "
        + (bound if again["unique"] else "")
        + f"Cells: {_counted(content['targets'])}.\n"
    )


def _finds(found: dict[str, Any], stratum: str = "") -> list[str]:
    shares = (
        f"{limit['new']} ({100 * limit['interval'][0]:.0f} to {100 * limit['interval'][1]:.0f} %)"
        for limit in found["within"]
    )
    mean = found["mean_evaluations"]
    return [f"{stratum}{found['relaxed']} of {found['structures']}", "" if mean is None else f"{mean:.0f}", *shares]


def _span(interval: list[float] | None, scale: float) -> str:
    return "–" if interval is None else f"{scale * interval[0]:+.3g} to {scale * interval[1]:+.3g}"


def _counted(names: list[str]) -> str:
    return ", ".join(f"{name} ({number})" for name, number in Counter(names).most_common())


def vacancies(run: Any) -> str:
    """What candidates that lack a cation become with it."""
    content = read(run, "vacancies")
    rows = [
        [row["formula"], row["filled_formula"], f"{row['e_above_hull']:.3f}", f"{row['filled_e_above_hull']:.3f}",
         row.get("match") or "none"]
        for row in content.get("candidates") or []
    ]  # fmt: skip
    if not rows:
        return ""
    counted = [
        f"{share(part['count'], part['of'])} {whose}"
        for name, whose in (
            ("returned", "candidates"),
            ("controls_returned", "controls, random crystals of the same cells"),
        )
        if (part := content.get(name)) and part["of"]
    ]
    head = ["candidate", "filled", "E_hull", "E_hull filled", "equals"]
    return table(head, rows) + (f"\nReturn a known or substituted compound: {'; '.join(counted)}.\n" if counted else "")


def latent(run: Any) -> str:
    """What the classifier does to the latent space, and what neighbours in it share."""
    content = read(run, "latent_classifier")
    if not content:
        return ""
    spaces = {
        "with the classifier": content["spaces"]["with_classifier"],
        "without": content["spaces"]["without_classifier"],
    }
    counts = content["counts"]
    text = (
        f"{counts['stable']:,} stable and {counts['unstable']:,} unstable structures, at {content['stable_below']:g} "
        f"eV/atom; seed {content['seed']}, {content['epochs']:,} epochs each.\n\n"
    )
    if content["note"]:
        text += f"Separation: {content['note']}\n"
    else:
        where = {"all": "all dimensions", "plane": "two components"}
        rows = [
            [name, where[which], *(f"{part[key]:.3f}" for key in ("auc", "balanced_accuracy", "silhouette")),
             f"{part['unseen']['auc']:.3f} ({part['unseen']['structures']:,})" if part["unseen"] else "–"]
            for name, space in spaces.items() for which, part in space["separation"].items()
        ]  # fmt: skip
        head = ["VAE", "in", "AUC", "balanced accuracy", "silhouette", "AUC, unseen templates (structures)"]
        low, high = content["auc_lead"]
        text += table(head, rows) + (
            "\nAUC and accuracy are of logistic regressions, whole templates left out; but for the unseen templates the "
            f"encoder has seen the labels. Lead of the AUC by the classifier: {low:+.3f} to {high:+.3f} (95 %, bootstrap "
            "over templates).\n\n"
        )
    diversity = content["diversity"]
    rows = []
    for name, space in spaces.items():
        measured = {"shared": space["diversity"]["shared"], **space["diversity"]["explained"]}
        titles = {"shared": "nearest in structure too"} | diversity["properties"]
        rows += [[name, titles[key], *(f"{100 * part[which]:.0f} %" for which in ("all", "plane", "shuffled"))]
                 for key, part in measured.items()]  # fmt: skip
    head = [f"the {diversity['neighbours']} nearest of other templates", "share or explain", "all dimensions",
            "two components", "shuffled"]  # fmt: skip
    return text + table(head, rows)


def ablation(path: Path) -> str:
    """Write tables of what each choice is worth: one for each set of figures, one row a variant."""
    content = json.loads(path.read_text())
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in content["rows"]:
        alike.setdefault(tuple(row["figures"]), []).append({"variant": row["name"], **row["figures"]})
    return facts(content.get("settings") or {}) + "\n".join(table_of(rows) for rows in alike.values())


def benchmark(path: Path) -> str:
    """Write what a benchmark left: its facts in a line, and each list of rows in it as a table."""
    content = json.loads(path.read_text())
    rows = {name: value for name, value in content.items() if _is_rows(value)}
    return facts({name: value for name, value in content.items() if name not in rows and name != "title"}) + "\n".join(
        table_of(value) for value in rows.values()
    )


def trainings(paths: list[Path]) -> str:
    """Write what `train_full.py` left: how many crystals come back whole, training structures and held-out ones."""
    rows = []
    for path in paths:
        result = json.loads(path.read_text())
        training, held_out = (result["reconstruction"][name] for name in ("training", "held_out"))
        rows.append({
            "preset": result["preset"],
            "grid": result["basis"]["grid"],
            "hardware": result["hardware"],
            "epochs": f"{len(result['history'])} of {result['basis']['epochs']}",
            "trained on": result["trained_on"],
            "whole": share(training["every_atom_within_0.2_A"], training["crystals"]),
            "held out, whole": share(held_out["every_atom_within_0.2_A"], held_out["crystals"]),
            "atoms of these, RMSE (A)": held_out["atom_rmse"],
            "GPU memory, GB": result["peak_bytes"] / 1e9,
        })  # fmt: skip
    return table_of(rows)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def title_of(path: Path) -> str:
    """Name a file of figures: as it does itself, or as it is called."""
    return json.loads(path.read_text()).get("title") or path.stem.replace("_", " ").replace("-", " ")


def facts(values: dict[str, Any]) -> str:
    """Write single values as a line of text."""
    text = "; ".join(f"{name.replace('_', ' ')}: {cell(value)}" for name, value in values.items())
    return f"{text}.\n\n" if text else ""


def table_of(rows: list[dict[str, Any]]) -> str:
    """Lay out rows whose columns are any of their keys, in the order in which these first come."""
    head = list(dict.fromkeys(key for row in rows for key in row))
    return table([name.replace("_", " ") for name in head], [[cell(row.get(name)) for name in head] for row in rows])


def cell(value: Any) -> str:
    """Write a value with the digits that a reader can use."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, list):
        return ", ".join(map(cell, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {cell(item)}" for name, item in value.items())
    return str(value)


def read(run: Any, name: str) -> dict[str, Any]:
    """Read what another evaluation wrote, if it was made."""
    path = run.path / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else {}
