# make report: distil and show it.  make test: all that a clean checkout needs to pass its tests.  make lab: JupyterLab.
PYTHON ?= python3
PY = .venv/bin/python
PIP = $(PY) -m pip install --disable-pip-version-check -q -c constraints.txt

.PHONY: env report test lab clean
env: .venv/.made
report: .venv/.made
	@.venv/bin/kdnb report
lab: .venv/.made
	@.venv/bin/kdnb lab
test: .venv/.made-dev
	$(PY) tools/sync.py
	OMP_NUM_THREADS=1 .venv/bin/nbdev-test --n-workers 2 --timing
	OMP_NUM_THREADS=1 $(PY) -m pytest tests --ignore tests/browser -q -n 2 --dist worksteal --durations 8
	$(PY) -m pytest tests/browser -q --durations 8

.venv/.made: constraints.txt settings.ini setup.py pyproject.toml
	@echo "- making .venv and installing what kdnb needs: about 2 GB, some minutes, once" >&2
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@$(PIP) torch
	@$(PIP) -e . pytest
	@touch $@
.venv/.made-dev: .venv/.made
	@echo "- installing what the tests need" >&2
	@$(PIP) -e '.[dev]'
	@touch $@
clean:
	rm -rf .venv build dist *.egg-info
