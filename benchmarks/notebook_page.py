"""Write one page of the notebook from the files of a run or of a benchmark: a head, then tables.

    python benchmarks/notebook_page.py RUN --output notebook/2026-11-27-vanadium-oxides.md
    python benchmarks/notebook_page.py --benchmark train.json --title "Training speed" --output notebook/2026-11-27-speed.md

Tables and, for a run, date and machine come from the files. Question, commit and conclusion are given as options or filled in
by hand; `tests/test_docs.py` refuses a page that lacks one. The page joins the index of notebook/README.md by hand too.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import result_tables

from imatgen_flows.report.run_directory import RunDirectory

HEAD = ("question", "date", "commit", "machine", "command", "conclusion")
MISSING = "(to be written)"
# title, command, and function that writes the tables, of each evaluation that a run may have
EVALUATIONS = (
    ("Rediscovery", "imatgen evaluate rediscovery RUN", result_tables.rediscovery),
    ("Baseline benchmark", "imatgen evaluate baselines RUN", result_tables.baselines),
    ("Latent space", "imatgen study latent RUN", result_tables.latent),
    ("Vacancy check", "imatgen study vacancies RUN", result_tables.vacancies),
)


def page(title: str, head: dict[str, str | None], parts: list[str]) -> str:
    """Write a page: its title, its head, and the parts that are not empty."""
    rows = "\n".join(f"| **{name}** | {head.get(name) or MISSING} |" for name in HEAD)
    words = "Words: [notebook](README.md#words).\n"
    return "\n".join([f"# {title}\n", f"| | |\n|---|---|\n{rows}\n", words, *(part for part in parts if part)])


def head_of_run(run: RunDirectory) -> dict[str, str | None]:
    """Say when and where a run was made, and by which command."""
    record = run.provenance
    return {
        "date": record["finished"][:10],
        "machine": record["hardware"],
        "command": "`imatgen run` with the campaign file below",
    }


def parts_of_run(run: RunDirectory) -> list[str]:
    """Write what a run and its evaluations measured; a note of what its files cannot tell stands above the tables."""
    record = run.provenance
    # where the files lay on that machine is nobody's business
    campaign = re.sub(r"(path|model): /\S*/", r"\1: ", (run.path / "campaign.yaml").read_text().strip())
    parts = [
        f"Seed {record['seed']}, {record['potential']}, {record['hardware']}, {record['finished'][:10]}; "
        f"{sum(record['seconds'].values()) / 60:.0f} min of jobs, in seconds: "
        + ", ".join(f"{job} {seconds:,.0f}" for job, seconds in record["seconds"].items()) + ".\n",
        f"<details><summary>campaign file</summary>\n\n```yaml\n{campaign}\n```\n</details>\n",
        notes(run.path),
        result_tables.dataset(run),
        result_tables.reconstruction(run),
        result_tables.generation(run),
        result_tables.composition_classes(run),
        result_tables.rounds(run) if len(run.rounds) > 1 else "",
    ]  # fmt: skip
    for title, command, write in EVALUATIONS:
        if text := write(run):
            parts += [f"## {title}\n", f"`{command}`\n", text]
    return parts


def notes(run: Path) -> str:
    """Take over what the files of a run cannot tell, from a `notes.md` that was put beside them."""
    path = run / "notes.md"
    return f"{path.read_text().strip()}\n" if path.is_file() else ""


def main() -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="finished run directory")
    parser.add_argument("--output", type=Path, required=True, help="notebook/DATE-NAME.md; must not exist")
    parser.add_argument("--ablation", type=Path, help="JSON of settings and rows, a variant each")
    parser.add_argument("--benchmark", type=Path, nargs="+", default=[], help="JSON files that benchmarks wrote")
    parser.add_argument("--training", type=Path, nargs="+", default=[], help="result.json files of train_full.py")
    parser.add_argument("--title", help="of the page; else the title of the run or of the first benchmark")
    for name in HEAD:
        parser.add_argument(f"--{name}", help="line of the head")
    given = parser.parse_args()
    if given.output.exists():
        parser.error(f"{given.output} exists, and may hold what was written by hand; remove it first")

    title, head, parts = given.title, {}, []
    if given.run:
        run = RunDirectory.open(given.run)
        title, head, parts = title or run.title, head_of_run(run), parts_of_run(run)
    if given.ablation:
        parts += ["## Ablation\n", result_tables.ablation(given.ablation)]
    if given.training:
        parts += ["## Image autoencoders at full scale\n", result_tables.trainings(given.training)]
    for path in given.benchmark:
        parts += [f"## {result_tables.title_of(path)}\n", result_tables.benchmark(path)]
        title = title or result_tables.title_of(path)
    if not parts:
        parser.error("give a run, --ablation, --training or --benchmark")
    head |= {name: value for name in HEAD if (value := getattr(given, name))}
    given.output.write_text(page(title or MISSING, head, parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
