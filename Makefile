# Everything a person types. Each target sets up what it needs in $(VENV), once.

PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Tools keep their caches here, so that a read-only home is no trouble.
VAR := $(abspath $(VENV))/var
export MPLCONFIGDIR ?= $(VAR)/matplotlib
export IPYTHONDIR ?= $(VAR)/ipython
export JUPYTER_CONFIG_DIR ?= $(VAR)/jupyter/config
export JUPYTER_DATA_DIR ?= $(VAR)/jupyter/data
export JUPYTER_RUNTIME_DIR ?= $(VAR)/jupyter/runtime
export MPLBACKEND ?= Agg

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test slow lint types imports format docs examples wheel wheel-test wheel-ends bench nightly gate check-results clean

help:
	@echo 'make demo       windows of the handwritten digits, as a table and a picture, in $(DEMO)/'
	@echo 'make test       the tests (under $(VENV), set up on the first call)'
	@echo 'make slow       the slow tests'
	@echo 'make lint       style (ruff), types (pyright), imports (import-linter)'
	@echo 'make format     rewrite the sources in the house style'
	@echo 'make docs       the documentation, in docs/_build/html'
	@echo 'make examples   run the example scripts'
	@echo 'make wheel      build the wheel and the sdist, try the wheel in a fresh environment'
	@echo 'make wheel-test the tests against the installed wheel; JAX=0.10.0 tries that version'
	@echo 'make bench      a small run of the benchmarks'
	@echo 'make nightly    the full benchmarks; writes benchmarks/results/'
	@echo 'make gate       ratios of this device against its committed ones (minutes)'
	@echo 'make clean      remove what these made, $(VENV) included'

# --- environment: one stamp per set of extras ---------------------------------------------------------

VENV_STAMP := $(VENV)/.stamp-venv
DEMO_STAMP := $(VENV)/.stamp-viz
DEV_STAMP := $(VENV)/.stamp-dev
DOCS_STAMP := $(VENV)/.stamp-docs
BENCH_STAMP := $(VENV)/.stamp-bench
PEERS_STAMP := $(VENV)/.stamp-peers

$(VENV_STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'sloc needs Python 3.11 or newer; name one, as in: make PYTHON=python3.12' >&2; exit 1; }
	@echo 'Setting up $(VENV) ...'
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(VAR)
	@touch $@

$(DEMO_STAMP): $(VENV_STAMP) pyproject.toml constraints.txt
	@echo 'Installing sloc with what the demo needs (a minute or two, once) ...'
	@$(PIP_INSTALL) -e '.[viz]'
	@touch $@

# The rest waits for the demo's set, so that two installers never run at once under `make -j`.
$(DEV_STAMP): $(DEMO_STAMP)
	@echo 'Installing the development tools (once) ...'
	@$(PIP_INSTALL) -e '.[dev]'
	@touch $@

$(DOCS_STAMP): $(DEV_STAMP)
	@echo 'Installing the documentation tools (once) ...'
	@$(PIP_INSTALL) -e '.[docs]'
	@touch $@

# Not before the development set, for the same reason; the peers are wanted by the benchmarks alone.
$(BENCH_STAMP): $(DEV_STAMP)
	@echo "Installing the benchmarks' small peers (once) ..."
	@$(PIP_INSTALL) -e '.[bench]'
	@touch $@

$(PEERS_STAMP): $(BENCH_STAMP)
	@echo "Installing the benchmarks' large peers (once) ..."
	@$(PIP_INSTALL) -e '.[peers]'
	@touch $@

setup: $(DOCS_STAMP)

# --- what people do -------------------------------------------------------------------------------

demo: $(DEMO_STAMP)
	@$(BIN)/sloc window digits --process ou,masking --out $(DEMO) --overwrite

# One process per core: most of the time goes to compiling, which uses one core. Each has a stretch of files, and takes from
# the other's end when its own is done: fixtures of a file are made once, and none waits for a long last file.
WORKERS ?= auto
SHARED := --numprocesses=$(WORKERS) --dist=worksteal
PYTEST := $(PY) -m pytest $(SHARED)

# Reductions built for YNNPACK crash or hang in jaxlib 0.10.2 and 0.11.0 (jax issue 39257); leaving it out also compiles
# faster. XLA refuses flags it does not know: empty these for another version.
NO_YNNPACK ?= --xla_cpu_experimental_ynn_fusion_type=
# A test compiles much and runs it once: less optimisation saves a third.
TEST_XLA_FLAGS ?= --xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1 $(NO_YNNPACK)

test: $(DEV_STAMP)
	XLA_FLAGS='$(strip $(XLA_FLAGS) $(TEST_XLA_FLAGS))' $(PYTEST)

# Exit code 5 says that no test bears the marker, which is no failure.
# The fast tests of what a compiler may undo run here once more, compiled as users compile.
AS_USERS := tests/engine/test_normals.py tests/populations/test_exponentials.py tests/populations/test_low_rates.py \
  tests/populations/test_atoms.py::test_many_rates_at_once_give_the_definition \
  tests/populations/test_atoms.py::test_an_atom_and_its_copy_are_at_distance_zero

slow: $(DEV_STAMP)
	$(PYTEST) $(AS_USERS)
	XLA_FLAGS='$(strip $(XLA_FLAGS) $(NO_YNNPACK))' $(PYTEST) -m slow || [ $$? -eq 5 ]

lint: $(DOCS_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory types imports

# The extensions of the docs are checked too, against the libraries they import.
types: $(DOCS_STAMP)
	$(BIN)/pyright --pythonpath $(PY)
	$(PY) tests/verified_types.py

imports: $(DEV_STAMP)
	$(BIN)/lint-imports --no-cache

format: $(DEV_STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: export XLA_FLAGS := $(strip $(XLA_FLAGS) $(NO_YNNPACK))
# Pages show their figures through the kernel's own backend; with Agg they would have none.
docs: export MPLBACKEND := module://matplotlib_inline.backend_inline
docs: $(DOCS_STAMP)
	$(PY) -m sphinx -W --keep-going -j auto -b html docs docs/_build/html
	$(PY) docs/_ext/browser_check.py docs/_build/html

# Scripts are run as a reader would run them; the folders beside them are run by tests/examples.
examples: export XLA_FLAGS := $(strip $(XLA_FLAGS) $(NO_YNNPACK))
examples: $(DEV_STAMP)
	@set -e; for script in $(sort $(wildcard examples/*.py)); do \
	  echo "$$script"; $(PY) "$$script"; \
	done

# The wheel is built from the source distribution, and tried where the checkout is not on the path. `fresh` installs its
# libraries too, which shows that it asks for all it needs; `borrowed` takes those of $(VENV): seconds in place of a minute.
WHEEL := $(abspath build/wheel)
LIBRARIES ?= fresh
PURELIB := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'

# The versions of constraints.txt, but for a jax of your own: `make wheel-test JAX=0.10.0` tries the lower bound.
JAX ?=
VERSIONS := $(WHEEL)/constraints.txt
WHEEL_INSTALL = $(WHEEL)/env/bin/python -m pip install --quiet --disable-pip-version-check -c $(VERSIONS)

wheel: $(DEV_STAMP)
	@test -z '$(JAX)' -o '$(LIBRARIES)' = fresh || { echo 'JAX= needs LIBRARIES=fresh' >&2; exit 1; }
	rm -rf $(WHEEL)
	$(PY) -m build --no-isolation --outdir $(WHEEL)/dist .
	$(PY) -m venv $(WHEEL)/env
	@{ grep -Ev '$(if $(JAX),^jax(lib)?==,^$$)' constraints.txt; $(if $(JAX),echo jax==$(JAX); echo jaxlib==$(JAX);) } > $(VERSIONS)
	@echo 'Installing the wheel with $(LIBRARIES) libraries ...'
	@$(WHEEL_INSTALL) $(if $(filter borrowed,$(LIBRARIES)),--no-deps) $(WHEEL)/dist/*.whl
	@$(if $(filter borrowed,$(LIBRARIES)),$(PY) $(PURELIB) > "$$($(WHEEL)/env/bin/python $(PURELIB))/borrowed.pth")
	cd $(WHEEL) && env/bin/sloc info && env/bin/python -P $(abspath tests/installed.py)

# The tests against the installed wheel, from a folder that holds all of the checkout but the package.
AWAY := $(WHEEL)/away
WHEEL_TESTS ?= tests

wheel-test: wheel
	mkdir -p $(AWAY)
	cp -R tests examples benchmarks docs .ci README.md CHANGELOG.md CITATION.cff CONTRIBUTING.md LICENSE Makefile \
	  pyproject.toml constraints.txt $(AWAY)
	rm -rf $(AWAY)/docs/_build
	@$(if $(filter fresh,$(LIBRARIES)),$(WHEEL_INSTALL) "$$(echo $(WHEEL)/dist/*.whl)[dev]")
	cd $(AWAY) && $(WHEEL)/env/bin/python -c 'import sys, sloc; assert sloc.__file__.startswith(sys.prefix), sloc.__file__'
	cd $(AWAY) && XLA_FLAGS='$(strip $(XLA_FLAGS) $(TEST_XLA_FLAGS))' $(WHEEL)/env/bin/python -m pytest -p no:cacheprovider \
	  $(SHARED) $(WHEEL_TESTS)

# What CI asks of the installed wheel, under the least jax and the newest, all libraries fresh.
LEAST_JAX := $(shell sed -n 's/^  "jax>=\([0-9.]*\),.*/\1.0/p' pyproject.toml)
WHEEL_PART := tests/test_public_api.py tests/test_readme.py tests/engine/test_stream.py \
  tests/processes/test_gaussian.py tests/divergence/test_closed_forms.py tests/windows/test_critical.py tests/samplers/test_localization.py

wheel-ends:
	@$(MAKE) --no-print-directory wheel-test WHEEL_TESTS='$(WHEEL_PART)'
	@$(MAKE) --no-print-directory wheel-test JAX=$(LEAST_JAX) WHEEL_TESTS='$(WHEEL_PART)'

# The smoke run leaves out the suites whose compiling alone takes a minute.
SMOKE := windows certificates samplers structures

# A process for each suite, so that none starts with another's compilations and peak of memory.
bench: $(DEV_STAMP)
	@set -e; rm -rf build/bench; for suite in $(SMOKE); do \
	  $(BIN)/sloc bench $$suite --smoke --out build/bench; \
	done; $(PY) -m benchmarks.check_results build/bench

nightly: $(PEERS_STAMP)
	@mkdir -p benchmarks/results
	XLA_FLAGS='$(strip $(XLA_FLAGS) $(NO_YNNPACK))' $(PY) -m benchmarks.nightly_tests $(SHARED)
	$(PY) -m benchmarks.nightly_wheels
	$(PY) -m benchmarks.nightly_suites
	$(BIN)/sloc bench --explain --out benchmarks/results
	$(PY) -m benchmarks.nightly_bayes --json benchmarks/results/bayes.json
	$(PY) -m benchmarks.nightly_certified --json benchmarks/results/certified.json
	$(PY) -m benchmarks.nightly_changes --json benchmarks/results/changes.json
	$(PY) -m benchmarks.floors_table
	$(PY) -m benchmarks.nightly_learned --folder build/learned --json benchmarks/results/learned-runs.json
	@rm -rf build/learned
	$(PY) -m benchmarks.check_results

# The parts that take minutes and whose ratios hold still; fails where one is more than twice as bad as the committed one.
# `make nightly` holds every suite that has a committed result of this device against it.
gate: $(BENCH_STAMP)
	$(BIN)/sloc bench windows --only gaussians,scaling --rounds 3 --against benchmarks/results

check-results: $(DEV_STAMP)
	$(PY) -m benchmarks.check_results

clean:
	rm -rf $(VENV) $(DEMO) build dist docs/_build .pytest_cache .ruff_cache .hypothesis
	find sloc tests benchmarks examples docs -name __pycache__ -type d -prune -exec rm -rf {} +
