# make demo   set up, export SmolLM2-135M-Instruct, and ask it a question
# make test   set up, and run the tests
# make wheel  build a wheel, and export a model from it in an environment of its own
# make docs   build the documentation into site/
PYTHON ?= python3
VENV   ?= .venv
# pip would compile 30,000 modules one after the other, of which few are ever imported.
PIP     = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile
# torch first and by its exact version: a range would take the CUDA build.
TORCH   = torch==2.13.0
# Tests run in this many processes, of one thread each: nearly all of lowering is Python. They keep
# their compiled modules, whatever the environment says: each process imports hundreds.
JOBS   ?= 2
PYTEST  = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(JOBS) --dist worksteal --durations=15 --durations-min=5
RECIPE ?= smollm2_135m_xnnpack_8da8w
# Backends whose compilers come from the package index, and launchers of sweeps; one environment
# holds them all.
EXTRAS  = openvino,mlx,arm,coreai,joblib,slurm,ray

.PHONY: demo test test-slow test-release check format wheel docs clean

demo: $(VENV)/.base
	$(VENV)/bin/llm-export run $(RECIPE)

test: $(VENV)/.test
	$(PYTEST)

test-slow: $(VENV)/.test
	$(PYTEST) -m "slow and not release"

test-release: $(VENV)/.test
	$(PYTEST) -m "release or hypothesis and not fuzz" --hypothesis-profile=explore

check: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.test
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

wheel: $(VENV)/.test
	PYTHON=$(VENV)/bin/python .ci/wheel

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) outputs site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# The stamps are newer than what they were made from: a second run installs nothing. Some packages
# hold templates and tests of parsers that are no Python, which do not compile.
$(VENV)/.base: setup.cfg pyproject.toml constraints.txt
	@echo "setting up $(VENV) (once; about two minutes)"
	$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) --upgrade "pip>=24" "setuptools>=77"
	$(PIP) --constraint constraints.txt $(TORCH)
	$(PIP) --constraint constraints.txt --editable .
	$(VENV)/bin/python -m compileall -qq -j 0 $(VENV)/lib || true
	touch $@

$(VENV)/.test: $(VENV)/.base
	@echo "adding the test tools and the backends' compilers to $(VENV)"
	$(PIP) --constraint constraints.txt --editable ".[test,dev,docs,$(EXTRAS)]"
	$(VENV)/bin/python -m llm_export.backends.mlx_files
	touch $@

$(VENV)/.docs: $(VENV)/.base
	@echo "adding the tools of the documentation to $(VENV)"
	$(PIP) --constraint constraints.txt --editable ".[docs]"
	touch $@
