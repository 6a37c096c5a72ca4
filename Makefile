# Every target does all its own set-up: Python 3.11+, make and the package registries are enough.
#   make demo    run the quick-start notebook and print what it made
#   make lab     open it in JupyterLab
#   make notebooks   execute all tutorials and save what they show
#   make docs    build the documentation site        make screenshots   take the README's pictures
#   make test    the tests        make check   format, lint, types, tests, slow tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PYTEST := $(BIN)/python -m pytest
EXTENSION := $(shell find labextension/src labextension/style labextension/schema -type f) labextension/package.json labextension/yarn.lock

.PHONY: demo lab notebooks docs screenshots test check format clean

demo: $(VENV)/.demo
	@$(BIN)/python notebooks/demo.py

lab: $(VENV)/.demo
	$(BIN)/jupyter lab $$(test "$$(id -u)" != 0 || echo --allow-root) notebooks/01_quick_start.ipynb

notebooks: $(VENV)/.demo
	@$(BIN)/python notebooks/execute.py

docs: $(VENV)/.docs
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --nitpicky -c docs . docs/_build
	@echo "docs/_build/index.html"

screenshots: $(VENV)/.test
	@$(BIN)/python docs/screenshots.py

test: $(VENV)/.test
	$(PYTEST) -m "not slow and not gpu"

check: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	@if command -v node >/dev/null; then cd labextension && PATH=$(CURDIR)/$(BIN):$$PATH jlpm check; \
	  else echo "node is missing: the JupyterLab extension is not checked"; fi
	$(MAKE) test
	$(PYTEST) -m "slow and not gpu"

format: $(VENV)/.check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@if command -v node >/dev/null; then cd labextension && PATH=$(CURDIR)/$(BIN):$$PATH jlpm format; fi

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "nbllm needs Python 3.11 or newer; set PYTHON=/path/to/it"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"

# torch comes first and alone: its CPU build is the one that constraints.txt pins, see README
$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt $(EXTENSION)
	$(PIP) torch
	@command -v node >/dev/null || echo "node is missing: the JupyterLab extension is not built, everything else works"
	SKIP_JUPYTER_BUILDER=$$(command -v node >/dev/null || echo 1) $(PIP) -e ".[lab,grammar,server]" ipykernel nbclient openai
	@touch $@

$(VENV)/.test: $(VENV)/.demo tests/browser/package-lock.json
	$(PIP) --group test
	@if command -v npm >/dev/null; then npm ci --silent --prefix tests/browser; \
	  else echo "npm is missing: tests of accessibility and of types in JavaScript are skipped"; fi
	@command -v chromium chromium-browser google-chrome >/dev/null \
	  || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null; } \
	  || echo "chromium is missing and cannot be installed here: the browser tests are skipped"
	@touch $@

$(VENV)/.docs: $(VENV)/.demo
	$(PIP) --group docs
	@touch $@

$(VENV)/.check: $(VENV)/.test $(VENV)/.docs
	$(PIP) --group check
	@touch $@

clean:
	rm -rf $(VENV) build dist docs/_build nbllm/labextension labextension/lib labextension/node_modules labextension/.yarn
