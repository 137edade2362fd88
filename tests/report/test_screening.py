"""The report of a screening: the page of a run, without what only a campaign has."""

from __future__ import annotations

import json
import time

import pyarrow
import pytest

from imatgen_flows.candidates.schema import COLUMNS, FILE_COLUMNS, arrow_schema
from imatgen_flows.candidates.table import read_part, rows_of, write_part
from imatgen_flows.errors import InputError
from imatgen_flows.report.screening import build_screening_report

CAMPAIGN_ALONE = ("round", "sampler", "prior", "parents", "seed", "latent_row", "latent_x", "latent_y", "stability")
SETTINGS = {"screen": {"potential": "chgnet", "fmax": 0.05, "threshold": 0.15}, "validity": {"charge": "reject"}}


@pytest.fixture
def screening(own_run):
    """The directory of a screening, made of a synthetic run: the same crystals, as if they were read from files."""
    columns = [one for one in COLUMNS if one.name not in CAMPAIGN_ALONE and not one.name.startswith("validat")]
    rows = [
        row | {"file": "a<b>.cif", "origin": "a<b>.cif"} for row in rows_of(read_part(own_run / "candidates.parquet"))
    ]
    columns += FILE_COLUMNS
    names = [one.name for one in columns]
    table = pyarrow.Table.from_pylist(
        [{name: row[name] for name in names} for row in rows], schema=arrow_schema(columns)
    )
    write_part(own_run / "screened.parquet", table)
    inputs = {"system": ["V", "O"], "settings": SETTINGS, "known": {}, "files": {"a<b>.cif": "0123abcd"}}
    (own_run / "screening.json").write_text(json.dumps(inputs))
    record = json.loads((own_run / "provenance.json").read_text()) | {
        "meaning_of_new": "New are <those> that match none."
    }
    (own_run / "provenance.json").write_text(json.dumps(record))
    for name in ("candidates.parquet", "campaign.yaml", "latent.json", "metrics.json"):
        (own_run / name).unlink()
    return own_run


def test_the_page_has_what_a_referee_asks_for_and_nothing_of_a_campaign(screening):
    page = build_screening_report(screening).read_text()
    body = page[: page.index('<script type="application/json"')]
    for section in ("headline", "ledger", "hull", "best", "candidates", "methods", "provenance"):
        assert f'id="{section}"' in body
    for other in ("funnel", "latent", "reconstruction", "rounds", "compositions"):
        assert f'id="{other}"' not in body
    text = " ".join(body.split())
    assert "120 crystals, files that hold none included, gave 30 relaxed candidates" in text
    assert "New are &lt;those&gt; that match none." in text and "<those>" not in page
    assert "Rejected, validity: charge balance" in text and "All samples" in text
    assert "0123abcd" in text and "screen.fmax" in text and "chgnet 0.3.0" in text and "2026.10.24" in text
    assert "ltol 0.2, stol 0.3, angle_tol 5" in text and "Latent vectors" not in text and "Noh et al." not in text
    assert "a<b>.cif" not in page


def test_a_run_that_was_screened_on_is_named(screening):
    inputs = json.loads((screening / "screening.json").read_text())
    (screening / "screening.json").write_text(json.dumps(inputs | {"run": "runs/vo"}))
    assert "Screening of V–O, on runs/vo" in build_screening_report(screening).read_text()


def test_a_directory_without_a_finished_screening_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match="no finished screening, provenance, ledger, hull, screening missing"):
        build_screening_report(tmp_path)


@pytest.mark.parametrize("novelty", ["new", "known"])
def test_the_page_opens_in_a_browser_and_no_script_fails(screening, browser, novelty):
    if novelty == "known":
        table = read_part(screening / "screened.parquet")
        place = table.column_names.index("novelty")
        table = table.set_column(place, table.schema.field(place), pyarrow.array(["known"] * len(table)))
        write_part(screening / "screened.parquet", table)
    browser.get_log("browser")
    browser.get(build_screening_report(screening).as_uri())
    end = time.monotonic() + 20
    while browser.execute_script("return document.documentElement.dataset.ready") != "true":
        assert time.monotonic() < end, browser.get_log("browser")
        time.sleep(0.05)
    assert len(browser.find_elements("css selector", "#cards .card")) == (10 if novelty == "new" else 0)
    assert len(browser.find_elements("css selector", "#hull-plot .scatterlayer .trace")) >= 4
    rows = browser.find_elements("css selector", "#table tbody tr")
    assert len(rows) == 30 and "a<b>.cif" in rows[0].text
    browser.execute_script("arguments[0].click()", rows[0])
    detail = browser.find_element("css selector", "#detail").text
    assert "a<b>.cif" in detail and "Made by" not in detail and "undefined" not in detail
    for selector in ("#theme", "#hull-switch button:nth-child(3)"):
        browser.execute_script("document.querySelector(arguments[0]).click()", selector)
    assert [entry["message"] for entry in browser.get_log("browser")] == []
