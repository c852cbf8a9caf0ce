# Every target sets up its own virtual environment; Python 3.11+, make and gcc are all it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: run demo test check screenshot test-engines soak bench bench-preview bench-choice bench-room bench-tune bench-tui clean

run: $(STAMP)
	$(BIN)/rigtui

demo: $(STAMP)
	$(BIN)/rigtui demo --headless

test: $(STAMP)
	$(BIN)/python -m pytest -m "not engine" -n 2 $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

screenshot: $(STAMP)
	$(BIN)/python tests/tools/picture.py

test-engines: $(STAMP)
	$(BIN)/python -m pytest -m engine $(ARGS)

soak: $(STAMP)
	RIGTUI_SOAK_RUNS=$(or $(RUNS),200) $(BIN)/python -m pytest -n 0 -s -q tests/engine/test_soak.py $(ARGS)

bench: $(STAMP)
	$(BIN)/python tests/bench/startup.py
	$(BIN)/python tests/bench/derivation.py

bench-choice: $(STAMP)
	$(BIN)/python tests/bench/choice.py $(ARGS)

bench-room: $(STAMP)
	$(BIN)/python tests/bench/room.py $(ARGS)

bench-tune: $(STAMP)
	$(BIN)/python tests/bench/tune.py $(ARGS)

bench-preview: $(STAMP)
	$(BIN)/python tests/bench/preview.py $(ARGS)

bench-tui: $(STAMP)
	$(BIN)/python tests/bench/tui.py $(ARGS)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "rigtui needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=python3.12 (or another) and try again")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
