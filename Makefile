# One command for each chore. All that a machine needs is Python 3.11 or newer, and make.

PYTHON ?= python3
VENV := .venv
DEMO_VENV := .venv-demo
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install -qq --disable-pip-version-check --no-input --constraint constraints.txt
WORKERS ?= 2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check format generated wheel bench soak docs clean python

help:
	@echo 'make demo    the whole of curate on photographs that ship, into demo-output/'
	@echo 'make test    the test suite'
	@echo 'make check   formatter, linter and type checker'
	@echo 'make format  formatter and safe fixes'
	@echo 'make generated  what is written from code: schemas of cards, the table of raters'
	@echo 'make wheel   wheel and source archive, into dist/'
	@echo 'make bench   the benchmarks'
	@echo 'make soak    the long tests: hours of work, gigabytes of data'
	@echo 'make docs    the tests of the documentation'
	@echo 'make clean   remove what these commands made'

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "curate needs Python 3.11 or newer, and '$(PYTHON)' is none; name one: make PYTHON=python3.11 ..." >&2; exit 1; }

# $(call environment,FOLDER,EXTRAS) makes a virtual environment with curate in it, editable.
define environment
	@echo "installing curate[$(2)] into $(1)/ ..."
	@test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	@$(1)/bin/python $(PIP_INSTALL) --editable '.[$(2)]'
	@touch $@
endef

$(VENV)/.installed: pyproject.toml constraints.txt | python
	$(call environment,$(VENV),dev)

$(DEMO_VENV)/.installed: pyproject.toml constraints.txt | python
	$(call environment,$(DEMO_VENV),demo)

demo: $(DEMO_VENV)/.installed
	@$(DEMO_VENV)/bin/curate demo --out demo-output

test: $(VENV)/.installed
	@$(BIN)/python -m pytest -n $(WORKERS) -q

check: $(VENV)/.installed
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@echo 'check: formatted, lint-free, typed'

format: $(VENV)/.installed
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

generated: $(VENV)/.installed
	@$(BIN)/python -m tests.generated

wheel: $(VENV)/.installed
	@rm -rf dist
	@$(BIN)/python -m hatchling build --directory dist

bench: $(VENV)/.installed
	@$(BIN)/python -m bench

soak: $(VENV)/.installed
	@$(BIN)/python -m pytest -m soak --timeout=0 -q

docs: $(VENV)/.installed
	@$(BIN)/python -m pytest -q tests/test_docs.py

clean:
	@rm -rf $(VENV) $(DEMO_VENV) dist build demo-output .mypy_cache .pytest_cache .ruff_cache .hypothesis
