# Two commands do all the set-up on a fresh machine: make demo, make test.
#
#   PYTHON=python3.12 make demo       another Python (3.11 or newer)
#   TORCH_ARGS="..." make demo        more arguments for the step that installs torch, such as
#                                     where a build for your CPU or GPU is to be found
#   TEST_ARGS="-k seed" make test     more arguments for pytest

PYTHON ?= python3
TORCH_ARGS ?=
TEST_ARGS ?=
JOBS ?= auto

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints.txt
# Two processes of one thread each beat one of two on the small arrays of the tests
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: help demo test lint test-slow bench clean

help:
	@echo "make demo       insert nodules into a phantom CT; says where the picture is"
	@echo "make test       everything CI runs: format, lint, types, imports, tests"
	@echo "make test-slow  the tests that take minutes"
	@echo "make bench      latency, memory and throughput of inserting"
	@echo "make clean      remove the environment and what was made"

# Each stamp is a file inside the environment, so that removing .venv removes it too
.venv/.made:
	$(PYTHON) -m venv .venv
	@touch $@

# torch first: it alone decides which build (CPU, CUDA) the rest is resolved against
.venv/.insert: .venv/.made pyproject.toml setup.py constraints.txt
	$(PIP) $(TORCH_ARGS) "$$(grep '^torch==' constraints.txt)"
	$(PIP) -e .
	@touch $@

.venv/.test: .venv/.insert
	$(PIP) -e ".[train,study,test]"
	@touch $@

demo: .venv/.insert
	$(BIN)/lungsynth demo --output demo_output

lint: .venv/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=NoduleSynth:AnomalyScan $(BIN)/lint-imports

# The modules' tests run on the tree that CMake installs
test: lint
	tree="$$($(BIN)/python Testing/cmake/install_tree.py build)" && NODULESYNTH_TREE="$$tree" \
	$(PYTEST) -n $(JOBS) -m "not slow" --ignore=Testing/benchmarks $(TEST_ARGS)

test-slow: .venv/.test
	$(PYTEST) -m slow --ignore=Testing/benchmarks --timeout=7200 $(TEST_ARGS)

bench: .venv/.test
	$(BIN)/python -m pytest Testing/benchmarks -p no:xdist --benchmark-columns=min,median,max $(TEST_ARGS)

clean:
	rm -rf .venv demo_output build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	rm -rf NoduleSynth/*.egg-info
	find NoduleSynth AnomalyScan Testing -name __pycache__ -type d -prune -exec rm -rf {} +
