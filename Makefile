# One virtual environment serves every target. `make demo` needs only Python 3.11 or newer.
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo serve test check bench clean

demo: $(VENV)/.run
	$(BIN)/edgesync demo $(ARGS)

serve: $(VENV)/.run
	$(BIN)/edgesync serve $(ARGS)

test: $(VENV)/.dev
	scripts/check
	scripts/test $(ARGS)

check: $(VENV)/.dev
	scripts/check $(ARGS)

bench: $(VENV)/.run
	$(BIN)/edgesync bench hub $(ARGS)

$(VENV)/.run: pyproject.toml
	scripts/make-venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.dev: pyproject.toml
	scripts/make-venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
