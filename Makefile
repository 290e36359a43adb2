# Two commands: `make demo` shows what lipglance does, `make test` checks all of it.
PYTHON ?= python3
DEMO := .venv-demo
TEST := .venv

.PHONY: demo test lint types unit clean

demo: $(DEMO)/.done
	@mkdir -p demo
	$(DEMO)/bin/lipglance generate src/lipglance/assets/sample_face.jpg \
		src/lipglance/assets/sample_speech.flac -o demo/demo.mp4 --force
	@echo "The video is $(CURDIR)/demo/demo.mp4"

test: lint types unit

lint: $(TEST)/.done
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .

types: $(TEST)/.done
	$(TEST)/bin/mypy

unit: $(TEST)/.done
	$(TEST)/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# The demo has an environment of its own, so that it shows what a user without torch gets.
$(DEMO)/.done: pyproject.toml $(shell find src -type f -not -name '*.pyc')
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python -m pip install --quiet --disable-pip-version-check .
	@touch $@

# torch first and exactly: an open range would bring several gigabytes of CUDA.
$(TEST)/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(DEMO) $(TEST) demo build dist
