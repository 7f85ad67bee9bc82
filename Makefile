SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The CDK runs on the Node of its wheel: the machine needs none.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# The tests start hundreds of processes: one compiles, and the others import what it has compiled.
unexport PYTHONDONTWRITEBYTECODE

SOURCES := quilt_packager lambda_src/quilt_packager_runtime $(wildcard app.py benchmarks examples tests)

.PHONY: help
help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r target text; do printf '  make %-14s %s\n' "$$target" "$$text"; done

.PHONY: setup
setup: $(INSTALLED) ## Create .venv from the hash-pinned requirements

# uv installs in seconds what takes pip more than a minute, and removes what is no longer locked. It
# does not read pip's configuration, so where it finds no index, pip installs the same lock file.
$(INSTALLED): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; set PYTHON")'
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@awk '/^[^ #]/ { keep = /^uv==/ } keep' requirements/dev.txt > $(VENV)/uv.txt
	$(BIN)/python -m pip install --quiet --require-hashes --requirement $(VENV)/uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt \
		|| $(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

# The tests of the page drive a Chromium of the system. Only root can bring one, where Debian's
# packages can be had; without one these tests are skipped, which QUILT_PACKAGER_NEEDS_BROWSER forbids.
.PHONY: browser
browser: ## Install Chromium, if it is missing and can be installed
	@command -v chromium chromium-browser google-chrome >/dev/null \
		|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
			&& apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends chromium; } >/dev/null \
		|| echo "No Chromium: the tests of the page will be skipped."

.PHONY: test
test: setup browser ## Run the tests; ARGS="-k name" goes to pytest
	$(BIN)/pytest --numprocesses=auto --dist=loadgroup $(ARGS)

.PHONY: torture
torture: setup ## Kill, fault and race jobs at length, and print figures; ARGS=0.1 does a tenth
	$(BIN)/python -m tests.publish_model
	$(BIN)/python -m tests.torture $(ARGS)

.PHONY: lint
lint: check-format check-style check-types check-layers check-spelling check-language check-workflows ## Run every static check

.PHONY: check-format
check-format: setup
	$(BIN)/ruff format --check .

.PHONY: check-style
check-style: setup
	$(BIN)/ruff check .

.PHONY: check-types
check-types: setup
	$(BIN)/mypy $(SOURCES)

.PHONY: check-layers
check-layers: setup
	$(BIN)/lint-imports --no-logo

.PHONY: check-spelling
check-spelling: setup
	$(BIN)/codespell

.PHONY: check-language
check-language: setup
	$(BIN)/python .ci/check_language.py quilt_packager lambda_src app.py benchmarks examples docs *.md

.PHONY: check-workflows
check-workflows: setup
	$(BIN)/jactionlint --shellcheck=
	$(BIN)/zizmor --offline --no-progress --quiet --persona=pedantic .github

.PHONY: format
format: setup ## Format the code and apply safe fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: demo
demo: setup ## Run the demo on an embedded AWS; ARGS="--help" lists its options
	$(BIN)/quilt-packager demo $(ARGS)

.PHONY: pictures
pictures: setup browser ## Make the pictures and recordings of docs/how-to/operate.md anew
	$(BIN)/python -m tests.e2e.record

.PHONY: bench
bench: setup ## Run the benchmarks; ARGS="--help" lists their options
	$(BIN)/python -m benchmarks $(ARGS)

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock"

.PHONY: lock
lock: setup ## Compile the lock files; ARGS=--upgrade takes the newest versions
	$(LOCK) $(ARGS) --all-extras --group dev pyproject.toml --output-file requirements/dev.txt
	$(LOCK) $(ARGS) --group release --output-file requirements/release.txt
	$(LOCK) $(ARGS) --constraints requirements/dev.txt quilt_packager/lambda_requirements.in \
		--output-file quilt_packager/lambda_requirements.txt

.PHONY: docs
docs: setup ## Build the site of the documents into site/; dead links and anchors are errors
	$(BIN)/zensical build --strict

STACK_NAME ?= quilt-packager

.PHONY: template
template: setup ## Write a CloudFormation template and its code to dist/, for deployments without the CDK
	$(BIN)/python -m quilt_packager.app.template $(STACK_NAME) dist

.PHONY: release
release: setup ## Build what a release of TAG=v1.2.3 consists of, into dist/
	rm -rf dist && mkdir dist
	$(BIN)/python .ci/release_notes.py "$(TAG)" > dist/NOTES.md
	$(BIN)/hatchling build --directory dist
	$(BIN)/python -m venv --clear build/release
	build/release/bin/python -m pip install --quiet --require-hashes --requirement requirements/release.txt
	build/release/bin/cyclonedx-py requirements quilt_packager/lambda_requirements.txt --output-reproducible \
		--output-file dist/sbom.cdx.json
	$(BIN)/python -m quilt_packager.app.template $(STACK_NAME) dist

.PHONY: clean
clean: ## Remove the environment and every cache
	rm -rf $(VENV) build dist site cdk.out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
