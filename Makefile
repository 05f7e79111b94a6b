# Everything sets itself up: a fresh machine needs make and Python 3.11, nothing else.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo demo-estimator test test-long coverage check lock pictures bench bench-ui bench-stores fuzz soak proto frontend native browser clean
.DELETE_ON_ERROR:
# All environments build the front end in the same place.
.NOTPARALLEL:

help:
	@echo "make demo            train a small Keras model on real digits, and look at it in the Layers tab"
	@echo "make demo-estimator  the same with a tf.estimator.Estimator (Python 3.11)"
	@echo "make test            the tests of every day: Keras on TensorFlow, JAX and PyTorch, Estimators, the front end, Chromium"
	@echo "make test-long       what takes longer: series, faults of every kind, several processes, TensorFlow without oneDNN"
	@echo "make coverage        write docs/reports/coverage.md, diagnosis.md and nan_behind_layers.md from what both have shown"
	@echo "make check           format, lint and types of both languages, and which package imports which"
	@echo "make pictures        make the documents' pictures anew"
	@echo "make bench           measure what logging costs and keeps, and how long the server takes"
	@echo "make bench-ui        measure how quick the tab is, in Chromium"
	@echo "make bench-stores    measure what logging to a store costs, and what is lost when it fails"
	@echo "make fuzz            100,000 mutated inputs for each parser, then coverage-guided ones (atheris, on Linux)"
	@echo "make soak            100 killed trainings, 100,000 logged steps, 16 clients: memory and disk stay within bounds"
	@echo "make lock            pin all that the environments hold: requirements/*.lock, from pyproject.toml and requirements/*.in"
	@echo "make proto           generate tb_layerview/format/layerview_pb2.py from layerview.proto"
	@echo "make clean           remove all that was made, the virtual environments too"

# --- Pythons ---------------------------------------------------------------------------------

# The first Python 3.$(1) to 3.$(2) on the PATH that can make virtual environments.
find-python = $(shell for python in python3.11 python3.12 python3.13 python3 python; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(not (3, $(1)) <= sys.version_info[:2] <= (3, $(2)))' \
	2>/dev/null && command -v "$$python" && break; done)

# For the modern stack: pyproject.toml's requires-python, and the newest that TensorFlow 2.21 has wheels for.
OLDEST = 3.11
NEWEST = 3.13

# `make demo PYTHON=...` and `make demo-estimator ESTIMATOR_PYTHON=...` choose other ones.
PYTHON = $(call find-python,11,13)
ESTIMATOR_PYTHON = $(call find-python,11,11)

# $(call venv,folder,python,its variable,its versions,its lock,what it brings)
define venv
python='$(2)'; \
if [ -z "$$python" ]; then \
	echo "This needs a Python $(4) that can make virtual environments, and none is on the PATH." >&2; \
	echo "Install one (on Debian: apt-get install python3 python3-venv) or name it: make $(MAKECMDGOALS) $(3)=/path/to/python" >&2; \
	exit 1; \
fi; \
echo "Setting up $(1): $(6). Once; takes a minute or two."; \
mkdir -p $(1); \
{ "$$python" -m venv $(1) \
	&& $(1)/bin/python -m pip install --disable-pip-version-check -r requirements/bootstrap.txt \
	&& $(1)/bin/python requirements/environment.py install $(5); \
} >$(1)/setup.log 2>&1 || { \
	tail -n 40 $(1)/setup.log >&2; \
	echo "Setting up $(1) failed. All that it said is in $(1)/setup.log." >&2; \
	exit 1; \
}; \
touch $@
endef

SETUP = requirements/bootstrap.txt requirements/environment.py pyproject.toml setup.py
STACKS = .venv/.ready .venv-estimator/.ready .venv-jax/.ready .venv-torch/.ready .venv-stores/.ready

.venv/.ready: requirements/modern.lock $(SETUP)
	@$(call venv,.venv,$(PYTHON),PYTHON,3.11 to 3.13,modern.lock,TensorFlow 2.21 with Keras 3 and TensorBoard)

.venv-estimator/.ready: requirements/estimator.lock $(SETUP)
	@$(call venv,.venv-estimator,$(ESTIMATOR_PYTHON),ESTIMATOR_PYTHON,3.11,estimator.lock,TensorFlow 2.15 with Estimators and TensorBoard)

# Keras without TensorFlow.
.venv-jax/.ready: requirements/jax.lock requirements/jax.in $(SETUP)
	@$(call venv,.venv-jax,$(PYTHON),PYTHON,3.11 to 3.13,jax.lock,Keras 3 on JAX and TensorBoard)

.venv-torch/.ready: requirements/torch.lock requirements/torch.in $(SETUP)
	@$(call venv,.venv-torch,$(PYTHON),PYTHON,3.11 to 3.13,torch.lock,Keras 3 on PyTorch and TensorBoard)

# Without a framework: TensorBoard then reads stores by itself.
.venv-stores/.ready: requirements/stores.lock requirements/stores.in $(SETUP)
	@$(call venv,.venv-stores,$(PYTHON),PYTHON,3.11 to 3.13,stores.lock,s3fs and gcsfs and servers for them and TensorBoard)

# `make lock LOCK=--upgrade` takes the newest versions; without it those that are locked stay where they can.
lock: build/lock/.ready
	@build/lock/bin/python requirements/environment.py lock $(LOCK)

# An environment of its own, so that a lock can be made before there is one to install from.
build/lock/.ready: requirements/bootstrap.txt
	@$(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/bootstrap.txt
	@touch $@

.venv-proto/.ready:
	@$(ESTIMATOR_PYTHON) -m venv .venv-proto
	@.venv-proto/bin/python -m pip install --quiet 'grpcio-tools==1.62.3' 'setuptools<81'
	@touch $@

# --- What people run -------------------------------------------------------------------------

demo: .venv/.ready
	@.venv/bin/python build_frontend.py
	@.venv/bin/python build_native.py
	@.venv/bin/tb-layerview demo

demo-estimator: .venv-estimator/.ready
	@.venv-estimator/bin/python build_frontend.py
	@.venv-estimator/bin/python build_native.py
	@.venv-estimator/bin/tb-layerview demo --estimator

frontend: .venv/.ready
	@.venv/bin/python build_frontend.py

native: .venv/.ready
	@.venv/bin/python build_native.py

browser: .venv/.ready
	@.venv/bin/python tests/helpers/chromium.py

# Each part of it in a process of its own, side by side: see tests/helpers/suite.py.
test: $(STACKS) frontend native browser
	@.venv/bin/python tests/helpers/suite.py

test-long: $(STACKS) frontend native browser
	@.venv/bin/python tests/helpers/suite.py long

coverage: .venv/.ready
	@.venv/bin/python tests/helpers/coverage_table.py
	@.venv/bin/python tests/helpers/diagnosis_table.py
	@.venv/bin/python tests/helpers/nan_table.py

check: .venv/.ready
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@for python in $(OLDEST) $(NEWEST); do .venv/bin/mypy --python-version "$$python" || exit 1; done
	@.venv/bin/lint-imports
	@.venv/bin/python build_frontend.py check

# The guide has an Estimator, and one training on each backend of Keras, too.
pictures: $(STACKS) frontend native browser
	@UPDATE_PICTURES=1 .venv/bin/python -m pytest -q tests/e2e -k "picture or not_finite or guide"

# `make bench BENCH='--minutes 3'` adds the trainings on the default schedule, the hook's needs both stacks;
# `make bench BENCH='--only digest'` measures one group anew; BENCH=--quick sees whether all of it works.
bench: .venv/.ready .venv-jax/.ready build/monitors/.ready frontend native
	@.venv/bin/python -m benchmarks $(BENCH)

# Beside the environment, not in it, as these need what the tests do not; PyTorch itself is the environment's.
build/monitors/.ready: .venv-torch/.ready requirements/monitors.txt
	@rm -rf build/monitors
	@.venv-torch/bin/python -m pip install --quiet --disable-pip-version-check --target build/monitors \
		--constraint requirements/torch.lock -r requirements/monitors.txt
	@touch $@

bench-ui: .venv/.ready frontend native browser
	@.venv/bin/python -m benchmarks.ui

# `make bench-stores BENCH='--only map'` measures one group anew.
bench-stores: .venv/.ready .venv-stores/.ready frontend native browser
	@.venv/bin/python -m benchmarks.stores $(BENCH)

FUZZ_COUNT = 100000
DIGEST_COUNT = 3000
SOAK_STEPS = 100000

# Beside the environment, not in it: nothing else needs it, and it is built for some Pythons only.
build/atheris/.ready: .venv/.ready
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/atheris 'atheris==3.*'
	@touch $@

fuzz: .venv/.ready native build/atheris/.ready
	@.venv/bin/python tests/long/fuzz.py $(FUZZ_COUNT)
	@.venv/bin/python tests/long/sanitized.py $(DIGEST_COUNT)
	@for parser in StepRecord Model event values histogram units; do echo "Coverage-guided: $$parser"; \
		PYTHONPATH=build/atheris .venv/bin/python tests/long/fuzz.py coverage $$parser $(FUZZ_COUNT) >build/fuzz.log 2>&1 \
			|| { tail -n 20 build/fuzz.log; exit 1; }; \
		grep -aE '^stat::(number_of_executed|new)_units' build/fuzz.log; done

soak: .venv/.ready native
	@.venv/bin/python tests/long/soak.py $(SOAK_STEPS)

proto: .venv-proto/.ready
	@.venv-proto/bin/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. tb_layerview/format/layerview.proto

clean:
	rm -rf .venv .venv-estimator .venv-jax .venv-torch .venv-stores .venv-proto build dist *.egg-info tb_layerview/serving/static tb_layerview_frontend/node_modules
	rm -f tb_layerview/measure/native/*.so tb_layerview/measure/native/*.dylib tb_layerview/measure/native/*.dll
	rm -f tb_layerview/measure/native/built_from.sha256
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
