# Every verb of the project. Each does its own set-up; a fresh clone needs Python >= 3.11, git, make.
PYTHON ?= python3
BIN := .venv/bin

# Compiled modules are kept wherever this runs: tests start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup check fix test coverage prove worlds mutants demo bench smoke lock clean

setup: .venv/ready

.venv/ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "waiaas needs Python 3.11 or newer; try: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

check: setup          ## format, lint, types, import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: setup            ## what can be mended by a tool
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

test: setup           ## all tests; a third worker runs while the others wait for processes
	$(BIN)/python -m pytest -n 3 --dist worksteal

CORE := src/waiaas/domain/*,src/waiaas/policy/*,src/waiaas/pipeline/*

coverage: setup       ## branches of everything, and all of them in domain, policy and pipeline
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 --dist worksteal --hypothesis-profile=many --ignore tests/e2e --ignore tests/power \
		--ignore tests/crash --ignore tests/backup --ignore tests/localnet
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage report
	@$(BIN)/coverage report --include='$(CORE)' --fail-under=100

prove: setup          ## every case of every proof, and one table of what they found
	$(BIN)/python -m pytest -n 2 --dist worksteal -m proof --prove -o timeout=7200

worlds: setup         ## a tenth of the simulated worlds
	$(BIN)/python -m pytest -n 2 --dist worksteal --tenth tests/simulation

mutants: setup        ## every small change to the policy; those that no test notices are printed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/mutants.txt
	$(BIN)/mutmut run
	$(BIN)/mutmut results

demo: setup           ## the first payment, from an empty directory
	$(BIN)/waiaas demo

bench: setup          ## ratios, each from one run
	$(BIN)/python benchmarks/ledger.py
	$(BIN)/python benchmarks/audit.py
	$(BIN)/python benchmarks/decide.py
	$(BIN)/python benchmarks/decide.py --rows 10000000
	$(BIN)/python benchmarks/backtest.py
	$(BIN)/python benchmarks/signatures.py
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/cli.py

smoke: setup          ## the built wheel in a clean environment, without development packages
	$(BIN)/python tools/smoke_wheel.py

lock:                 ## rewrite requirements/*.txt from pyproject.toml
	$(PYTHON) tools/lock_requirements.py

clean:
	rm -rf .venv dist .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache mutants
