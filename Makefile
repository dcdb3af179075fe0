# A few words for a fresh machine; all else is `snakemake`, `dissection` and `pytest` in .venv.
PYTHON ?= python3
BIN = .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: smoke test full-dry full-simulated environment

smoke: environment
	snakemake --cores all
	@echo "The report: $(CURDIR)/results/smoke/report.html"

test: environment
	pytest

# the thesis's own data and weights: what would be done, fetched and stored; offline, and nothing starts
full-dry: environment
	dissection plan --config config/full.yaml
	dissection assets --config config/full.yaml

# the full profile from download to report, with tiny files in place of the published ones; offline
full-simulated: environment
	pytest -m simulated

environment: $(BIN)/.installed

# the stamp is written last, so that an installation that was broken off is taken up again
$(BIN)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@
