# Every target does all its own set-up: Python 3.11+, make and the package registries are enough.
#   make demo    run the quick-start notebook and print what it made
#   make lab     open it in JupyterLab
#   make test    the tests        make check   format, lint, types, tests, slow tests
#   make bench   timings on this machine

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PYTEST := $(BIN)/python -m pytest

.PHONY: demo lab test check format bench clean

demo: $(VENV)/.demo
	@$(BIN)/python notebooks/demo.py

lab: $(VENV)/.demo
	$(BIN)/jupyter lab notebooks/01_quick_start.ipynb

test: $(VENV)/.test
	$(PYTEST) -m "not slow and not gpu"

check: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(MAKE) test
	$(PYTEST) -m "slow and not gpu"

format: $(VENV)/.check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test
	$(BIN)/python -m tests.bench

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "nbllm needs Python 3.11 or newer; set PYTHON=/path/to/it"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

# the CPU build of torch comes first, so that nothing pulls the CUDA one in; see README
$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) torch
	@command -v node >/dev/null || echo "node is missing: nbllm works without it, only the JupyterLab extension is not built"
	SKIP_JUPYTER_BUILDER=$$(command -v node >/dev/null || echo 1) $(PIP) -e ".[lab]" ipykernel nbclient
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	$(PIP) --group test
	@touch $@

$(VENV)/.check: $(VENV)/.test
	$(PIP) --group check
	@touch $@

clean:
	rm -rf $(VENV) build dist nbllm/labextension labextension/lib
