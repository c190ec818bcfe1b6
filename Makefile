# Everything that the course can do in one word. `make` lists them; README.md has the plain commands beside each.
PROFILE ?= ci
VENV ?= .venv
CHROMIUM ?= chromium
BIN := $(VENV)/bin
CORES := $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
# The first interpreter that is new enough; `make PYTHON=/path/to/python` takes another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
# Idle threads must not spin on the cores that other lectures need.
export OMP_WAIT_POLICY = passive

.PHONY: help run test test-colab test-device test-browser browser lab bench clean
help:
	@echo "make run [PROFILE=ci|laptop|gpu]  execute every lecture; the report is build/report.html"
	@echo "make test                         check the package and every stored output"
	@echo "make test-colab                   run the lectures on Colab's packages, set-up cell and all"
	@echo "make test-device                  run the lectures on a device that is not the CPU: XLA's own (4 GB of packages)"
	@echo "make test-browser                 open lectures, site and slides in a real browser (Chromium)"
	@echo "make lab                          open the welcome lecture in JupyterLab"
	@echo "make bench                        measure against other ways of doing the same"
	@echo "make clean                        remove the environment and what was built (build/student and build/solutions stay)"
	@echo "Each makes its environment in $(VENV) first (Python 3.11 or newer, a few minutes, once)."

run: $(BIN)/.installed
	$(BIN)/course run --profile $(PROFILE)

# One pytest run, so that there is one verdict; loadscope keeps a lecture's cells on one worker.
test: $(BIN)/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m pytest -n $(CORES) --dist loadscope --nbval tests notebooks

# The package is not installed there: the set-up cell has to bring it, as on Colab.
test-colab:
	test -x .venv-colab/bin/python || "$(PYTHON)" -m venv .venv-colab
	.venv-colab/bin/python -m pip install -q -r scripts/colab.txt
	.venv-colab/bin/python -m pip install -q --no-deps -c constraints.txt -r wheels.txt
	.venv-colab/bin/python scripts/colab_check.py $(LECTURES)

# On a machine without a GPU: what lies in memory is not on this device, so a lecture that forgets to move something stops. Not part of
# CI: an hour and more. `make test-device LECTURES="10 11"` takes some.
test-device:
	test -x .venv-device/bin/python || "$(PYTHON)" -m venv .venv-device
	mkdir -p build && grep -v '^torch==' constraints.txt > build/device-constraints.txt
	.venv-device/bin/python -m pip install -q -c build/device-constraints.txt -r scripts/device.txt
	.venv-device/bin/python -m pip install -q --no-deps -c constraints.txt -r wheels.txt
	PJRT_DEVICE=CPU .venv-device/bin/python scripts/device_check.py $(LECTURES)

# Screenshots are left in build/browser.
test-browser: $(BIN)/.installed browser
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[browser]"
	CHROMIUM="$(CHROMIUM)" $(BIN)/python -m pytest -m browser tests/browser

browser:
	@command -v "$(CHROMIUM)" >/dev/null || { test "$(CHROMIUM)" = chromium && test "$$(id -u)" = 0 && apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium; } \
		|| { echo "The browser tests need Chromium. Install it (Debian: sudo apt-get install chromium), or name another"; \
		echo "browser of its family: make test-browser CHROMIUM=/path/to/chrome"; exit 1; }

lab: $(BIN)/.installed
	$(BIN)/course lab

bench: $(BIN)/.installed
	$(BIN)/python -m pip install -c constraints.txt -e ".[bench]"
	for script in benchmarks/*.py; do $(BIN)/python "$$script" || exit 1; done

clean:
	rm -rf $(VENV) .venv-colab .venv-device
	test ! -d build || find build -mindepth 1 -maxdepth 1 ! -name student ! -name solutions -exec rm -rf {} +
	@test ! -d build || rmdir build 2>/dev/null || echo "build/student and build/solutions stay: somebody may have worked in them."

$(BIN)/.installed: pyproject.toml constraints.txt wheels.txt
	@test -n "$(PYTHON)" || { echo "The course needs Python 3.11 or newer, and found none on the PATH. Install one (python.org,"; \
		echo "your package manager, or conda with environment.yml), or name it: make PYTHON=/path/to/python3.12"; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(f"The course needs Python 3.11 or newer; $(PYTHON) is {v[0]}.{v[1]}." if v < (3, 11) else 0)'
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e ".[lab,test,offline,site,serve,cluster]"
	$(BIN)/python -m pip install --no-deps -c constraints.txt -r wheels.txt
	@touch $@
