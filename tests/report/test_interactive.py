"""The page draws the figures that Python made: in both themes, with their views, and without growing large."""

from __future__ import annotations

import json
import re
import time

import pytest

from imatgen_flows.candidates.table import read_part, rows_of, table_part, write_table
from imatgen_flows.plots.style import PALETTE
from imatgen_flows.report import RunDirectory, build_report
from imatgen_flows.report.interactive import energies_figure, hull_figure, latent_figure

pytestmark = pytest.mark.usefixtures("no_still_figures")


@pytest.fixture
def no_still_figures(monkeypatch):
    monkeypatch.setattr("imatgen_flows.report.html.draw_figures", lambda run: [])  # have their own tests


def opened(browser, report):
    browser.get_log("browser")
    browser.get(report.as_uri())
    end = time.monotonic() + 20
    while browser.execute_script("return document.documentElement.dataset.ready") != "true":
        assert time.monotonic() < end, "the page did not get there in time"
        time.sleep(0.05)
    return browser


def drawn(page, plot, what):
    return page.execute_script(f"const plot = document.getElementById(arguments[0]); return {what}", plot)


def click(page, selector):
    page.execute_script("document.querySelector(arguments[0]).click()", selector)


def test_the_page_draws_the_figures_of_python(browser, own_run):
    page, run = opened(browser, build_report(own_run)), RunDirectory.open(own_run)
    figures = {"hull-plot": hull_figure(run), "energies-plot": energies_figure(run), "latent-plot": latent_figure(run)}
    for plot, figure in figures.items():
        traces = drawn(page, plot, "plot.data.map((trace) => [trace.name ?? null, [...trace.x], [...trace.y]])")
        assert traces == [[trace.name, list(trace.x), list(trace.y)] for trace in figure.data]
    assert page.get_log("browser") == []


def test_the_views_of_the_hull_are_buttons_of_the_page(browser, own_run):
    page, run = opened(browser, build_report(own_run)), RunDirectory.open(own_run)
    views = hull_figure(run).layout.updatemenus[0].buttons
    assert not drawn(page, "hull-plot", "plot.layout.updatemenus ?? null")
    for place in (2, 3, 1):
        click(page, f"#hull-switch button:nth-child({place})")
        traces, layout = views[place - 1].args
        assert drawn(page, "hull-plot", "plot.data.map((trace) => [...trace.y])") == traces["y"]
        assert drawn(page, "hull-plot", "[...plot.layout.yaxis.range]") == layout["yaxis.range"]
        assert drawn(page, "hull-plot", "plot.layout.yaxis.title.text") == layout["yaxis.title.text"]
    click(page, "#energies-switch button:nth-child(2)")
    assert set(drawn(page, "energies-plot", "plot.data.filter((one) => one.visible).map((one) => one.type)")) <= {
        "scatter",
        None,
    }
    assert page.get_log("browser") == []


def test_the_theme_changes_the_colours_of_plots_and_keeps_the_view(browser, own_run):
    page = opened(browser, build_report(own_run))
    ink = {}
    click(page, "#hull-switch button:nth-child(3)")
    for _ in range(2):
        paper = page.execute_script("return getComputedStyle(document.body).backgroundColor")
        theme = "light" if paper == "rgb(251, 251, 250)" else "dark"
        ink[theme] = drawn(page, "hull-plot", "[plot.data[1].line.color, plot.data.at(-1).marker.color]")
        assert "above hull" in page.execute_script(
            "return document.querySelector('#hull-switch [aria-pressed=true]').textContent"
        )
        click(page, "#theme")
    assert ink == {name: [getattr(PALETTE[one], name) for one in ("ink", "new")] for name in ("light", "dark")}


def test_bands_are_chosen_by_candidate(browser, own_run, rewrite):
    best = [row["sample"] for row in RunDirectory.open(own_run).new[:2]]
    bands = {"distances": [[0, 1]], "frequencies": [[[0.0, 1.0], [2.0, 3.0]]], "labels": [["GAMMA", "X"]]}
    spectrum = {"state": "computed", "bands": bands, "density": {"frequencies": [0, 2], "states": [0.0, 1.0]}}
    crystals = [{"sample": name, **spectrum} for name in best]
    crystals[1] = crystals[1] | {"bands": bands | {"frequencies": [[[-1.0], [2.0]]]}}
    (own_run / "phonons.json").write_text(json.dumps({"crystals": crystals}))
    columns = {"phonon_evaluations": 3, "dynamically_stable": True, "lowest_frequency": 0.0, "lowest_interpolated": 0.0}
    rewrite(own_run, lambda row: row | (columns if row["sample"] in best else {}))
    page = opened(browser, build_report(own_run))
    assert drawn(page, "phonons-plot", "[...plot.data[0].y]") == [0, 2, None, 1, 3]
    click(page, "#phonons-switch button:nth-child(2)")
    assert drawn(page, "phonons-plot", "[...plot.data[0].y]") == [-1, 2]
    assert page.get_log("browser") == []


def test_the_plots_of_two_thousand_candidates_take_little_of_the_page(own_run):
    rows = rows_of(read_part(own_run / "candidates.parquet"))
    relaxed = [row for row in rows if row["relaxed_id"]]
    many = [relaxed[place % len(relaxed)] | {"sample": f"r0-slerp-{place:06d}"} for place in range(2000)]
    write_table(own_run / "candidates.parquet", table_part(many))
    page = build_report(own_run).read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    sizes = {plot["id"]: len(json.dumps(plot, separators=(",", ":"))) for plot in data["plots"]}
    assert len(data["candidates"]) == 2000 and sum(sizes.values()) < 700_000, sizes
