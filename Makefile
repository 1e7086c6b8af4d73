# Everything stays in this folder: the environment in .venv, caches and temporary files in .cache.
PYTHON ?= python3
CACHE  := $(CURDIR)/.cache
BIN    := $(CURDIR)/.venv/bin
JOBS   ?= 2
ARGS   ?=

export UV_CACHE_DIR    := $(CACHE)/uv
export XDG_CACHE_HOME  := $(CACHE)
export HF_HOME         ?= $(HOME)/.cache/huggingface
export MPLCONFIGDIR    := $(CACHE)/matplotlib
export TMPDIR          := $(CACHE)/tmp

# A target that must be told which: $(call told,EXP)
told = $(if $($(1)),,$(error say which: make $@ $(1)=$(2)))

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench lint types study tune submit status logs cancel report \
  doctor image image-demo test-image clean

help:  ## show the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready  ## install the locked environment into .venv

demo: setup  ## the whole study in small: train, evaluate, aggregate, report
	@$(BIN)/lico study demo --open $(ARGS)

study: setup  ## an experiment on this machine: make study EXP=lico_seeds [ARGS="overrides"]
	$(call told,EXP,lico_seeds)@$(BIN)/lico study $(EXP) $(ARGS)

tune: setup  ## trials of Ray Tune: make tune EXP=loss_ablation [CLUSTER=a100 NODES=4] [ARGS="overrides"]
	$(call told,EXP,loss_ablation)@$(BIN)/$(if $(CLUSTER),python -m slurm,lico) tune $(EXP) \
	  $(if $(CLUSTER),--cluster $(CLUSTER) --nodes $(or $(NODES),1) --devices $(or $(DEVICES),1)) $(ARGS)

submit: setup  ## a study on a Slurm cluster: make submit EXP=lico_seeds [CLUSTER=a100] [ARGS="overrides"]
	$(call told,EXP,lico_seeds)@$(BIN)/python -m slurm submit $(EXP) $(if $(CLUSTER),--cluster $(CLUSTER)) $(ARGS)

status: setup  ## how a submitted study is: make status EXP=lico_seeds
	$(call told,EXP,lico_seeds)@$(BIN)/python -m slurm status $(EXP) $(ARGS)

logs: setup  ## what a submitted run says: make logs RUN=lico-seed1 [ARGS=--follow]
	$(call told,RUN,lico-seed1)@$(BIN)/python -m slurm logs $(RUN) $(ARGS)

cancel: setup  ## end a submitted study: make cancel EXP=lico_seeds
	$(call told,EXP,lico_seeds)@$(BIN)/python -m slurm cancel $(EXP) $(ARGS)

report: setup  ## tables and page of an experiment: make report EXP=demo
	$(call told,EXP,demo)@$(BIN)/lico report $(EXP)

doctor: setup  ## what this machine has and lacks
	@$(BIN)/lico doctor

test: setup  ## all tests
	@$(BIN)/pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder $(ARGS)

test-image: setup  ## build the image and test it (7 GB, some minutes)
	@LICO_REQUIRE=image $(BIN)/pytest -m image $(ARGS)

image:  ## build the container image with docker, podman or buildah
	@mkdir -p $(TMPDIR)
	@slurm/container/build.sh

image-demo:  ## the demo in the image, as you and without network; results/ as usual
	@mkdir -p $(TMPDIR)
	@slurm/container/run.sh study demo $(ARGS)

bench: setup  ## what training costs beside the baseline; figures in results/bench/bench.json
	@$(BIN)/lico bench $(ARGS)

lint: setup  ## style, layers, dependencies, shell scripts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/deptry .
	@$(BIN)/shellcheck --external-sources .ci/* slurm/*.sh slurm/container/*.sh slurm/container/triton-cc
	@$(BIN)/hadolint Dockerfile

types: setup  ## static types
	@$(BIN)/pyright

clean:  ## remove the environment and the caches; results stay
	rm -rf .venv .cache

.venv/.ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; give one with make PYTHON=python3.12"; exit 1; }
	@mkdir -p $(TMPDIR)
	@$(PYTHON) -m venv .venv || \
	  { echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-cache-dir 'uv>=0.13,<0.14'
	@$(BIN)/uv sync --locked --inexact
	@touch $@
