# One virtual environment serves every target. `make demo` needs only Python 3.11 or newer.
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo serve test test-fast check bench docs lock sbom dist clean

demo: $(VENV)/.run
	$(BIN)/edgesync demo $(ARGS)

serve: $(VENV)/.run
	$(BIN)/edgesync serve $(ARGS)

test: $(VENV)/.dev
	scripts/test --check $(ARGS)

test-fast: $(VENV)/.dev
	scripts/test-fast $(ARGS)

check: $(VENV)/.dev
	scripts/check $(ARGS)

bench: $(VENV)/.run
	$(BIN)/edgesync bench hub $(ARGS)

# The site of docs/ in build/docs; serve it for its search. A link without a target is an error.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build $(ARGS)

# Exact versions for what pyproject.toml asks for; `make lock ARGS=--upgrade` takes the newest.
lock: $(VENV)/.dev
	scripts/lock $(ARGS)

# What is in the image, as CycloneDX.
sbom: $(VENV)/.dev
	$(BIN)/python scripts/sbom build/edgesync.cdx.json

# The files of a release in dist/, without a network; scripts/dist names the variables.
dist: $(VENV)/.dev
	$(BIN)/python scripts/dist $(ARGS)

$(VENV)/.run: pyproject.toml requirements/run.txt
	scripts/make-venv $(VENV)
	scripts/install $(VENV) run
	touch $@

$(VENV)/.dev: pyproject.toml requirements/dev.txt
	scripts/make-venv $(VENV)
	scripts/install $(VENV) dev
	touch $@ $(VENV)/.run

$(VENV)/.docs: pyproject.toml requirements/docs.txt
	scripts/make-venv $(VENV)
	scripts/install $(VENV) docs
	touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
