"""The dialog of one candidate, its files and its keys, in a real browser."""

from __future__ import annotations

import base64
import io
import json
import time
import zipfile
from pathlib import Path

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from imatgen_flows.candidates.table import read_part, rows_of, table_part, write_table
from imatgen_flows.report import RunDirectory, build_report


@pytest.fixture(scope="module")
def report(shared_run):
    return build_report(shared_run)


@pytest.fixture
def page(browser, report, web):
    return web.open(browser, report)


def _atoms(page):
    return int(page.execute_script("return document.querySelector('.viewer').dataset.atoms"))


def test_a_row_opens_its_crystal_in_three_dimensions_with_supercell_polyhedra_and_axes(page, shared_run, web):
    row = RunDirectory.open(shared_run).relaxed[0]
    web.click(page, f"#table tr[data-sample='{row['sample']}']")
    dialog = web.all(page, "dialog[open]")[0]
    assert row["id"] in dialog.text and row["relaxed_id"] in dialog.text and "eV/atom" in dialog.text
    web.wait(lambda: page.execute_script("return Boolean(document.querySelector('.viewer')?.dataset.atoms)"))
    one = _atoms(page)
    assert one >= row["nsites"]
    web.click(page, ".switches button:nth-child(2)")
    assert 4 * row["nsites"] < _atoms(page) < 8 * one  # shared faces count once
    web.click(page, ".switches button:nth-child(1)")
    pressed = [button.get_attribute("aria-pressed") for button in web.all(page, ".switches button[aria-pressed]")]
    assert pressed == ["false", "true", "true"]
    assert len(web.all(page, "#powder-plot .scatterlayer .trace")) == 2
    web.click(page, "dialog .close")
    assert not web.all(page, "dialog[open]")
    assert web.faults(page) == []


def test_keys_open_turn_and_close_a_crystal(page, web):
    from selenium.webdriver import ActionChains, Keys

    page.execute_script("document.querySelector('#table tbody button.open').focus()")
    ActionChains(page).send_keys(Keys.ENTER).perform()
    web.wait(lambda: page.execute_script("return Boolean(document.querySelector('.viewer')?.dataset.atoms)"))
    page.execute_script("document.querySelector('.viewer').focus()")
    script = "return JSON.stringify(document.querySelector('.viewer').view())"
    before = page.execute_script(script)
    ActionChains(page).send_keys(Keys.ARROW_LEFT).perform()
    turned = page.execute_script(script)
    ActionChains(page).send_keys("+").perform()
    assert len({before, turned, page.execute_script(script)}) == 3
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert not web.all(page, "dialog[open]")


def test_without_webgl_the_still_drawing_turns_and_the_page_says_so(browser, report, web):
    from selenium.webdriver import ActionChains

    none = """const known = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
          return kind.startsWith("webgl") ? null : known.call(this, kind, ...more); }"""
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": none})["identifier"]
    try:
        page = web.open(browser, report)
        web.click(page, "#cards .card .more")
        assert "This browser shows no WebGL" in web.all(page, "#detail-drawing")[0].text
        drawing = web.all(page, "dialog svg.crystal")[0]
        before = drawing.get_attribute("innerHTML")
        ActionChains(page).drag_and_drop_by_offset(drawing, 60, 25).perform()
        after = drawing.get_attribute("innerHTML")
        assert before.count("<circle") == after.count("<circle") > 0 and before != after
        assert web.faults(page) == []
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": script})


def test_all_that_a_filter_shows_is_saved_as_one_archive_of_the_same_crystals(page, shared_run, web):
    run = RunDirectory.open(shared_run)
    for other in ("substituted", "known"):
        web.click(page, f"#filter-novelty input[value={other}]")
    web.click(page, "#save-zip")
    path = page.downloads / "candidates.zip"
    web.wait(path.is_file)
    archive = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    assert archive.testzip() is None
    new = [row for row in run.relaxed if row["novelty"] == "new"]
    names = archive.namelist()
    assert len(names) == 2 * len(new) + 1 and len(archive.read("candidates.csv").splitlines()) == len(new) + 1
    for row in new:
        relaxed = Structure.from_str(run.cif(row), fmt="cif")
        for ending, form, exact in ((".cif", "cif", False), (".POSCAR", "poscar", True)):
            name = next(name for name in names if row["relaxed_id"][:8] in name and name.endswith(ending))
            kept = Structure.from_str(archive.read(name).decode(), fmt=form)
            tolerance = {"ltol": 1e-3, "stol": 1e-3, "angle_tol": 0.1} if exact else {}
            assert StructureMatcher(scale=False, **tolerance).fit(kept, relaxed), name


def test_what_did_not_decode_cleanly_is_said_in_table_card_dialog_and_headline(
    browser, own_run, rewrite, monkeypatch, web
):
    monkeypatch.setattr("imatgen_flows.report.html.draw_figures", lambda run: [])
    worst = RunDirectory.open(own_run).new[0]["sample"]
    faults = {"clean": False, "repaired": 1, "repaired_atoms": ["O5 (1.13 A from O2)"], "min_distance": 1.13}
    rewrite(own_run, lambda row: row | (faults if row["sample"] == worst else {"clean": True}))
    page = web.open(browser, build_report(own_run))
    says = "Not a clean decode: repair removed 1 atom"
    assert [says in card.text for card in web.all(page, "#cards .card")] == [True] + [False] * 9
    new = len(RunDirectory.open(own_run).new)
    assert f"{new - 1}\nnew and decoded cleanly" in web.all(page, "#headline")[0].text
    web.click(page, f"#table tr[data-sample='{worst}']")
    dialog = web.all(page, "dialog[open]")[0].text
    assert f"{says}: O5 (1.13 A from O2)" in dialog and "1.130 Å" in dialog and "… as relaxed" in dialog
    web.click(page, "dialog .close")
    assert "1 removed" in web.all(page, f"#table tr[data-sample='{worst}']")[0].text
    filters = web.all(page, "#filter-evidence label")
    assert "decoded cleanly 29" in " ".join(label.text for label in filters)


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(page, dark, web):
    axe = pytest.importorskip("axe_core_python")
    source = next(Path(axe.__file__).parent.rglob("axe.min.js")).read_text(encoding="utf-8")
    if dark:
        web.click(page, "#theme")
    page.execute_script(source)
    page.set_script_timeout(120)
    web.click(page, "#terms summary")
    for opened in (False, True):
        if opened:
            web.click(page, "#cards .card .more")
        found = page.execute_async_script("axe.run().then(arguments[0])")
        assert len(found["passes"]) > 15
        serious = [fault for fault in found["violations"] if fault["impact"] in ("serious", "critical")]
        assert not serious, json.dumps([[fault["id"], fault["nodes"][0]["html"]] for fault in serious])


def test_the_page_prints_whole_with_its_table(page, web):
    printed = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    content = base64.b64decode(printed["data"])
    assert content.startswith(b"%PDF") and content.count(b"/Type /Page\n") >= 4
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        hidden = "return [...document.querySelectorAll('nav, .filters, #theme')].every(e => !e.offsetParent)"
        assert page.execute_script(hidden) and web.all(page, "#table tbody tr")[0].is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_every_term_of_the_table_is_explained(page, web):
    explained = {node.get_attribute("textContent") for node in web.all(page, "#terms dt")}
    assert {"E_hull", "Novelty", "Clean", "Shortlisted", "New", "Reached by substitution", "Interpolation"} <= explained
    titles = [head.get_attribute("title") for head in web.all(page, "#table thead th button")]
    assert len(titles) > 8 and all(titles)


def test_two_thousand_candidates_make_a_page_of_ten_megabytes_that_opens_in_seconds(browser, own_run, monkeypatch, web):
    monkeypatch.setattr("imatgen_flows.report.html.draw_figures", lambda run: [])
    path = own_run / "candidates.parquet"
    rows = rows_of(read_part(path))
    relaxed = [row for row in rows if row["relaxed_id"]]
    more = [relaxed[place % 30] | {"sample": f"r0-slerp-{1000 + place:06d}"} for place in range(1970)]
    write_table(path, table_part([*rows, *more]))
    report = build_report(own_run)
    assert report.stat().st_size < 10e6
    start = time.monotonic()
    page = web.open(browser, report)
    assert time.monotonic() - start < 20  # 3 s alone on a core; tests share theirs
    assert web.all(page, "#shown")[0].text == "2000 of 2000 candidates."
