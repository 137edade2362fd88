from __future__ import annotations

import json
import re
import time
from dataclasses import replace

import pytest
from jinja2 import UndefinedError
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from imatgen_flows.errors import InputError
from imatgen_flows.report import RunDirectory, build_report, html
from imatgen_flows.report.markup import formula, render, share, spacegroup
from imatgen_flows.report.result_directory import crystal_id


@pytest.fixture(scope="module")
def report(shared_run):
    return build_report(shared_run)


@pytest.fixture
def page(browser, report, web):
    return web.open(browser, report)


def _column(page, key):
    script = """
        const heads = [...document.querySelectorAll('#table thead th')];
        const place = heads.findIndex((head) => head.dataset.key === arguments[0]);
        return [...document.querySelectorAll('#table tbody tr')].map((row) => row.cells[place].textContent);"""
    return page.execute_script(script, key)


def _numbers(texts):
    return [float(text.replace("−", "-")) for text in texts]


def test_the_page_opens_whole_fetches_nothing_and_no_script_fails(page, web):
    assert page.title == "oxides <for a test> · report"
    assert len(web.all(page, "#cards .card")) == 10
    assert len(web.all(page, "#polymorphs .card")) == 4
    assert len(web.all(page, ".js-plotly-plot .main-svg")) >= 3
    assert len(web.all(page, "#hull-plot .scatterlayer .trace")) >= 5
    for selector in ("#theme", "#hull-switch button:nth-child(2)", "#hull-switch button:nth-child(3)", "#theme"):
        web.click(page, selector)
        assert "undefined" not in web.all(page, "body")[0].text + web.all(page, "#hull-plot")[0].text
    assert web.faults(page) == []


@pytest.mark.parametrize("width", [400, 768, 1300])
def test_the_page_is_read_without_scrolling_sideways(page, width, web):
    before = page.get_window_size()
    page.set_window_size(width, 900)
    try:
        web.wait(lambda: page.execute_script("return innerWidth") <= max(width, 500))
        time.sleep(0.5)  # the plots follow the window
        wide, inner = page.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        script = """
            const far = e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, svg, dialog, nav');
            return [...document.querySelectorAll('body *')].filter(far).map(e => e.outerHTML.slice(0, 60)).slice(0, 8)"""
        assert wide <= inner, page.execute_script(script)
    finally:
        page.set_window_size(before["width"], before["height"])


def test_a_click_on_a_heading_sorts_and_a_second_one_turns_round(page, web):
    energies = _numbers(_column(page, "e_above_hull"))
    assert energies == sorted(energies)
    web.click(page, "th[data-key=volume_per_atom] button")
    volumes = _numbers(_column(page, "volume_per_atom"))
    assert volumes == sorted(volumes)
    web.click(page, "th[data-key=volume_per_atom] button")
    assert _numbers(_column(page, "volume_per_atom")) == volumes[::-1]
    assert page.execute_script("return document.querySelector('th[aria-sort]').dataset.key") == "volume_per_atom"


def test_filters_show_what_they_name_and_count_it(page, shared_run, web):
    rows = RunDirectory.open(shared_run).relaxed
    text, limit = web.all(page, "#filter-text")[0], web.all(page, "#filter-hull")[0]
    text.send_keys("V2O5 slerp")
    assert set(_column(page, "formula")) == {"V2O5"}
    assert set(_column(page, "sampler")) == {"Interpolation"}
    text.clear()
    limit.send_keys("0.05")
    assert len(_column(page, "relaxed_id")) == sum(row["e_above_hull"] <= 0.05 for row in rows)
    limit.clear()
    for other in ("substituted", "known"):
        web.click(page, f"#filter-novelty input[value={other}]")
    assert _column(page, "relaxed_id") == [row["relaxed_id"] for row in rows if row["novelty"] == "new"]
    assert web.all(page, "#shown")[0].text == f"15 of {len(rows)} candidates."


def test_each_best_structure_and_the_table_can_be_saved(page, shared_run, web):
    run = RunDirectory.open(shared_run)
    cards = {card.get_attribute("data-sample"): card.text for card in web.all(page, "#cards .card")}
    assert list(cards) == [row["sample"] for row in run.new[:10]]
    assert all(row["relaxed_id"] in cards[row["sample"]] for row in run.new[:10])
    best = run.new[0]
    web.click(page, "#cards .card .cif")
    name = f"{best['formula']}_{best['spacegroup'].replace('/', '')}_{best['relaxed_id'][:8]}.cif"
    kept = Structure.from_str(web.saved(page, name), fmt="cif")
    assert kept.get_space_group_info(symprec=1e-3)[1] == best["spacegroup_number"]
    assert StructureMatcher().fit(kept, Structure.from_str(run.cif(best), fmt="cif"))
    web.click(page, "#save-csv")
    assert len(web.saved(page, "candidates.csv").splitlines()) == 31
    assert web.faults(page) == []


def test_the_theme_button_changes_paper_and_ink(page, web):
    def paper():
        return page.execute_script("return getComputedStyle(document.body).backgroundColor")

    before = paper()
    web.click(page, "#theme")
    assert paper() != before
    web.click(page, "#theme")
    assert paper() == before


def test_a_ternary_run_opens_as_well(browser, make_run, monkeypatch, web):
    monkeypatch.setattr("imatgen_flows.report.html.draw_figures", lambda run: [])  # has its own tests
    page = web.open(browser, build_report(make_run(system=("Ca", "Ti", "O"), novelties=("new", "duplicate"))))
    assert len(web.all(page, "#cards .card")) == 10
    assert len(_column(page, "relaxed_id")) == 30
    assert [button.text for button in web.all(page, "#hull-switch button")] == ["Triangle", "Energy above hull"]
    assert web.all(page, "#hull-plot .ternary") and not web.all(page, "#hull-plot .xaxislayer-above text")
    web.click(page, "#hull-switch button:last-child")
    assert not web.all(page, "#hull-plot .ternary .point") and web.all(page, "#hull-plot .xaxislayer-above text")
    assert web.faults(page) == []


def test_a_run_without_a_new_candidate_says_so(browser, own_run, rewrite, monkeypatch, web):
    monkeypatch.setattr("imatgen_flows.report.html.draw_figures", lambda run: [])
    rewrite(own_run, lambda row: row | {"novelty": "known" if row["novelty"] else ""})
    page = web.open(browser, build_report(own_run))
    assert not web.all(page, "#cards .card")
    assert "no new structure" in web.all(page, "#best-caption")[0].text
    assert len(_column(page, "relaxed_id")) == 30
    assert web.faults(page) == []


def test_a_run_without_a_single_relaxed_candidate_opens_as_well(browser, own_run, rewrite, web):
    fate = {"state": "rejected", "rejected_stage": "screen", "rejected_reason": "crashed", "e_above_hull": None}
    rewrite(own_run, lambda row: row if row["e_above_hull"] is None else row | fate)
    (own_run / "metrics.json").write_text("{}")
    ledger = {"samples": 120, "states": {"rejected": 120}, "rejections": [], "evaluations": {}}
    (own_run / "ledger.json").write_text(json.dumps(ledger))
    page = web.open(browser, build_report(own_run))
    assert "120 samples gave 0 relaxed candidates" in web.all(page, ".lead")[0].text
    assert "crashed 30" in web.all(page, "#funnel")[0].text
    assert web.all(page, "#shown")[0].text == "0 of 0 candidates."
    assert web.faults(page) == []


@pytest.mark.parametrize(
    ("choice", "says"), [("reject", "They were rejected."), ("flag", "They were kept; the"), ("none", None)]
)
def test_the_report_counts_what_is_not_charge_balanced_and_says_what_followed(shared_run, choice, says):
    run = RunDirectory.open(shared_run)
    section = html._funnel(replace(run, campaign={**run.campaign, "validity": {"charge": choice}}))
    assert ("19 of 80 crystals are not charge balanced" in section) == (says is not None)
    assert says is None or says in section


def test_without_a_published_compound_nothing_is_said_to_lie_below_the_hull(own_run, rewrite):
    rewrite(own_run, lambda row: row if row["e_above_hull"] is None else row | {"e_above_hull": -0.029})
    before = header_of(own_run)
    assert re.search(r"below\s+the hull", before) and "The hull rests on 5 published compounds." in before
    hull = json.loads((own_run / "hull.json").read_text())
    for phase in hull["references"]:
        phase["kind"] = "element" if phase["kind"] == "element" else "substituted"
    (own_run / "hull.json").write_text(json.dumps(hull))
    after = header_of(own_run)
    assert not re.search(r"below\s+the hull", after) and "−0.029 eV/atom" in after
    assert "No published compound is on the hull" in after and "nothing can be said to lie below it" in after


def header_of(run):
    return " ".join(str(html._header(RunDirectory.open(run))).split())


def test_a_run_without_a_shortlist_says_why_in_its_banner(own_run, rewrite):
    rewrite(own_run, lambda row: row | {"e_above_hull": None})
    rejections = [{"stage": "screen", "reason": "not_converged", "count": 120}]
    ledger = {"samples": 120, "states": {"rejected": 120}, "rejections": rejections, "evaluations": {}}
    (own_run / "ledger.json").write_text(json.dumps(ledger))
    header = header_of(own_run)
    assert "no result: none of 120 new samples could be relaxed" in header and "None of them is new" not in header


def test_references_that_failed_are_lines_below_the_plot_of_the_hull(own_run):
    hull = json.loads((own_run / "hull.json").read_text())
    failed = [{"name": "S beta", "formula": "S", "kind": "element", "reason": "not_converged"}]
    (own_run / "hull.json").write_text(json.dumps({**hull, "failed": failed}))
    run = RunDirectory.open(own_run)
    section = html.hull_section(run, funnel=True)
    assert "<td>S beta</td>" in section and "not converged" in section
    assert "S beta" not in html._header(run)


def test_sections_are_there_for_what_the_run_has_and_for_nothing_else(report):
    page = report.read_text()
    always = {
        "headline",
        "funnel",
        "hull",
        "best",
        "candidates",
        "latent",
        "reconstruction",
        "evidence",
        "ledger",
        "terms",
        "methods",
        "provenance",
    }
    assert set(re.findall('<section id="(\\w+)"', page)) - always == {"classes", "compositions"}
    assert 'href="#rounds"' not in page


def test_rounds_and_a_second_scale_are_shown_and_no_script_fails(browser, own_run, validate, give_rounds, web):
    validate(own_run)
    give_rounds(own_run, 2)
    page = web.open(browser, build_report(own_run))
    run = RunDirectory.open(own_run)
    plotted = (
        "return document.getElementById(arguments[0]).data.filter(t => t.mode.includes('markers')).map(t => [...t.y])"
    )
    assert page.execute_script(plotted, "rounds-plot")[-1][-1] == sum(row["e_above_hull"] <= 0.1 for row in run.new)
    for place, column in ((1, "formation_energy"), (2, "validated_formation_energy")):
        web.click(page, f"#compositions-switch button:nth-child({place})")
        shown = [y for trace in page.execute_script(plotted, "compositions-plot") for y in trace]
        energies = [row[column] for row in run.new if row[column] is not None]
        phases = [ref["formation_energy"] for ref in run.hull["references"] if 0.5 <= ref["fractions"]["O"] < 1]
        assert sorted(shown) == pytest.approx(sorted(energies + (phases if place == 1 else [])))
        title = page.execute_script("return document.getElementById('compositions-plot').layout.yaxis.title.text")
        assert ("CHGNet 0.3.0", "MP2020 GGA/GGA+U")[place - 1] in title
    for card in web.all(page, "#polymorphs .card"):
        row = next(row for row in run.new if row["sample"] == card.get_attribute("data-sample"))
        assert crystal_id(row) in card.text
        assert f"{row['e_above_hull']:.3f} eV/atom" in card.text.replace("−", "-")
        assert ("by MP2020 GGA/GGA+U" in card.text) == (row["validated_e_above_hull"] is not None)
    validated = web.all(page, ".validated tr[data-sample]")
    assert len(validated) == sum(row["state"] == "validated" for row in run.rows())
    page.execute_script("arguments[0].click()", validated[0])
    assert "MP2020 GGA/GGA+U" in web.all(page, "dialog[open]")[0].text
    assert {link.get_attribute("href").split("#")[1] for link in web.all(page, "nav a")} >= {"rounds", "validation"}
    assert web.faults(page) == []


def test_the_file_holds_no_address_to_load_from(report):
    page = report.read_text()
    assert "default-src 'none'" in page
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", markup)
    assert "<for a test>" not in markup


def test_a_structure_that_cannot_be_drawn_or_read_costs_its_drawing_only(own_run):
    faulty, absent = (own_run / "structures" / f"{row['relaxed_id']}.cif" for row in RunDirectory.open(own_run).new[:2])
    faulty.write_text("no crystal")
    absent.unlink()
    page = build_report(own_run).read_text()
    assert page.count("This structure cannot be drawn") == 2
    assert f"This structure cannot be drawn: {absent}: cannot be read: No such file" in page


def test_a_card_without_its_structure_says_so_and_offers_no_file(browser, own_run, monkeypatch, web):
    monkeypatch.setattr("imatgen_flows.report.html.draw_figures", lambda run: [])
    best = RunDirectory.open(own_run).new[0]
    (own_run / "structures" / f"{best['relaxed_id']}.cif").unlink()
    page = web.open(browser, build_report(own_run))
    card, other = web.all(page, "#cards .card")[:2]
    assert f"{best['relaxed_id']}.cif: cannot be read" in card.text
    assert not card.find_element("css selector", ".cif").is_enabled()
    assert other.find_element("css selector", ".cif").is_enabled()
    assert web.faults(page) == []


def test_candidates_of_one_crystal_are_told_apart(browser, own_run, rewrite, monkeypatch, web):
    monkeypatch.setattr("imatgen_flows.report.html.draw_figures", lambda run: [])
    first = RunDirectory.open(own_run).new[0]
    same = {"id": first["id"], "relaxed_id": first["relaxed_id"]}
    rewrite(own_run, lambda row: row | (same if row["relaxed_id"] else {}))
    page = web.open(browser, build_report(own_run))
    for row in RunDirectory.open(own_run).relaxed[:3]:
        web.click(page, f"#table tr[data-sample='{row['sample']}']")
        assert row["sample"] in web.all(page, "dialog[open]")[0].text
        web.click(page, "dialog .close")
    assert web.faults(page) == []


def test_a_map_of_many_samples_shows_some_of_them_and_says_how_many(browser, own_run, monkeypatch, web):
    monkeypatch.setattr("imatgen_flows.report.html.draw_figures", lambda run: [])
    monkeypatch.setattr("imatgen_flows.report.run_directory.MAPPED", 40)
    page = web.open(browser, build_report(own_run))
    assert "Shown are 40 of its 120 samples" in " ".join(web.all(page, "#latent .caption")[0].text.split())
    names = page.execute_script("return document.getElementById('latent-plot').data.map((trace) => trace.name)")
    shown = page.execute_script("return document.getElementById('latent-plot').data.map((trace) => trace.x.length)")
    samplers = RunDirectory.open(own_run).samplers
    assert sum(shown[-len(samplers) :]) == 40
    assert "Interpolation" in " ".join(names)
    assert web.faults(page) == []


def test_a_report_that_cannot_be_written_is_named(own_run, monkeypatch):
    monkeypatch.setattr("imatgen_flows.report.html.draw_figures", lambda run: [])
    (own_run / "report.html").mkdir()
    with pytest.raises(InputError, match=r"report.html cannot be written"):
        build_report(own_run)


def test_formulas_and_space_groups_are_written_with_their_indices_and_escaped():
    assert formula("V2O5<") == "V<sub>2</sub>O<sub>5</sub>&lt;"
    assert spacegroup("P-12_1<") == "P<span class=over>1</span>2<sub>1</sub>&lt;"
    assert share(1, 2) == "1 &nbsp;50.0 % <small>(9.5–90.5)</small>"


def test_text_is_escaped_in_every_template_and_a_missing_value_is_no_silence(shared_run):
    run = RunDirectory.open(shared_run)
    assert "oxides &lt;for a test&gt;" in render("header", run=run, facts=[], entered="", relaxed=0, new=0, best=None)
    with pytest.raises(UndefinedError):
        render("header", run=run)
