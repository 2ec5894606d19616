# Everything a person needs: `make demo` and `make test` work on a fresh clone with Python 3.11, make and pip.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
CORE_READY := .venv/.core
LOCKED := "\# What Luthier's core needs, to the last library, for every system; made by \`make lock\`, used with" \
	"\#   pip install --require-hashes -r requirements.lock && pip install --no-deps luthier"
CORE := $(addprefix tests/,assess data diagnosis estimators nets objective optimise engine saved search)

.PHONY: demo test test-oldest lint labs soak pages notebooks bench bench-quick gpu gpu-quick audit lock release clean

demo: $(CORE_READY)  ## fit the bundled digits in half a minute and write the report; installs the core alone
	$(BIN)/luthier fit digits --budget 30s --run runs/demo --replace

test: $(READY) lint  ## lint, types, doctests, the whole suite, the README's commands, the examples
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not labs and not soak"

test-oldest: .venv-oldest/.ready  ## the core of the suite with the oldest versions that pyproject.toml allows
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest -n 2 -m "not labs and not soak" -W ignore::pytest.PytestRemovedIn10Warning $(CORE)

.venv-oldest/.ready: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --constraint constraints-oldest.txt --editable . \
		pytest pytest-xdist hypothesis beartype kornia optuna pandas pillow pyarrow sqlalchemy
	touch $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

labs: $(READY)  ## the long experiments
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --maxschedchunk 1 -o faulthandler_timeout=3600 -m labs

soak: $(READY)  ## what breaks, many times over: kills, full disks, fuzzers
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m soak

pages: $(READY)  ## the labs that compute in the browser, in docs/labs
	$(BIN)/luthier lab page --all -o docs/labs

notebooks: $(READY)  ## the labs as executed notebooks in docs/labs
	$(BIN)/python -m luthier.labs.notebook docs/labs

bench: $(READY)  ## speed and quality tables, side by side with peers
	$(BIN)/python -m benchmarks

bench-quick: $(READY)  ## the engine's speed table in short turns
	$(BIN)/python -m benchmarks --quick

gpu:  ## tests and figures on a GPU, in six minutes; needs a python3 with PyTorch, NumPy and pytest, and nothing else
	PYTHONPATH=src:$$PYTHONPATH $(PYTHON) -m benchmarks.gpu

gpu-quick:  ## the same in two minutes
	PYTHONPATH=src:$$PYTHONPATH $(PYTHON) -m benchmarks.gpu --quick

$(CORE_READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable .
	touch $(CORE_READY)

$(READY): $(CORE_READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

audit: $(READY)  ## known vulnerabilities of the pinned libraries; asks PyPI's advisory service
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/python -m pip_audit --requirement constraints.txt --no-deps --disable-pip

lock: $(READY)  ## requirements.lock: what users install, with hashes, for every system; asks PyPI
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --constraint constraints.txt --generate-hashes --universal \
		--python-version 3.11 --no-annotate --no-header --quiet --output-file requirements.lock
	printf '%s\n' $(LOCKED) | cat - requirements.lock > requirements.new && mv requirements.new requirements.lock

release: $(READY)  ## dist: archive, wheel, the libraries it needs (CycloneDX) and where the files come from (SLSA)
	git diff --quiet HEAD
	$(BIN)/python -m pip install --quiet cyclonedx-bom
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type library \
		--output-reproducible --output-file dist/luthier.cdx.json
	$(BIN)/python release/provenance.py dist > dist/provenance.json

clean:
	rm -rf .venv .venv-oldest build dist .pytest_cache .mypy_cache .ruff_cache
