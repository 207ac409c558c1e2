# hal0: every command a person or CI needs. `make help` lists them; a lane that cannot run fails and says why.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

PYTHON ?= python3
RUN := .venv
DEV := .venv-dev
LINT := .venv-lint
BENCHED := .venv-bench
PYTEST := $(DEV)/bin/python -m pytest
export PIP_DISABLE_PIP_VERSION_CHECK = 1

# $(call lane,NAME,COMMAND): run COMMAND, print its seconds and verdict, keep its exit status.
lane = @start=$$SECONDS; verdict=passed; rc=0; ( $(2) ) || { rc=$$?; verdict=FAILED; }; \
	echo "lane $(1): $$verdict in $$((SECONDS - start)) s"; exit $$rc

# $(call beside,ONE,OTHER): run both at once; what OTHER prints comes after ONE. Fails when either does.
beside = ( log=$$(mktemp); trap 'rm -f $$log' EXIT; rc=0; ( $(2) ) >$$log 2>&1 & other=$$!; \
	( $(1) ) || rc=$$?; wait $$other || rc=$$?; cat $$log; exit $$rc )

# $(call venv,FOLDER,LOCK): a fresh virtual environment with exactly what LOCK lists, and this checkout.
define venv
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("hal0 needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "python3-venv is missing: sudo apt install python3-venv"; exit 1; }
	@echo "preparing $(1) from $(2)"
	@rm -rf $(1) && $(PYTHON) -m venv $(1)
	@$(1)/bin/pip install --quiet --require-hashes -r $(2)
	@$(1)/bin/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $(1)/.ready
endef

##@ Use
.PHONY: help
help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(RUN)/.ready ## try hal0 here: a small model, http://127.0.0.1:8080 (MODELS=DIR adds your GGUF files)
	@exec $(RUN)/bin/hal0 run

.PHONY: venv
venv: $(RUN)/.ready ## prepare what `make run` needs, without starting it

##@ Install
# SET, HOSTS and PURGE reach it through the environment, as they were written.
INSTALLER = installer/install.sh $@

.PHONY: install
install: ## provision this host, or HOSTS=inventory.yml; SET="hal0_port=8081 ..." sets variables (docs/operate.md)
	@$(INSTALLER)

.PHONY: check
check: ## what `make install` would change, and nothing changed
	@$(INSTALLER)

.PHONY: preflight
preflight: ## whether a host can run hal0, and nothing changed
	@$(INSTALLER)

.PHONY: verify
verify: ## ask each slot of an installed host one question
	@$(INSTALLER)

.PHONY: upgrade
upgrade: ## bring this checkout's hal0 to a host that has one; what fails is undone by itself
	@$(INSTALLER)

.PHONY: rollback
rollback: ## go back to the release before
	@$(INSTALLER)

.PHONY: uninstall
uninstall: ## take hal0 off again; PURGE=1 takes models, slots and history, too
	@$(INSTALLER)

##@ Check
.PHONY: test
test: lint types lanes-in-processes ## every lane that needs no root

.PHONY: test-all
test-all: root test lanes-with-root ## every lane; needs root: sudo make test-all

# Lanes wait as much as they compute, and share nothing but apt, so their tools are installed before they start.
ONE_AFTER_THE_OTHER := $(MAKE) --no-print-directory
.PHONY: lanes-in-processes
lanes-in-processes: $(DEV)/.ready systemd-tools chromium
	@$(call beside,$(ONE_AFTER_THE_OTHER) unit contract integration,$(ONE_AFTER_THE_OTHER) browser)

.PHONY: lanes-with-root
lanes-with-root: root $(DEV)/.ready chromium
	@tests/lemond/chroot.sh >/dev/null && tests/installer/install-tools.sh
	@$(call beside,$(ONE_AFTER_THE_OTHER) test-lemond,$(ONE_AFTER_THE_OTHER) installer)

.PHONY: lint
lint: $(DEV)/.ready $(LINT)/.ready ## ruff, ansible-lint (offline), yamllint, shellcheck
	$(call lane,lint,$(DEV)/bin/ruff check . && $(DEV)/bin/ruff format --check . && $(LINT_INSTALLER))

SCRIPTS := installer/install.sh .ci/run $(wildcard tests/*/*.sh)
LINT_INSTALLER = $(LINT)/bin/yamllint --strict -c ansible/.yamllint ansible && $(LINT)/bin/shellcheck --severity=warning $(SCRIPTS) \
	&& cd ansible && PATH="$(CURDIR)/$(LINT)/bin:$$PATH" ansible-lint --offline --nocolor -q

.PHONY: types
types: $(DEV)/.ready ## mypy
	$(call lane,types,$(DEV)/bin/mypy)

.PHONY: unit
unit: $(DEV)/.ready systemd-tools ## functions and files, no processes of ours
	$(call lane,unit,$(PYTEST) tests/unit)

.PHONY: units
units: $(DEV)/.ready systemd-tools ## the systemd units alone: verify and security score
	$(call lane,units,$(PYTEST) tests/unit/test_units.py)

.PHONY: contract
contract: $(DEV)/.ready ## the Lemonade contract, held by the embedded engine
	$(call lane,contract,$(PYTEST) tests/contract --engine embedded)

.PHONY: integration
integration: $(DEV)/.ready ## hal0 in real processes over the embedded engine: the API, the promises, three minutes of load
	$(call lane,integration,$(call beside,$(WAITS),$(WORKS)))

# The clients of the first are patient; the soak has its minutes.
WAITS = $(PYTEST) tests/relay tests/integration --engine embedded
WORKS = $(PYTEST) tests/acceptance tests/stateful --engine embedded && $(SOAK) --minutes 3 --kills 0

.PHONY: browser
browser: $(DEV)/.ready chromium ## the whole of hal0 in real processes, seen through Chromium
	$(call lane,browser,$(PYTEST) tests/e2e && $(DEV)/bin/python -m tests.e2e.soak --minutes 0.5)

.PHONY: test-lemond
test-lemond: root $(DEV)/.ready chromium ## the contract, the promises and the pages on AMD's real lemond in a chroot (root)
	$(call lane,test-lemond,tests/lemond/chroot.sh >/dev/null && $(PYTEST) tests/contract tests/acceptance tests/lemond --engine lemond)

.PHONY: installer
installer: root $(DEV)/.ready ## `make install` on booted Debian hosts, with AMD's real lemond (root)
	$(call lane,installer,tests/installer/install-tools.sh && tests/lemond/chroot.sh >/dev/null && export HAL0_HOSTS_RUN=$$$$ && $(call beside,$(FIRST_HALF),$(SECOND_HALF)))

# In two, for a play leaves a processor idle. They share forky's installation.
HALF := $(addprefix tests/installer/,bookworm test_methods.py test_upgrade.py)
FIRST_HALF = $(PYTEST) tests/installer $(addprefix --ignore ,$(HALF))
SECOND_HALF = $(PYTEST) $(HALF)

##@ Measure
MINUTES ?= 3
ENGINE ?= embedded
SOAK := $(DEV)/bin/python -m tests.soak

.PHONY: soak
soak: $(DEV)/.ready ## mixed traffic for MINUTES=3, then 40 kills under streams, over ENGINE=embedded or lemond: losses, growth
	$(call lane,soak,$(SOAK) --minutes $(MINUTES) --engine $(ENGINE))

.PHONY: soak-ui
soak-ui: $(DEV)/.ready chromium ## pages open for MINUTES=10 under traffic: elements, script memory and hal0's memory stay level
	$(call lane,soak-ui,$(DEV)/bin/python -m tests.e2e.soak --minutes $(if $(filter command% environment%,$(origin MINUTES)),$(MINUTES),10))

.PHONY: bench-ui
bench-ui: $(DEV)/.ready chromium ## the times of the pages, and what open ones cost
	$(call lane,bench-ui,$(DEV)/bin/python -m tests.e2e.bench)

.PHONY: screenshots
screenshots: $(DEV)/.ready chromium ## every page in every state, light and dark, into screenshots/, to be looked at
	$(call lane,screenshots,$(DEV)/bin/python -m tests.e2e.screenshots screenshots)

.PHONY: stateful
stateful: $(DEV)/.ready ## the random walk over slots and faults, ten times as long and with a new seed
	$(call lane,stateful,HAL0_STATEFUL=deep $(PYTEST) tests/stateful)

ROUNDS ?= 3
STREAMS ?= 200,1000,2000
BENCH = $(BENCHED)/bin/python -m tests.bench --rounds $(ROUNDS) --streams $(STREAMS) \
	$(if $(ONLY),--only $(ONLY)) $(if $(MEASURES),--measures $(MEASURES)) $(if $(OUT),--out $(OUT))
PEERS := --section peers --only direct,nginx,litellm,hal0 --measures requests,ttft --settle 25

.PHONY: bench
bench: $(BENCHED)/.ready nginx ## hal0 beside nginx and the bare upstream; ROUNDS=3 ONLY=.. MEASURES=.. STREAMS=.. OUT=FILE
	$(call lane,bench,$(BENCH))

.PHONY: bench-peers
bench-peers: $(BENCHED)/.ready nginx ## the same beside LiteLLM, which is fetched from the package index
	$(call lane,bench-peers,$(BENCH) $(PEERS))

##@ Maintain
# Ansible is locked twice: its newest version asks for Python 3.12, and the one before it ends with 3.13.
LOCK := $(DEV)/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --build-deps-for editable

.PHONY: lock
lock: $(DEV)/.ready ## renew the locks from setup.cfg and *.in, at the oldest Python we serve
	@$(DEV)/bin/python -c 'import sys; sys.version_info[:2] == (3, 11) or sys.exit("lock with Python 3.11: make clean; make lock PYTHON=python3.11")'
	$(LOCK) --extra embedded -o requirements/run.txt setup.cfg
	$(LOCK) --extra embedded --extra test --extra dev -c requirements/run.txt -o requirements/dev.txt setup.cfg
	$(LOCK) -c requirements/run.txt -o requirements/host.txt setup.cfg
	$(LOCK) -o requirements/lint.txt requirements/lint.in
	$(LOCK) -o installer/requirements-3.11.txt installer/requirements.in
	@echo "renew installer/requirements-3.12.txt with Python 3.12 or newer: make lock-ansible PYTHON=python3.14"

.PHONY: lock-ansible
lock-ansible: ## renew installer/requirements-3.12.txt, with Python 3.12 or newer
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 12) or sys.exit("Python 3.12 or newer: make lock-ansible PYTHON=python3.14")'
	@folder=$$(mktemp -d) && $(PYTHON) -m venv $$folder && $$folder/bin/pip install --quiet pip-tools \
	  && $$folder/bin/$(notdir $(LOCK)) -o installer/requirements-3.12.txt installer/requirements.in; rm -rf $$folder

.PHONY: format
format: $(DEV)/.ready ## let ruff format and fix what it can
	$(DEV)/bin/ruff format . && $(DEV)/bin/ruff check --fix .

.PHONY: clean
clean: ## remove virtual environments and caches of this checkout; keeps .hal0 and the shared cache
	rm -rf $(RUN) $(DEV) $(LINT) $(BENCHED) .installer .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find hal0app tests -name __pycache__ -type d -prune -exec rm -rf {} +

# What lanes need ---------------------------------------------------------------------------------------------
$(RUN)/.ready: requirements/run.txt setup.cfg pyproject.toml
	$(call venv,$(RUN),requirements/run.txt)

$(LINT)/.ready: requirements/lint.txt
	@echo "preparing $(LINT) from requirements/lint.txt"
	@rm -rf $(LINT) && $(PYTHON) -m venv $(LINT) && $(LINT)/bin/pip install --quiet --require-hashes -r requirements/lint.txt
	@touch $(LINT)/.ready

$(DEV)/.ready: requirements/dev.txt setup.cfg pyproject.toml
	$(call venv,$(DEV),requirements/dev.txt)

# An installed hal0 runs on the distribution's Python, which is built with more care than most others: that is measured.
DISTRIBUTIONS_PYTHON = $(shell /usr/bin/python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
  2>/dev/null && echo /usr/bin/python3 || echo python3)
$(BENCHED)/.ready: PYTHON = $(DISTRIBUTIONS_PYTHON)
$(BENCHED)/.ready: requirements/dev.txt setup.cfg pyproject.toml
	$(call venv,$(BENCHED),requirements/dev.txt)

.PHONY: root
root:
	@[ "$$(id -u)" = 0 ] || { echo "this needs root (a chroot with AMD's lemond): sudo make $(MAKECMDGOALS)"; exit 1; }

.PHONY: systemd-tools
systemd-tools:
	@command -v systemd-analyze >/dev/null || { echo "systemd-analyze is missing: sudo apt install systemd"; exit 1; }

.PHONY: nginx
nginx:
	@command -v gcc >/dev/null || { echo "gcc is missing: sudo apt install gcc libc6-dev"; exit 1; }
	@PATH=$$PATH:/usr/sbin command -v nginx >/dev/null || tests/bench/install-nginx.sh

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || tests/e2e/install-chromium.sh
