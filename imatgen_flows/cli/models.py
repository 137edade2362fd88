"""The commands of `imatgen models`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imatgen_flows.cli.options import AsJson, RunPath
from imatgen_flows.cli.output import print_table, show_progress
from imatgen_flows.models.registry import PRETRAINED

if TYPE_CHECKING:
    from imatgen_flows.models.model_file import DataRecord, ModelCard

models_app = typer.Typer(help="Take trained networks from one place to another.", no_args_is_help=True)


@models_app.command("export")
def export_networks(
    run: RunPath,
    destination: Annotated[
        Path, typer.Argument(metavar="DESTINATION", help="A .safetensors file to write, or a directory to put it in.")
    ],
    as_json: AsJson = False,
) -> None:
    """Write the networks of a finished run into one file, with a card on their training data and their quality."""
    from imatgen_flows.jobs.model_export import export_model
    from imatgen_flows.report.run_directory import RunDirectory

    path, card = export_model(RunDirectory.open(run).path, destination)
    _show(path, card, as_json)


@models_app.command("import")
def import_networks(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `imatgen models export` wrote.")],
    directory: Annotated[Path, typer.Option(help="Where to keep it.")] = Path("models"),
    as_json: AsJson = False,
) -> None:
    """Check a model file, keep a copy, and print the lines by which a campaign starts from it."""
    from imatgen_flows.crystals.prototype_index import PrototypeIndex, index_path
    from imatgen_flows.models.model_file import place_model, read_model

    card, _networks = read_model(file)
    path = directory / file.name
    place_model(path, file.read_bytes())
    if card.is_of_prototypes:
        PrototypeIndex.read(index_path(file)).write(index_path(path))
    _show(path, card, as_json)


@models_app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the pretrained models that ship with the program."""
    from imatgen_flows.models.model_file import read_model
    from imatgen_flows.models.pretrained import shipped_models

    cards = {name: read_model(path)[0] for name, path in shipped_models().items()}
    if as_json:
        typer.echo(
            json.dumps(
                {
                    name: {"trained_on": card.data["counts"], "licence": card.data.get("licence", "")}
                    for name, card in cards.items()
                }
            )
        )
        return
    rows = [
        [name, f"{len(card.elements)}", f"{card.trained_on:,}", f"{card.data['limits']['max_sites']}"]
        for name, card in cards.items()
    ]
    print_table("pretrained models", ["name", "elements, at most", "structures", "sites, at most"], rows)


@models_app.command("show")
def show_model(
    model: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A pretrained model, or a model file.")
    ] = PRETRAINED,
    as_json: AsJson = False,
) -> None:
    """Show the card of a model: what it was trained on, how well, and what it is good for."""
    from dataclasses import asdict

    from imatgen_flows.models.model_file import read_model
    from imatgen_flows.models.pretrained import find_model

    path = find_model(model)
    card, _networks = read_model(path)
    if as_json:
        typer.echo(json.dumps({"file": str(path)} | asdict(card)))
    else:
        print_table(f"{path.name}: {card.name}", ["", ""], [[name, value] for name, value in _lines(card).items()])


@models_app.command("pretrain")
def pretrain_networks(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Crystals, one JSON object a line; may be compressed.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory to write to; it continues there.")],
    preset: Annotated[str, typer.Option("--preset", help="Settings of the networks.")] = PRETRAINED,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all random choices.")] = 7,
    epochs: Annotated[float, typer.Option("--epochs", min=0.001, help="Factor on the epochs of the preset.")] = 1.0,
    licence: Annotated[
        str | None,
        typer.Option("--licence", help="Licence of the data and attribution, for the card.", show_default="none"),
    ] = None,
    hold_out: Annotated[
        Path | None,
        typer.Option(
            "--hold-out",
            metavar="PATH",
            help="Crystals whose prototypes the networks shall not see, for a test whether they find them.",
            show_default="none",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train networks on the prototypes of many chemical systems, once for all: hours. Stopped, it goes on."""
    from imatgen_flows.jobs.pretraining import pretrain

    show_progress()
    path, card = pretrain(data, out, preset, seed, epochs, licence or "", hold_out)
    if as_json:
        typer.echo(json.dumps({"file": str(path), "reconstruction": card.reconstruction}))
    else:
        print_table(f"{path}: {card.name}", ["", ""], [[name, value] for name, value in _lines(card).items()])


def _show(path: Path, card: ModelCard, as_json: bool) -> None:
    from dataclasses import asdict

    import yaml

    if as_json:
        typer.echo(json.dumps({"file": str(path)} | asdict(card)))
        return
    print_table(f"{path}: {card.name}", ["", ""], [[name, value] for name, value in _lines(card).items()])
    if card.is_of_prototypes:
        typer.echo(
            f"It generates crystals of any system: imatgen generate V-O --model {path.absolute()} --out generated"
        )
    typer.echo("A campaign starts from it with these lines; with `fine_tune: 0` nothing is trained.")
    preset = {"preset": card.preset["name"], "grid": card.preset["basis"]["grid"]}
    lines = {"system": card.data["system"], "model": preset | {"start": str(path.absolute())}}
    for key, value in lines.items():
        if value:  # a model of prototypes suits any system
            typer.echo(
                f"{key}: {yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf).strip()}"
            )


def _lines(card: ModelCard) -> dict[str, str]:
    """Format the card of a model for people."""
    data = card.data
    lines = {
        "elements": "any two to five"
        if card.is_of_prototypes
        else f"{', '.join(card.elements)} (in the order of the channels)",
        "networks": f"preset {card.preset['name']}, basis image of {card.preset['basis']['grid']} voxels an edge",
        "trained on": f"{card.trained_on:,} structures{_systems(data)}; templates: {data['templates']['source']}",
        "limits": f"{data['limits']['max_sites']} sites, edges up to {data['limits']['max_edge']:g} A",
    }
    if labels := data["labels"]:
        lines["labels"] = f"{labels['potential']}, stable up to {labels['stable_below']:g} eV/atom"
    if licence := data.get("licence"):
        lines["licence of the data"] = licence
    for role, training in card.training.items():
        loss = f", loss {training['losses'][-1]:.4g}" if training["losses"] else ""
        lines[f"{role} network"] = f"{training['epochs']:,} epochs{loss}, seed {training['seed']}"
    for way, summary in card.reconstruction.items():
        whole, total = summary["fully_reconstructed"], summary["n"]
        lines[f"come back, {way.replace('_', ' ')}"] = f"{whole:,} of {total:,} structures"
    for of, quality in card.samples.items():
        clean, new = (_share(quality[f"share_{name}"]) for name in ("clean", "clean_new"))
        lines[f"samples, {of}"] = f"{clean} clean; {new} clean and no prototype of the data"
    lines["versions"] = ", ".join(f"{name} {version}" for name, version in card.versions.items())
    lines["sha256"] = "\n".join(f"{role} {digest}" for role, digest in card.sha256.items())
    lines["note"] = card.note
    return lines


def _systems(data: DataRecord) -> str:
    """Say of how many chemical systems the training structures are, where the card tells."""
    return f" of {len(data['systems']):,} chemical systems" if "systems" in data else ""


def _share(share: list[float]) -> str:
    """Format a share and its interval."""
    value, low, high = (round(100 * number) for number in share)
    return f"{value} % ({low}-{high})"
