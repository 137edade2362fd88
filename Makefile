# Everything sets itself up: `make campaign` and `make test` are all that a fresh machine needs.
PYTHON ?= python3
PYTHON312 ?= python3.12
VENV   ?= .venv
BIN     = $(VENV)/bin
STAMP   = $(VENV)/installed
CAMPAIGN ?= workflows/campaigns/vanadium-oxides.yaml

# relaxations run one process a core, each with one thread
export OMP_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1

.PHONY: help install campaign pretrain pretrain-large test test-slurm lint docs browser slurm test-torchsim test-peers package clean

help:
	@echo "make campaign   run the vanadium-oxide campaign, from installation to report"
	@echo "make test       lint, type checks, import rules and tests"
	@echo "make docs       build the documentation site into site/"
	@echo "make test-peers the suites of FireWorks and maggma against the embedded LaunchPad"
	@echo "make test-slurm campaigns under FireWorks on a private SLURM of this machine, with kills and walltimes"
	@echo "make pretrain DATA=FILE  train networks for any chemical system, from crystals of many; pretrain-large: for a GPU"
	@echo "make package    wheel and sdist, checked, and the campaign run by the wheel in an empty environment"
	@echo "make clean      remove the environment and caches (runs/ stays)"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, $(PYTHON) is older. Try: make PYTHON=python3.12 ..."; exit 1; }
	@# chgnet has no wheels for newer Pythons, and then needs a C compiler
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || command -v cc >/dev/null || \
	  { echo "With Python 3.13 or newer a C compiler is needed. Install gcc, or: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@# torch first and alone, so that nothing else pulls another build of it
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

campaign: $(STAMP)
	$(BIN)/imatgen check $(CAMPAIGN)
	$(BIN)/imatgen plan $(CAMPAIGN)
	$(BIN)/imatgen run $(CAMPAIGN) --resume

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy imatgen_flows
	$(BIN)/lint-imports
	$(BIN)/codespell imatgen_flows tests docs notebook workflows benchmarks README.md CHANGELOG.md CONTRIBUTING.md

# every warning is an error; the variable silences an advertisement of the theme
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# the report is tested in a real browser
browser:
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null; } \
	    || echo "chromium could not be installed: the browser tests of the report will be skipped."; \
	else echo "chromium and chromium-driver are missing: the browser tests of the report will be skipped."; fi

# networks for any system from crystals of many, for hours: make pretrain DATA=crystals.jsonl.gz LICENCE="..."
pretrain pretrain-large: $(STAMP)
	@test -n "$(DATA)" || { echo "make $@ DATA=FILE: name a file of crystals, one JSON object a line."; exit 1; }
	$(BIN)/imatgen models pretrain "$(DATA)" --preset $(@:pretrain%=pretrained%) --out runs/$(@:pretrain%=pretrained%) --licence "$(LICENCE)"

test: $(STAMP) browser lint
	$(BIN)/slipcover --json --out .coverage.json -m pytest -m "not slurm" -n 2 --dist loadfile --durations=30
	@# with a floor, the first command would print the lines that its own process ran, and leave out the workers'
	$(BIN)/slipcover --merge .coverage.json --out .coverage.json --fail-under 85

# daemons of its own, on loopback: a SLURM that this machine may have is not touched
slurm:
	@if PATH="$$PATH:/usr/sbin" && command -v slurmctld && command -v slurmd && command -v sbatch && command -v munged; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge; \
	else echo "slurm-wlm and munge are missing, and only root can install them: sudo apt-get install slurm-wlm munge" >&2; exit 1; \
	fi >/dev/null

# two processes, each with a SLURM of its own: while one waits for its queue, the other computes
test-slurm: $(STAMP) slurm
	DEMAND_SLURM=1 $(BIN)/pytest tests/integration -m slurm -n 2 --dist loadfile -p no:cacheprovider --durations=10

# batched relaxation needs Python 3.12, and there the build of torch with CUDA: 6 GB
.venv-torchsim/installed: pyproject.toml constraints.txt
	$(PYTHON312) -m venv .venv-torchsim
	.venv-torchsim/bin/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	.venv-torchsim/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,torchsim]'
	@touch $@

test-torchsim: .venv-torchsim/installed
	.venv-torchsim/bin/python -m pytest tests/energetics/test_batched.py -s -p no:cacheprovider

# the wheel goes into an environment of its own, and runs where no clone is in sight
package: $(STAMP)
	rm -rf build dist .venv-package
	$(BIN)/python -m pip install --quiet --constraint constraints.txt build twine
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv .venv-package
	.venv-package/bin/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	.venv-package/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl
	.ci/try-wheel .venv-package

# the suites of FireWorks and maggma against the embedded LaunchPad
test-peers: $(STAMP)
	.ci/test-peers .peers $(BIN)/python FireWorks maggma

clean:
	rm -rf $(VENV) .peers .venv-torchsim .venv-package build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
