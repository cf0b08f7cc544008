# Two commands matter: `make serve` and `make test`. `make help` lists the rest.

PYTHON ?= python3
PORT   ?= 8000
VENV   := .venv
BIN    := $(VENV)/bin
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-strip-extras --no-header --no-annotate pyproject.toml

# The more important first; tune_peers, peer_throughput, mixed_sizes and overload build on each other.
BENCHMARKS = tune_peers peer_throughput protocols http_overhead mixed_sizes overload limit xla stages start growth maps cameras hot_swap soak batch_norm input_pipeline alternate engine large
PEERS      = fastapi_plain litserve bentoml mlserver ray_serve triton

.DEFAULT_GOAL := help
.PHONY: help serve trainer ray test test-ray test-clients test-torch coverage lint format lock bench bench-lock openapi clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

serve: $(VENV)/.serve  ## serve the bundled model on http://127.0.0.1:$(PORT) (PORT=…)
	$(BIN)/segserve serve --port $(PORT)

trainer: $(VENV)/.train  ## install what segtrain needs beside the service

ray: $(VENV)/.ray  ## install what `segserve serve --ray` and `segserve predict --ray` need

# The files that take longest come first (tests/conftest.py), so that the processes end together.
# A process that dies is not made anew: its tests would be given to others, which may wait for good.
test: lint  ## lint, then the whole test suite
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 \
	  -m "not cluster"

# Apart from the rest: where the cores are taken, Ray gives up processes that are slow to start.
test-ray: $(VENV)/.dev  ## the tests that start a Ray cluster, on a machine that does nothing else
	$(BIN)/pytest -m cluster

# Each client has an environment of its own, which is made at the first run: that needs the package index.
test-clients: $(VENV)/.dev  ## the clients of other servers against this one
	$(BIN)/python -m tests.clients.run

# torch is 3 GB, and not part of any environment of this project.
test-torch: $(VENV)/.dev  ## networks of PyTorch's users adopted, served, and compared with torch
	$(BIN)/python -m tests.torch.run

coverage: $(VENV)/.dev  ## the test suite with its coverage
	$(BIN)/pytest --cov --cov-report=term:skip-covered -m "not cluster"

lint: $(VENV)/.dev  ## ruff, mypy, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## put the code into its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: $(VENV)/.dev  ## compile requirements/ from pyproject.toml, newest versions its ranges allow
	$(COMPILE) --upgrade --extra cpu --extra train --extra onnx --extra litert --extra otel --extra ray --extra build --extra dev -o requirements/dev.txt
	$(COMPILE) --constraint requirements/dev.txt --extra cpu --extra build -o requirements/serve.txt
	$(COMPILE) --constraint requirements/dev.txt --extra cpu --extra train --extra onnx --extra litert --extra build -o requirements/train.txt
	$(COMPILE) --constraint requirements/dev.txt --extra gpu --extra build -o requirements/gpu.txt
	$(COMPILE) --constraint requirements/dev.txt --extra cpu --extra ray --extra build -o requirements/ray.txt

openapi: $(VENV)/.dev  ## write openapi.json from the code
	$(BIN)/segserve openapi > openapi.json

bench: $(VENV)/.dev  ## run the benchmarks and write docs/performance.md (QUICK=1 for short rounds)
	@for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name $(if $(QUICK),--quick) || exit 1; done
	$(BIN)/python -m benchmarks.report

bench-lock: $(VENV)/.dev  ## compile the other servers' requirements in benchmarks/peers/
	@for name in $(PEERS); do cd $(CURDIR)/benchmarks/peers/$$name && \
	  $(CURDIR)/$(BIN)/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_35 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --no-annotate --upgrade requirements.in -o requirements.txt || exit 1; done

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage

# The environment is made once, and again only where the pinned requirements change.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "segserve needs Python 3.11 or newer; say make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.serve: requirements/serve.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/serve.txt
	@$(MAKE) --no-print-directory $(VENV)/.project
	@touch $@

$(VENV)/.train: requirements/train.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/train.txt
	@$(MAKE) --no-print-directory $(VENV)/.project
	@touch $@ $(VENV)/.serve

$(VENV)/.ray: requirements/ray.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/ray.txt
	@$(MAKE) --no-print-directory $(VENV)/.project
	@touch $@ $(VENV)/.serve

$(VENV)/.dev: requirements/dev.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(MAKE) --no-print-directory $(VENV)/.project
	@touch $@ $(VENV)/.serve $(VENV)/.train $(VENV)/.ray

# The commands `segserve` and `segtrain` of this checkout. Built without isolation: the backend is pinned with the rest.
$(VENV)/.project: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
