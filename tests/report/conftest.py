"""Synthetic finished runs: plausible oxides, invented energies."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from imatgen_flows.candidates.table import join, read_part, rows_of, table_part, write_table

SCALE = "chgnet 0.3.0"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
# space group, cell, and coordinates of the sites of A (cation) and X (anion)
SHAPES = {
    "rocksalt": (225, (4.10,) * 3 + (90,) * 3, [[0, 0, 0]], [[0.5, 0.5, 0.5]]),
    "wurtzite": (186, (3.2, 3.2, 5.2, 90, 90, 120), [[1 / 3, 2 / 3, 0]], [[1 / 3, 2 / 3, 0.38]]),
    "corundum": (167, (4.95, 4.95, 14.0, 90, 90, 120), [[0, 0, 0.3463]], [[0.3118, 0, 0.25]]),
    "rutile": (136, (4.55, 4.55, 2.85, 90, 90, 90), [[0, 0, 0]], [[0.3, 0.3, 0]]),
    "fluorite": (225, (4.9,) * 3 + (90,) * 3, [[0, 0, 0]], [[0.25, 0.25, 0.25]]),
    "anatase": (141, (3.78, 3.78, 9.51, 90, 90, 90), [[0, 0, 0]], [[0, 0, 0.2081]]),
    "shcherbinaite": (
        "Pmmn:2",
        (11.512, 3.564, 4.368, 90, 90, 90),
        [[0.10118, 0.25, 0.8917]],
        [[0.1043, 0.25, 0.531], [-0.0689, 0.25, 0.003], [0.25, 0.25, 0.001]],
    ),
}
FUNNEL = (  # how many of 120 samples leave where, and why; the other 30 are relaxed
    (26, "decode", "no_cell", "the fit of the metric tensor is not positive definite"),
    (14, "decode", "atom_count", "mass 7.4 atoms, 6 peaks"),
    (19, "validity", "charge_balance", "VO3 cannot be neutral with known oxidation states of its elements"),
    (8, "validity", "minimum_distance", "0.41 A between V1 and V3, limit 0.50 A"),
    (17, "uniqueness", "duplicate", "equals r0-slerp-000003"),
    (4, "screen", "not_converged", "fmax 0.21 eV/A after 500 steps, limit 0.05"),
    (2, "screen", "diverged", "volume grew 3.4 times, limit 3"),
)


def _crystals(system):
    """Ordered conventional cells to vary."""
    from pymatgen.core import Lattice, Structure

    if len(system) == 2:
        for group, cell, cations, anions in SHAPES.values():
            species = [system[0]] * len(cations) + [system[1]] * len(anions)
            yield Structure.from_spacegroup(group, Lattice.from_parameters(*cell), species, cations + anions)
    else:
        a, b, x = system
        for edge in (3.9, 4.0, 4.1):
            yield Structure.from_spacegroup(
                221, Lattice.cubic(edge), [a, b, x], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
            )


def _hull(x):
    return float(np.interp(x, [0, 0.5, 0.6, 2 / 3, 5 / 7, 1], [0, -2.05, -2.42, -2.38, -2.27, 0]))


def _references(system):
    first, last = system[0], system[-1]
    names = [(first, 0.0), (f"{first}{last}", 0.5), (f"{first}2{last}3", 0.6), (f"{first}{last}2", 2 / 3)]
    names += [(f"{first}2{last}5", 5 / 7), (last, 1.0)]
    rows = [
        {
            "name": name,
            "formula": name,
            "fractions": {first: 1 - x, last: x},
            "formation_energy": _hull(x),
            "e_above_hull": 0.0,
            "source": "invented for a test",
            "kind": "element" if x in (0, 1) else "compound",
        }
        for name, x in names
    ]
    extra = {**rows[3], "name": f"{first}{last}2 (B)", "formation_energy": _hull(2 / 3) + 0.05, "e_above_hull": 0.05}
    return [*rows, extra]


def write_run(path: Path, system=("V", "O"), novelties=("new", "substituted", "new", "known"), seed=0) -> Path:
    """Write a run directory of 120 samples, 30 of them relaxed, with invented energies."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    rng = np.random.default_rng(seed)
    shapes = [structure.get_primitive_structure() for structure in _crystals(system)]
    exits = [exit_ for exit_ in FUNNEL for _ in range(exit_[0])]
    fates = [*exits, *[None] * (120 - len(exits))]
    order = rng.permutation(120)
    rows, structures, relaxed = [], {}, 0
    for number in range(120):
        sampler = ("perturb", "slerp", "slerp", "prior", "prior")[number % 5]
        parents = {"perturb": ["mp-1:Ti=V"], "slerp": ["mp-2:Mo=V,P=O", "mp-19:Fe=V"], "prior": []}[sampler]
        x, y = rng.normal(size=2) * (1.4, 0.9)
        row = {"sample": f"r0-{sampler}-{number:06d}", "round": 0, "sampler": sampler, "parents": parents, "seed": 7}
        row["prior"] = "flow" if sampler == "prior" else ""
        row |= {"latent_x": x, "latent_y": y, "residual": float(rng.uniform(0.01, 0.2)), "count_matches": True}
        row |= {"min_distance": float(rng.uniform(1.4, 2.0)), "state": "rejected"}
        fate = fates[order[number]]
        row["charge_balanced"] = None if fate and fate[1] == "decode" else not (fate and fate[2] == "charge_balance")
        if fate is not None:
            row |= dict(zip(("rejected_stage", "rejected_reason", "rejected_detail"), fate[1:], strict=True))
            row["evaluations"] = 500 if fate[1] == "screen" else 0
            if fate[1] in ("uniqueness", "screen"):  # valid, and so a crystal of some composition
                row |= {"id": _id(row["sample"]), "formula": shapes[number % len(shapes)].composition.reduced_formula}
        else:
            structure = shapes[relaxed % len(shapes)].copy()
            structure.apply_strain(rng.normal(0, 0.015, 3))
            if relaxed % 5 == 4:
                structure.perturb(0.08)
            cif = structure.to(fmt="cif")
            distance = float(rng.gamma(1.6, 0.07) - 0.02)
            fraction = structure.composition.get_atomic_fraction(system[-1])
            symbol, spacegroup = _spacegroup(SpacegroupAnalyzer(structure, symprec=0.01))
            row |= {
                "id": _id(row["sample"]),
                "relaxed_id": _id(cif),
                "formula": structure.composition.reduced_formula,
                "nsites": len(structure),
                "formation_energy": _hull(fraction) + distance,
                "energy_per_atom": -8.0 + distance,
                "e_above_hull": distance,
                "scale": SCALE,
                "spacegroup": symbol,
                "spacegroup_number": spacegroup,
                "novelty": novelties[relaxed % len(novelties)],
                "evaluations": int(rng.integers(20, 300)),
                "volume_per_atom": structure.volume / len(structure),
                "state": "shortlisted",
            }
            structures[row["relaxed_id"]] = cif
            row["steps"] = row["evaluations"] - 1
            row["novelty_match"] = {"substituted": "mp-19:Fe=V", "known": f"{system[0]}2{system[-1]}5"}.get(
                row["novelty"], ""
            )
            if distance > 0.15:
                row["state"] = "screened"
            relaxed += 1
        rows.append(row)
    (path / "structures").mkdir(parents=True)
    table = join([table_part(rows)])
    write_table(path / "candidates.parquet", table)
    for crystal, cif in structures.items():
        (path / "structures" / f"{crystal}.cif").write_text(cif)
    campaign = {"version": 2, "name": "oxides <for a test>", "system": list(system), "screen": {"threshold": 0.15}}
    (path / "campaign.yaml").write_text(yaml.safe_dump(campaign, sort_keys=False))
    for name, content in _documents(rows_of(table), system, rng).items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return path


def _id(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _spacegroup(analyzer):
    return analyzer.get_space_group_symbol(), analyzer.get_space_group_number()


def _documents(rows, system, rng):
    screened = sum(row["evaluations"] for row in rows)
    errors = rng.lognormal(-5, 1.4, 284), rng.lognormal(-2.5, 1.2, 284), rng.lognormal(-5.5, 1.3, 284)
    rmse = [None if place % 40 == 0 else float(value) for place, value in enumerate(errors[2])]
    columns = ("a", "b", "c", "alpha", "beta", "gamma", "atoms")
    summary = {
        "n": 284,
        "rmse": dict(zip(columns, (0.021, 0.023, 0.034, 0.31, 0.28, 0.33, 0.018), strict=True)),
        "median": dict(zip(columns, (0.004, 0.004, 0.006, 0.08, 0.07, 0.09, 0.005), strict=True)),
        "cells": 284,
        "cells_reconstructed": 281,
        "counts_match": 277,
        "fully_reconstructed": 275,
        "fraction_fully_reconstructed": 275 / 284,
    }
    return {
        "provenance": {
            "campaign": "0123456789abcdef",
            "name": "oxides <for a test>",
            "system": list(system),
            "seed": 7,
            "versions": {"imatgen-flows": "0.1.0", "torch": "2.13.0", "chgnet": "0.4.2", "pymatgen": "2026.10.24"},
            "started": "2026-11-23T20:00:03+00:00",
            "finished": "2026-11-23T20:21:45+00:00",
            "hardware": "2 cores, 7.8 GiB, no GPU",
            "potential": SCALE,
            "seconds": {"templates": 12.4, "labels": 96.0, "train": 611.2, "sample": 44.0, "screen": 530.9},
        },
        "ledger": {
            "samples": len(rows),
            "states": dict(Counter(row["state"] for row in rows)),
            "rejections": [{"stage": stage, "reason": reason, "count": number} for number, stage, reason, _ in FUNNEL],
            "evaluations": {"labels": 284, "references": 1312, "screen": screened},
            "evaluations_total": 1596 + screened,
        },
        "metrics": {
            "reconstruction": {
                "images": summary,
                "model": summary | {"fully_reconstructed": 270, "rmse": summary["rmse"] | {"atoms": None}},
                "errors": {
                    "length": np.outer(errors[0], (1, -0.5, 0.2)).tolist(),
                    "angle": np.outer(errors[1], (0.3, -1, 0)).tolist(),
                    "atom_rmse": rmse,
                },
            },
            "training": {
                role: {"epochs": 60, "loss": (0.5 * np.exp(-np.arange(60) / 14) + 0.01).tolist(), "seconds": seconds}
                for role, seconds in (("cell", 21.0), ("basis", 402.5), ("vae", 187.7))
            },
            "sampling": {"slerp": {"n": 48, "clean": 30}, "prior": {"n": 48, "clean": 21}},
        },
        "hull": {"elements": sorted(system), "potential": SCALE, "references": _references(system)},
        "latent": {
            "explained": [0.31, 0.17],
            "training": [
                {
                    "id": f"mp-{number}:Ti=V",
                    "x": float(x),
                    "y": float(y),
                    "stable": bool(x < 0.4),
                    "formation_energy": float(x),
                    "formula": "V2O3",
                    "known": number % 40 == 0,
                }
                for number, (x, y) in enumerate(rng.normal(size=(284, 2)) * (1.8, 1.2))
            ],
        },
    }


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """Write a synthetic run directory: make_run(system=..., novelties=...)."""
    return lambda **choices: write_run(tmp_path_factory.mktemp("runs") / "run", **choices)


@pytest.fixture(scope="session")
def shared_run(make_run):
    """One run for the tests that only read it."""
    return make_run()


@pytest.fixture
def own_run(shared_run, tmp_path):
    """Copy of the shared run, to harm."""
    kept = shutil.ignore_patterns("figures", "export", "report.html")
    return Path(shutil.copytree(shared_run, tmp_path / "run", ignore=kept))


@pytest.fixture
def rewrite():
    """Change the rows of a run's candidates: rewrite(run, change)."""

    def apply(run, change):
        path = run / "candidates.parquet"
        write_table(path, table_part([change(row) for row in rows_of(read_part(path))]))

    return apply


@pytest.fixture
def give_rounds(rewrite):
    """Spread a run's samples over rounds, and write their ledger: give_rounds(run, count)."""

    def apply(run, count):
        place = iter(range(10_000))
        rewrite(run, lambda row: row | {"round": next(place) * count // 120})
        rows = rows_of(read_part(run / "candidates.parquet"))
        ledger = json.loads((run / "ledger.json").read_text())
        spent = [
            sum(row["evaluations"] + row["validation_evaluations"] for row in rows if row["round"] == number)
            for number in range(count)
        ]
        ledger["evaluations"]["screen"] = sum(row["evaluations"] for row in rows)
        ledger["evaluations"]["validate"] = sum(row["validation_evaluations"] for row in rows)
        ledger["evaluations_total"] = sum(ledger["evaluations"].values())
        spent[0] += ledger["evaluations_total"] - sum(spent)  # labels and references
        (run / "ledger.json").write_text(json.dumps(ledger))
        gains = [{"round": number, "evaluations": spent[number]} for number in range(count)]
        (run / "rounds.json").write_text(json.dumps({"rounds": gains}))

    return apply


@pytest.fixture
def validate(rewrite):
    """Validate the shortlist of a run on a second scale: every third is refused, every other third waits."""

    def apply(run, scale="MP2020 GGA/GGA+U"):
        rng = np.random.default_rng(3)
        place = iter(range(10_000))

        def change(row):
            if row["state"] != "shortlisted" or (fate := next(place) % 3) == 2:
                return row
            row = row | {"validation_evaluations": int(rng.integers(3, 40))}
            if fate == 1:
                detail = "<b>U</b> of 0 eV on V, expected 3.25 eV"
                return (
                    row
                    | {"state": "rejected", "rejected_stage": "validate"}
                    | {
                        "rejected_reason": "wrong_u",
                        "rejected_detail": detail,
                    }
                )
            distance = row["e_above_hull"] + float(rng.normal(0, 0.05))
            cif = (run / "structures" / f"{row['relaxed_id']}.cif").read_text() + "# as DFT left it\n"
            (run / "structures" / f"{_id(cif)}.cif").write_text(cif)
            return row | {
                "state": "validated",
                "validated_id": _id(cif),
                "validated_e_above_hull": distance,
                "validated_formation_energy": 1.1 * (row["formation_energy"] - row["e_above_hull"]) + distance,
                "validated_scale": scale,
            }

        rewrite(run, change)
        campaign = yaml.safe_load((run / "campaign.yaml").read_text())
        (run / "campaign.yaml").write_text(yaml.safe_dump(campaign | {"validate": {"backend": "vasp-mp-gga"}}))

    return apply


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs Chromium: install Debian's chromium and chromium-driver to test the report in a browser")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium, of the extra `dev`")
    downloads = tmp_path_factory.mktemp("downloads")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # WebGL is computed by the processor
    webgl = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", *webgl):
        options.add_argument(argument)
    options.add_argument("--window-size=1366,768")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads), "eventsEnabled": True}
    )
    driver.downloads = downloads
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def web():
    """What tests do with a page: web.open(browser, report), web.all(page, selector) …"""
    return SimpleNamespace(open=open_page, wait=wait_for, all=all_of, click=click, saved=saved, faults=faults)


def open_page(browser, report):
    browser.get_log("browser"), browser.get_log("performance")  # what other pages left
    browser.get(report.as_uri())
    wait_for(lambda: browser.execute_script("return document.documentElement.dataset.ready") == "true")
    return browser


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the page did not get there in time"
        time.sleep(0.05)


def all_of(page, selector):
    return page.find_elements("css selector", selector)


def click(page, selector):
    page.execute_script("document.querySelector(arguments[0]).click()", selector)


def saved(page, name):
    wait_for((page.downloads / name).is_file)
    return (page.downloads / name).read_text()


def faults(browser):
    """Requests that leave the page, and messages of its scripts."""
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in sent if event["method"] == "Network.requestWillBeSent"]
    fetched = [url for url in urls if not url.startswith(("data:", "blob:", "file:"))]
    files = [url for url in urls if url.startswith("file:")]
    return fetched + files[1:] + [entry["message"] for entry in browser.get_log("browser")]
