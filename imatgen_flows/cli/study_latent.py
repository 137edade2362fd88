"""The command `imatgen study latent`: the latent space with and without the classifier, and the diversity in it."""

from __future__ import annotations

import json
from typing import Any

import typer

from imatgen_flows.cli.options import AsJson, RunPath
from imatgen_flows.cli.output import print_table, show_progress

LATENT_FILE = "latent_classifier.json"  # latent.json is the run's own map
SPACES = {"with_classifier": "with the classifier", "without_classifier": "without"}


def latent(run: RunPath, as_json: AsJson = False) -> None:
    """Measure how the classifier separates stable from unstable structures in the latent space, and their diversity."""
    from imatgen_flows.io.files import write_atomic
    from imatgen_flows.jobs.device import use_device
    from imatgen_flows.jobs.run_inputs import latent_inputs
    from imatgen_flows.report.figures_latent import draw_latent
    from imatgen_flows.report.run_directory import RunDirectory
    from imatgen_flows.studies.latent_space import study_latent

    show_progress()
    RunDirectory.open(run)
    inputs = latent_inputs(run)
    result = study_latent(inputs.model, inputs.trained_with, inputs.dataset, inputs.seed, inputs.scratch, use_device())
    found = {"preset": inputs.preset, "epochs": inputs.epochs} | result.to_dict()
    write_atomic(run / LATENT_FILE, json.dumps(found, indent=1))
    figures = draw_latent(found, run / "figures")
    if as_json:
        typer.echo(json.dumps(found))
        return
    _print_latent(found)
    typer.echo(f"Each structure: {run / LATENT_FILE}; maps: {', '.join(map(str, figures))}")


def _print_latent(found: dict[str, Any]) -> None:
    counts, diversity = found["counts"], found["diversity"]
    if found["note"]:
        typer.echo(f"separation: {found['note']}")
    else:
        print_table(
            f"stable ({counts['stable']}) and unstable ({counts['unstable']}) in the latent space; seed {found['seed']}",
            ["VAE", "in", "AUC", "balanced accuracy", "silhouette", "AUC, unseen templates"],
            [
                [title, where, *_numbers(part, "auc", "balanced_accuracy", "silhouette"), _unseen(part["unseen"])]
                for name, title in SPACES.items()
                for where, part in zip(
                    ("all dimensions", "two components"), found["spaces"][name]["separation"].values(), strict=True
                )
            ],
        )
        low, high = found["auc_lead"]
        typer.echo(
            "AUC and accuracy: logistic regression on the vectors, whole templates left out. The encoder itself has seen the "
            "labels of all but the unseen templates.\n"
            f"Lead of the AUC by the classifier: {low:+.3f} to {high:+.3f} (95 %, bootstrap over templates, one training)."
        )
    spaces = [found["spaces"][name]["diversity"] for name in SPACES]
    rows = [["nearest in structure too", *_shares([space["shared"] for space in spaces])]]
    rows += [
        [what, *_shares([space["explained"][key] for space in spaces])] for key, what in diversity["properties"].items()
    ]
    print_table(
        f"what the {diversity['neighbours']} nearest of other templates share or explain, with and without the classifier, "
        "in all dimensions and in the plane",
        ["", "with", "plane", "without", "plane", "shuffled"],
        rows,
    )


def _numbers(part: dict[str, float], *names: str) -> list[str]:
    return [f"{part[name]:.3f}" for name in names]


def _unseen(part: dict[str, float] | None) -> str:
    return f"{part['auc']:.3f} ({part['structures']:.0f} structures)" if part else ""


def _shares(parts: list[dict[str, float]]) -> list[str]:
    """Format the cells of both spaces; the shuffled share is much the same in both."""
    return [f"{part[which]:.0%}" for part in parts for which in ("all", "plane")] + [f"{parts[0]['shuffled']:.0%}"]
