# The few targets everybody runs. They need Python 3.11 or later and make; `make test` needs bubblewrap, too.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help venv kubo bubblewrap test check check-format check-lint check-types check-layers demo bench mutants vectors clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

venv: $(STAMP)  ## make the environment (at once where it is up to date)

# The versions are those of constraints/dev.txt, the build tool's included, so no build environment is fetched.
$(STAMP): pyproject.toml constraints/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or later is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: this Python makes no virtual environments (ensurepip is missing)." >&2; \
	  echo "On Debian or Ubuntu: apt-get install python3-venv; or name another: make PYTHON=... $(MAKECMDGOALS)" >&2; \
	  exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  echo "making $(VENV) (about a minute)" >&2; $(PYTHON) -m venv --clear $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints/dev.txt setuptools
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints/dev.txt \
	  --no-build-isolation --editable '.[test,dev,bench]'
	@touch $@

# Tests run real nodes. Found at once where Kubo is installed or was built; else built, once (about five minutes).
kubo: venv  ## find or build Kubo, the IPFS node that the tests and the demo run
	@$(BIN)/python -m cli ipfs install >/dev/null

bubblewrap:
	@command -v bwrap >/dev/null || { echo "error: the tests run real sandboxes, and bubblewrap (bwrap) is missing." >&2; \
	  echo "On Debian or Ubuntu: apt-get install bubblewrap" >&2; exit 1; }

test: venv kubo bubblewrap  ## run all tests, one process for each core (PYTEST_ARGS='-k name' for some)
	@$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal $(PYTEST_ARGS)

check: venv  ## format, lint, types and layers, side by side
	@$(MAKE) --no-print-directory --jobs=4 --output-sync=target --keep-going \
	  check-format check-lint check-types check-layers

check-format: venv
	@$(BIN)/ruff format --check --quiet . || { echo "format: run $(BIN)/ruff format ." >&2; exit 1; }
	@echo "format: ok"

check-lint: venv
	@$(BIN)/ruff check --quiet .
	@echo "lint: ok"

check-types: venv
	@$(BIN)/mypy --no-error-summary
	@echo "types: ok"

check-layers: venv
	@$(BIN)/lint-imports --no-cache > $(VENV)/layers.log 2>&1 || { cat $(VENV)/layers.log; \
	  echo "layers: broken; where no contract is named above, ask $(BIN)/lint-imports --debug" >&2; exit 1; }
	@echo "layers: ok"

demo: venv  ## the main job: three peers without a server run this project's own checks; two more over IPFS
	@$(BIN)/python -m demo.main_job

bench: venv  ## print the ratios of benchmarks/README.md
	@$(BIN)/python benchmarks/run.py

mutants: venv  ## remove each rule in turn; the test named for it must fail
	@$(BIN)/python tests/mutation/rules.py

vectors: venv  ## write the test vectors again; they must not change
	@$(BIN)/python tests/vectors/generate.py

clean:  ## remove the environment and everything that was made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .ci/logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
