# `make demo` and `make test` do all the set-up they need; nothing but Python 3.11 to 3.13 and a pip index is assumed.
PYTHON ?= python3.11
PY := .venv/bin/python
STAMP := .venv/.ready

.PHONY: setup demo test lint bench docs pictures torture
# Modules are compiled when they are first imported, since few of all that is installed are used, and kept even where an
# image says otherwise (PYTHONDONTWRITEBYTECODE): commands and tests start hundreds of processes. Torch's, which every
# command needs, are compiled while pip is busy with the rest. An older pip takes twice as long to choose among versions.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo "error: $(PYTHON) is not Python 3.11, 3.12 or 3.13; call make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	-$(PIP) --upgrade pip
	$(PIP) torch
	$(PY) -m compileall -qq .venv/lib/python3*/site-packages/torch >/dev/null & $(PIP) -e '.[dev]'; installed=$$?; wait; exit $$installed
	@touch $(STAMP)

demo: $(STAMP)
	$(PY) scripts/demo.py

# Fast tests first (see tests/conftest.py). JOBS test processes, each of one thread, one more than two cores have, since
# some wait; the tests of a file stay together, since they share what is slow to make.
# No test reaches another machine: every connection beyond this one is refused.
JOBS ?= 3
test: export OMP_NUM_THREADS = 1
test: $(STAMP)
	$(PY) -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder --block-sockets

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# Ratios to peers and to the machine's own limits, beside those of an earlier state; ten minutes of an idle machine.
ROUNDS ?= 5
bench: export OMP_NUM_THREADS = 1
bench: $(STAMP)
	$(PY) scripts/benchmark.py what=goals rounds=$(ROUNDS) output=results/bench before=results/bench_before.json

# The pages, into docs/_build/html; a warning is an error. Sphinx is added to .venv when it is first asked for.
DOCS := .venv/.docs
$(DOCS): $(STAMP)
	$(PIP) -e '.[docs]'
	@touch $(DOCS)

docs: $(DOCS)
	$(PY) -m sphinx -W --keep-going -q -d docs/_build/doctrees docs docs/_build/html
	@echo "written: docs/_build/html/index.html (open it in a browser)"

# The pictures of README and gallery, out of the report that `make demo` writes.
pictures: demo
	$(PY) docs/pictures.py

# An hour of ended processes, damaged files, mutated input and crafted folders; see tests/torture.
MINUTES ?= 60
SEED ?= 0
torture: export OMP_NUM_THREADS = 1
torture: $(STAMP)
	$(PY) -m tests.torture seed=$(SEED) minutes=$(MINUTES) results=results/torture.txt
