# make demo   set everything up and run the main job on synthetic scans
# make test   set everything up and pass the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PEERS := .bench
SOURCES := pyproject.toml constraints.txt $(shell find medream -name '*.py')

.PHONY: demo test slow lint bench bench-evidence bench-peers fuzz clean

demo: $(VENV)/medream
	$(BIN)/medream demo --out out/demo

test: $(VENV)/test lint
	$(BIN)/python -P -m pytest

slow: $(VENV)/test
	$(BIN)/python -P -m pytest -m slow

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: $(VENV)/test
	$(BIN)/python tests/fuzz.py --inputs 50000

bench: $(VENV)/test
	$(BIN)/python tests/benchmarks/run.py

# Networks whose cue was planted: is it named? See the top of the file for --seeds, --quick and others.
bench-evidence: $(VENV)/test
	$(BIN)/python tests/benchmarks/planted_cues.py

# The dream engine beside tf-keras-vis, Xplique and PyTorch, each in an environment of its own.
bench-peers: $(VENV)/test $(PEERS)/keras/ready $(PEERS)/torch/ready
	$(BIN)/python tests/benchmarks/peers/crosscheck.py
	$(BIN)/python tests/benchmarks/dreaming.py --only steps

clean:
	rm -rf $(VENV) $(PEERS) dist

$(VENV)/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else "medream needs Python 3.11 to 3.13, this is %d.%d; pass PYTHON=python3.12, say" % v)'
	$(PYTHON) -m venv $(VENV)
	touch $@

# The wheel is built and installed, so that what runs is what a user would get.
$(VENV)/medream: $(VENV)/python $(SOURCES)
	$(PIP) --upgrade --force-reinstall --no-deps .
	$(PIP) .
	touch $@

$(VENV)/test: $(VENV)/medream
	$(PIP) ".[test]"
	touch $@

$(PEERS)/keras/ready: tests/benchmarks/peers/keras.txt tests/benchmarks/peers/keras-no-deps.txt
	$(PYTHON) -m venv $(PEERS)/keras
	$(PEERS)/keras/bin/python -m pip install --quiet -c constraints.txt -r tests/benchmarks/peers/keras.txt
	$(PEERS)/keras/bin/python -m pip install --quiet --no-deps -r tests/benchmarks/peers/keras-no-deps.txt
	touch $@

$(PEERS)/torch/ready: tests/benchmarks/peers/torch.txt
	$(PYTHON) -m venv $(PEERS)/torch
	$(PEERS)/torch/bin/python -m pip install --quiet -r tests/benchmarks/peers/torch.txt
	touch $@
