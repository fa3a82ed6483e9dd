# One environment, .venv/, built on first use from requirements.lock and reused by every target.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
CELL_TIMEOUT ?= 300
# A stored widget view shows as an error message in an opened notebook; its text line is kept. The
# announced time of rendering and the free space are this machine's.
WITHOUT_VIEWS := import nbformat, re, sys; file = sys.argv[1]; notebook = nbformat.read(file, 4); \
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]; \
    [output.data.pop("application/vnd.jupyter.widget-view+json", None) for output in outputs \
    if "data" in output]; \
    [output.update(text=re.sub(r".*\(free: .*\)\n", "", output.text)) for output in outputs \
    if output.output_type == "stream"]; nbformat.write(notebook, file)

export JUPYTER_PLATFORM_DIRS := 1

.PHONY: help demo test test-unit test-notebooks notebooks lab annotate lint format docs bench clean

help: ## Show these targets
	@echo "usage: make <target>    (the first one also builds .venv/, which takes some minutes)"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST) | expand -t 16 | sed 's/^/  /'

demo: $(STAMP) ## Run the whole loop on composed songs; results under runs/
	$(BIN)/python -m rlhf_lib demo

test: test-unit test-notebooks ## Run the unit tests, then every notebook in the smoke profile

test-unit: $(STAMP) ## Run the unit tests on all cores
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadfile

# The notebooks use each other's files: they run in one fresh workspace, in order of their names,
# and the first failure ends the run.
test-notebooks: $(STAMP) ## Run every notebook in the smoke profile
ifeq ($(NOTEBOOKS),)
	@echo "no notebooks to run in notebooks/"
else
	@workspace=$$(mktemp -d) && trap 'rm -rf "$$workspace"' EXIT && \
	RLHF_PROFILE=smoke RLHF_WORKSPACE="$$workspace" IPYTHONDIR="$$workspace/.ipython" \
	$(BIN)/python -m pytest --nbval-lax --nbval-current-env \
	    --nbval-cell-timeout=$(CELL_TIMEOUT) --exitfirst --durations=5 --durations-min=1 $(NOTEBOOKS)
endif

# The outputs are committed, so they must not depend on this machine: no progress bars, no sound,
# no times. (SPYDER=no makes tqdm draw plain bars; TQDM_DISABLE switches off only those.)
# RLHF_PROFILE=smoke is quick; KEEP=folder keeps the files that the notebooks write.
notebooks: $(STAMP) ## Run every notebook in full and store its plots and tables
	@workspace="$(abspath $(KEEP))" && \
	{ [ -n "$$workspace" ] || { workspace=$$(mktemp -d) && trap 'rm -rf "$$workspace"' EXIT; }; } && \
	for notebook in $(NOTEBOOKS); do \
	    RLHF_WORKSPACE="$$workspace" IPYTHONDIR="$$workspace/.ipython" SPYDER=no TQDM_DISABLE=1 \
	    $(BIN)/python -m nbconvert --to notebook --execute --inplace --log-level=WARN \
	        --ExecutePreprocessor.timeout=3600 --ExecutePreprocessor.record_timing=False \
	        --ExecutePreprocessor.store_widget_state=False "$$notebook" && \
	    $(BIN)/python -c '$(WITHOUT_VIEWS)' "$$notebook" || exit 1; \
	    echo "$$notebook"; \
	done

# The settings switch off the question about news, which would cover the annotator's buttons.
lab: $(STAMP) ## Open JupyterLab on the notebooks
	JUPYTER_CONFIG_PATH="$(CURDIR)/.jupyter" $(BIN)/python -m jupyterlab notebooks

# The example study on the current candidates, for this machine only; docs/study.md describes how to
# change it and how to let others in.
STUDY ?= rlhf_lib/web/example_study.yaml
PORT ?= 8866
annotate: $(STAMP) ## Serve a study as web pages (STUDY=file MANIFEST=file FEEDBACK=folder PORT=8866)
	$(BIN)/python -m rlhf_lib serve_study "$(abspath $(STUDY))" --port $(PORT) \
	    $(if $(MANIFEST),--manifest "$(abspath $(MANIFEST))") \
	    $(if $(FEEDBACK),--feedback "$(abspath $(FEEDBACK))")

lint: $(STAMP) ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## Fix style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A warning, such as a link or an anchor without a target, fails the build; with --quiet mkdocs would
# not count them. The variable switches off the theme's note on its own future (CONTRIBUTING.md).
docs: $(STAMP) ## Build the docs site into site/ and check its links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html: open it through a server, such as $(BIN)/python -m http.server -d site"

# WRITE=1 writes the tables to docs/performance.md. Beats are also scored on the songs of Debian's
# fretsonfire-songs-muldjord, if they are installed or BEATS gives such a folder.
BEATS ?= /usr/share/games/fretsonfire/data/songs/muldjord
BENCHMARKS := edit_song.py environment.py policy.py steps.py analysis.py "analysis.py --hours 10" rendering.py \
    "rendering.py --candidates" growth.py "beats.py $(BEATS)"
bench: $(STAMP) ## Measure speed and the beat tracker (some minutes each; WRITE=1 BEATS=folder)
	@for run in $(BENCHMARKS); do \
	    echo "== $$run" && $(BIN)/python benchmarks/$$run $(if $(WRITE),--write) || exit 1; \
	done

clean: ## Remove .venv/ and caches (songs, models, feedback and results stay)
	rm -rf .venv .cache .pytest_cache .ruff_cache .hypothesis build site rlhf_lib.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	    "rlhf_lib needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1)." \
	    "Give another: make PYTHON=python3.11" >&2; exit 1; }
	@echo "building .venv/ (once; some minutes)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
