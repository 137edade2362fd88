"""The command `imatgen generate`: crystals of a system from trained networks, without a campaign."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imatgen_flows.cli.options import TOOLS, AsJson, parse_path
from imatgen_flows.cli.output import print_table
from imatgen_flows.models.registry import PRETRAINED

if TYPE_CHECKING:
    from imatgen_flows.sources.generated import GeneratedCrystals

app = typer.Typer()


@app.command(rich_help_panel=TOOLS)
def generate(
    system: Annotated[str, typer.Argument(metavar="V-O", help="Two to five elements.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="PATH",
            help="A new folder for CIF files and a table, or a new file that ends in .extxyz or .jsonl.",
            parser=parse_path,
        ),
    ],
    n: Annotated[int, typer.Option("--n", min=1, help="Crystals that are wanted.")] = 100,
    formula: Annotated[
        str | None,
        typer.Option(
            "--formula",
            help="Formula that the prior is asked for: V3O4 in cells of any size, V6O8 as the contents of the cell.",
            show_default="any",
        ),
    ] = None,
    sites: Annotated[
        str | None,
        typer.Option(
            "--sites",
            metavar="N|LOW-HIGH",
            help="Sites of the primitive cell that it is asked for.",
            show_default="any",
        ),
    ] = None,
    space_group: Annotated[
        int | None,
        typer.Option(
            "--space-group", min=1, max=230, help="Keep this space group alone, after the drawing.", show_default="any"
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all random choices.")] = 0,
    model: Annotated[
        str, typer.Option("--model", metavar="FILE|RUN", help="A model file or a finished run.")
    ] = PRETRAINED,
    as_json: AsJson = False,
) -> None:
    """Generate crystals of a system by networks that are trained already: no campaign, no potential, no network needed.

    A crystal is `clean` where the networks' images hold just its atoms, `substituted` where its prototype is one of the
    training data with other elements, `new` where it is not, and a `duplicate` where it matches an earlier one of the call.
    None is relaxed: `imatgen screen` does that.
    """
    from imatgen_flows.crystals.structure_writer import refuse_overwriting, write_structures
    from imatgen_flows.toolkit import generate_counted

    refuse_overwriting(out)
    found = generate_counted(system, n, model=model, formula=formula, sites=sites, space_group=space_group, seed=seed)
    path = write_structures(found.structures, out, f"imatgen-flows, model {model}, seed {seed}")
    if as_json:
        typer.echo(json.dumps({"path": str(path), "seed": seed, **found.to_dict()}))
    else:
        _print(found, path, system)
    if not found.structures:
        raise typer.Exit(1)


def _print(found: GeneratedCrystals, path: Path, system: str) -> None:
    rows = [[name, f"{number:,}"] for name, number in found.counts().items()]
    print_table(f"{system}: {found.drawn:,} samples drawn", ["", "samples"], rows)
    if len(found.structures) < found.wanted:
        typer.echo(f"fewer than the {found.wanted:,} that were asked for: {found.fates}.")
    typer.echo(f"wrote {path}")
