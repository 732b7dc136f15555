# Two commands do everything on a fresh machine: `make train` runs the main job, `make test` the tests.
# Both make .venv if it is missing. Without an NVIDIA driver PyTorch's CPU build is taken.
#
#   make train ARGS="seed=2 budget=smoke"     further words for train.py
#   make train PYTHON=python3.12              the Python to build .venv with, 3.10 or newer
#   make train TORCH_INDEX=https://download.pytorch.org/whl/cpu   another source for torch
#   make train CONSTRAINTS=                   install without the constraint file
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PYTEST_ARGS ?= -n 2 --dist worksteal
TORCH_INDEX ?=
CONSTRAINTS ?= $(shell nvidia-smi >/dev/null 2>&1 || echo constraints-cpu.txt)

PIP_FLAGS := $(if $(CONSTRAINTS),-c $(CONSTRAINTS)) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: train test check format clean

train: $(VENV)/.installed
	$(BIN)/python train.py $(ARGS)

test: $(VENV)/.installed
	$(BIN)/pytest $(PYTEST_ARGS)

check: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest $(PYTEST_ARGS)

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/.installed: pyproject.toml constraints-cpu.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -e '.[dev,data,plot,dashboard,search]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
