PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := pyproject.toml hatch_build.py constraints.txt $(wildcard js/*.json js/*.mjs js/src/* js/src/*/*)
TORCH := $(shell grep '^torch==' constraints.txt)
ARGS ?=

.PHONY: demo test bench format
.DELETE_ON_ERROR:

demo: $(VENV)/installed-demo
	mkdir -p demo
	cd demo && ../$(BIN)/rnnwidget demo $(ARGS)

test: export PATH := $(CURDIR)/$(BIN):$(PATH)
test: $(VENV)/installed-test js/node_modules/.package-lock.json
	ruff format --check .
	ruff check .
	mypy
	cd js && npm run check
	CHROMIUM="$$(python -m tests.browser.chromium)" && export CHROMIUM && (cd js && npm test) && python -m pytest $(ARGS)

bench: $(VENV)/installed-test
	$(BIN)/python -m tests.benchmarks $(ARGS)

format: export PATH := $(CURDIR)/$(BIN):$(PATH)
format: $(VENV)/installed-test js/node_modules/.package-lock.json
	ruff format .
	ruff check --fix .
	cd js && npm run format

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo 'rnnwidget needs Python 3.11 or newer: install it, or say make PYTHON=/path/to/it' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# PyPI's torch for Linux brings gigabytes of CUDA. Without an NVIDIA card the CPU build does: one that pip is set up to
# find on this machine, else PyTorch's own, else what PyPI has after all, with the rest.
$(VENV)/installed-torch: constraints.txt | $(BIN)/python
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null; then \
		$(PIP) install --quiet --no-index --no-deps $(TORCH) 2>/dev/null || \
		$(PIP) install --no-deps --retries 1 --index-url https://download.pytorch.org/whl/cpu $(TORCH) || true; fi
	@touch $@

$(VENV)/installed-demo: $(INSTALLED) | $(VENV)/installed-torch
	$(PIP) install --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(VENV)/installed-test: $(INSTALLED) | $(VENV)/installed-torch
	$(PIP) install --constraint constraints.txt --editable '.[test]'
	@touch $@ $(VENV)/installed-demo

js/node_modules/.package-lock.json: js/package-lock.json | $(VENV)/installed-test
	cd js && npm ci --no-audit --no-fund
	@touch $@
