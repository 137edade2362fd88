"""The comparison of arms behind `imatgen evaluate baselines CAMPAIGN.yaml`: its runs, its tables, and its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from imatgen_flows.cli.output import print_table, show_progress
from imatgen_flows.errors import InputError
from imatgen_flows.sources.registry import ADAPTIVE, EQUAL

if TYPE_CHECKING:
    from imatgen_flows.metrics.arm_comparison import ArmComparison
    from imatgen_flows.metrics.arm_statistics import ArmSummary, Share

TEN = 10  # new structures in 1,000 evaluations, from where on one decimal is enough: columns stay narrow


def compare_campaigns(
    campaign: Path,
    out: Path | None,
    as_json: bool,
    seeds: str | None,
    arms: str | None,
    relaxations: int | None,
    batches: int | None,
) -> None:
    """Run a campaign with each arm and seed, and print and write what each found.

    Parameters
    ----------
    campaign : the campaign file
    out : directory of the comparison
    as_json : whether JSON is printed in place of the tables
    seeds, arms, relaxations, batches : as they are given on the command line; None where they are not
    """
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.jobs.arm_runs import read_arm
    from imatgen_flows.managers.comparison import ComparisonSettings, run_comparison, run_directory
    from imatgen_flows.metrics.arm_comparison import ArmComparison
    from imatgen_flows.report.arms import NAME, write_comparison

    config = CampaignConfig.from_file(campaign)
    if out is None:
        raise InputError(
            "a comparison of campaigns needs --out, the directory that its runs and results are written to."
        )
    settings = ComparisonSettings.of(config, seeds, arms, relaxations, batches)
    show_progress()
    run_comparison(config, settings, out)
    runs = [read_arm(run_directory(out, arm, seed), arm, seed) for arm in settings.arms for seed in settings.seeds]
    comparison = ArmComparison.of(runs)
    screen = config.screen.model_dump(include={"potential", "fmax", "max_steps"})
    found = write_comparison(comparison, {"system": config.system, "settings": settings.to_dict()} | screen, out)
    if as_json:
        typer.echo(json.dumps(found))
        return
    print_comparison(comparison, f"{'-'.join(config.system)}, E_hull of {config.screen.potential}")
    typer.echo(f"Curves, seeds and differences of any two arms: {out / NAME}.json, .csv and .png")


def print_comparison(comparison: ArmComparison, title: str) -> None:
    """Print the tables of a comparison, and what is said of them."""
    pooled = list(comparison.pooled.values())
    seeds = ", ".join(str(seed) for seed in pooled[0].seeds)
    heads = [f"≤ {finds.e_above_hull:g}" for finds in pooled[0].within]
    print_table(
        f"{title}; seeds {seeds} together: new structures",
        ["", "relaxed", "evaluations", *heads, "best"],
        [_finds_row(summary) for summary in pooled],
    )
    print_table(
        "New structures in 1,000 evaluations",
        ["", *heads, f"{heads[-1]}, all"],
        [_rates_row(summary) for summary in pooled],
    )
    typer.echo(
        "New structures within 0, 0.05 and 0.1 eV/atom of the hull; best: the lowest E_hull, eV/atom. In 1,000 evaluations "
        "of relaxations with the 95 % interval, and of all evaluations, with those of labels and references."
    )
    print_table(
        "Candidates, as shares with their 95 % intervals",
        ["", "S.U.N.", "unique", "novel", "match", "valid", "RMSD"],
        [_quality_row(summary) for summary in pooled],
    )
    typer.echo(
        "S.U.N.: within 0.1 eV/atom, no duplicate in its arm, and new; of all relaxations. Unique, novel, match (of proposed "
        "and relaxed) and RMSD, (volume per atom)^(1/3): of the relaxed ones. Valid: of the candidates that were made."
    )
    if stopped := sum(summary.stopped for summary in pooled):
        typer.echo(
            f"Of the relaxations {stopped:,} were stopped, since they had become something that was relaxed before, and "
            f"{sum(summary.failed for summary in pooled):,} failed."
        )
    print_table("Time of all seeds, s", ["", "wall", "CPU"], [_times_row(summary) for summary in pooled])
    typer.echo(
        "Times: all jobs of a campaign, of which those that arms share were run once; time lost by a kill is not counted."
    )
    for summary in pooled:
        if summary.arm in (EQUAL, ADAPTIVE):
            given = ", ".join(f"{source} {number}" for source, number in summary.given.items())
            typer.echo(f"{summary.arm} gave: {given}.")
        if summary.copies > 1:
            typer.echo(f"{summary.arm} made the same relaxations with all seeds: its intervals are those of one.")
        if summary.unfilled:
            typer.echo(
                f"{summary.arm}: no candidates for {summary.unfilled} of {summary.budget} relaxations, which stay unused."
            )
    _print_differences(comparison)
    if comparison.verdict:
        typer.echo(comparison.verdict.sentence)


def _print_differences(comparison: ArmComparison) -> None:
    """Say how the last arm, `adaptive` where it is compared, differs from the others in its rate near the hull."""
    from imatgen_flows.metrics.arms import NEAR

    last = list(comparison.pooled)[-1]
    said = []
    for difference in comparison.differences:
        if difference.one == last and difference.e_above_hull == NEAR:
            low, high = difference.interval or (None, None)
            bounds = f"{low:+.2f} to {high:+.2f}" if difference.interval else "neither any"
            said.append(f"{difference.other} {difference.per_1000:+.2f} ({bounds})")
    if said:
        typer.echo(
            f"{last} finds in 1,000 evaluations, within {NEAR:g} eV/atom, beside (95 % intervals): {', '.join(said)}."
        )


def _finds_row(summary: ArmSummary) -> list[str]:
    return [
        summary.arm,
        f"{summary.relaxed} of {summary.relaxations}",
        f"{summary.evaluations:,}",
        *(str(finds.new) for finds in summary.within),
        _number(summary.best, ".3f"),
    ]


def _rates_row(summary: ArmSummary) -> list[str]:
    last = summary.near
    rates = [(finds.per_1000, finds.interval) for finds in summary.within]
    return [summary.arm, *(_rate(*rate) for rate in [*rates, (last.per_1000_in_all, last.interval_in_all)])]


def _rate(value: float | None, interval: tuple[float, float] | None) -> str:
    form = ".1f" if interval and interval[1] >= TEN else ".2f"
    return f"{value:{form}}\n({_interval(interval, form)})" if value is not None else ""


def _quality_row(summary: ArmSummary) -> list[str]:
    shares = [_share(share) for share in (summary.sun, summary.unique, summary.novel, summary.matched, summary.valid)]
    return [summary.arm, *shares, _number(summary.rmsd, ".3f")]


def _times_row(summary: ArmSummary) -> list[str]:
    return [summary.arm, *(f"{sum(times.values()):,.0f}" for times in (summary.wall, summary.cpu))]


def _share(share: Share) -> str:
    if share.share is None:
        return ""
    low, high = (100 * bound for bound in share.interval)
    return f"{share.share:.0%}\n({low:.0f}–{high:.0f})"


def _interval(interval: tuple[float, float] | None, form: str) -> str:
    return f"{interval[0]:{form}}–{interval[1]:{form}}" if interval else ""


def _number(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)
