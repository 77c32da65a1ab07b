# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

PYTHON_VENV := .venv/bin/python
RUN_STAGES := $(PYTHON_VENV) -m tests.tooling.run_stages

# sudo, where it is there and we are not root.
AS_ROOT = $(shell [ "$$(id -u)" = 0 ] || command -v sudo)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Say what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' $(MAKEFILE_LIST) | while read -r target text; do printf '  %-20s %s\n' "$$target" "$$text"; done

.PHONY: demo
demo: install-collection ## Sync two disposable disks, several times, and show what is reported
	@$(AS_ROOT) env PYTHONPATH=plugins/module_utils $(PYTHON_VENV) -B -m examples.demo

.PHONY: test
test: setup ## Lint, unit, integration and fault tests: within ten minutes
	@$(RUN_STAGES) test

.PHONY: test-quick
test-quick: setup ## The fast part of lint, and the unit tests: within two minutes, no root needed
	@$(RUN_STAGES) quick

.PHONY: test-full
test-full: setup setup-vm ## All of test, then everything in depth and in virtual machines: within 75 minutes
	@$(RUN_STAGES) full

.PHONY: test-cores
test-cores: setup ## Sanity, ansible-doc and a sample of the tests with each supported ansible-core: within a quarter of an hour
	@$(RUN_STAGES) cores

.PHONY: test-vm
test-vm: setup setup-vm install-collection ## Only the tests in virtual machines, Molecule included
	@$(RUN_STAGES) vm

.PHONY: test-depth
test-depth: setup ## The tests that have a longer form, in their longest: for hours
	@$(RUN_STAGES) depth

.PHONY: coverage
coverage: setup ## Measure which lines of the core the unit and integration tests run, in build/coverage/html
	@$(RUN_STAGES) coverage

.PHONY: lint
lint: setup ## Only the checks of code, documentation and metadata
	@$(RUN_STAGES) lint

.PHONY: bench
bench: install-collection ## Measure both engines, blocksync-fast by hand, and plain dd (BENCH_OPTIONS=--help)
	@$(AS_ROOT) env PYTHONPATH=plugins/module_utils $(PYTHON_VENV) -B -m tests.benchmark $(BENCH_OPTIONS)

.PHONY: setup
setup: .venv/.ready ## Make .venv and install what the tests need (all others do it themselves)
.venv/.ready: tests/requirements.txt tests/tooling/apt-packages.txt tests/tooling/setup.sh tests/tooling/install-packages.sh
	@tests/tooling/setup.sh

.PHONY: setup-vm
setup-vm: .venv/.ready-vm ## Install what the tests in virtual machines need
.venv/.ready-vm: .venv/.ready tests/tooling/apt-packages-vm.txt
	@tests/tooling/install-packages.sh tests/tooling/apt-packages-vm.txt
	@touch $@

.PHONY: docs
docs: setup ## Build the documentation as a site in build/docs and check its links
	@$(RUN_STAGES) docs

.PHONY: build
build: setup ## Build the collection's tarball into build/
	@$(PYTHON_VENV) -m tests.tooling.collection build

.PHONY: install-collection
install-collection: setup ## Install the collection into build/collections, for tests and demo
	@$(PYTHON_VENV) -m tests.tooling.collection install

.PHONY: clean
clean: ## Remove everything that make made
	rm -rf .venv build tests/output .ansible .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find plugins tests -name __pycache__ -type d -prune -exec rm -rf {} +
