# fdqc: `make help` lists what can be made here.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BUILD ?= build
override BUILD := $(abspath $(BUILD))
BENCHFLAGS ?=
BUDGETFLAGS ?=
FUZZTIME ?= 10m

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)

# Compilers at once: one a CPU, and 2 GiB of memory each.
JOBS ?= $(shell awk -v cpus=$$(nproc) '/^MemAvailable/ {n = int($$2 / 2097152); print n < 1 ? 1 : n < cpus ? n : cpus}' /proc/meminfo)

# What is found or installed is kept in files, so that a recipe reads it when
# it runs and not when make starts.
native = $(MAKE) -j$(JOBS) -f cgo/shim/build.mk BUILD=$(BUILD) LIBTORCH="$$(cat $(BUILD)/libtorch.path)"
# One short line for each file that is compiled or linked.
short = sed -u -E '/Nothing to be done/d; /^mv /d; s|^[^ ]*[+][+] .* -c ([^ ]+) -o .*|c++ \1|; s|^[^ ]*[+][+] .* -o ([^ ]+)$$|link \1|'
with_shim = FDQC_LIB=$(BUILD)/libfdqc.so FDQC_FAULTS_LIB=$(BUILD)/libfdqc_faults.so
with_peers = FDQC_PEERS_PYTHON="$$(cat $(BUILD)/peers.path)" FDQC_GOTORCH_PEER=$(BUILD)/gotorch-peer
with_gotorch = CGO_LDFLAGS="$$(cat $(BUILD)/gotorch.flags)"
# -count=1: the cache of test results knows nothing of the shim.
go_test = env $(with_shim) $(with_peers) python3 scripts/gotest.py --counts $(BUILD)/test-counts

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- set-up and build ----

.PHONY: setup
setup: ## find LibTorch 2.11.0, or install it into the cache folder
	@scripts/prerequisites
	@mkdir -p $(BUILD)
	@found=$$(scripts/setup --last $(BUILD)/libtorch.path); echo "$$found" >$(BUILD)/libtorch.path

.PHONY: shim
shim: setup
	@$(native) shim | $(short)

.PHONY: build
build: shim ## build build/fdqc, with the shim build/libfdqc.so beside it
	@go build -ldflags "$(LDFLAGS)" -o $(BUILD)/fdqc ./engine/cmd/fdqc

.PHONY: demo
demo: build ## judge the shipped actions: learn from one part, judge the other
	@$(BUILD)/fdqc doctor --data-dir $(BUILD)/demo/doctor
	@scripts/demo $(BUILD)/fdqc $(BUILD)/demo

.PHONY: peers
peers: gotorch ## make what tests and bench compare with: Python with PyTorch 2.11, gotorch
	@found=$$(scripts/peers); echo "$$found" >$(BUILD)/peers.path

.PHONY: gotorch
gotorch: setup ## build gotorch's C++ for models/gotorch, and its peer in the benchmark
	@found=$$(scripts/gotorch "$$(cat $(BUILD)/libtorch.path)"); echo "$$found" >$(BUILD)/gotorch.flags
	@$(with_gotorch) go build -tags gotorch -o $(BUILD)/gotorch-peer ./bench/peers/gotorch

.PHONY: tools
tools:
	@mkdir -p $(BUILD)
	@found=$$(scripts/tools); echo "$$found" >$(BUILD)/tools.path

# ---- tests ----

.PHONY: test
test: ## run every test, the conformance check and the linters
	@scripts/prerequisites tests
	@mkdir -p $(BUILD)
	@rm -f $(BUILD)/test-counts
	@$(MAKE) build
	@$(MAKE) test-shim
	@$(MAKE) test-asan
	@$(MAKE) peers
	@$(MAKE) test-kernels
	@$(MAKE) test-go
	@$(MAKE) test-race
	@$(MAKE) test-gotorch
	@$(MAKE) conformance
	@$(MAKE) lint
	@python3 scripts/gotest.py --sum $(BUILD)/test-counts

.PHONY: test-shim
test-shim: setup ## run the C++ tests of the shim
	@$(native) shim-test | $(short)

.PHONY: test-asan
test-asan: setup ## run the C++ tests of the shim under AddressSanitizer
	@$(native) shim-test-asan | $(short)

# NVIDIA's compiler comes with PyTorch's packages, at the version that they pin.
.PHONY: test-kernels
test-kernels: setup peers ## compile the CUDA kernels for sm_80, sm_90 and sm_100; needs no GPU
	@FDQC_NVRTC="$$("$$(cat $(BUILD)/peers.path)" -c 'import os, sysconfig; print(os.path.join(sysconfig.get_path("purelib"), "nvidia/cu13/lib"))')" \
		$(native) shim-test-kernels | $(short)

.PHONY: test-go
test-go: build peers ## run the Go tests
	@$(go_test) go -count=1 ./...

.PHONY: test-race
test-race: build peers ## run the Go tests under the race detector
	@$(go_test) race -race -short -count=1 ./...

# gotorch ends a process that sees one CPU, unless the variable is set.
.PHONY: test-gotorch
test-gotorch: build gotorch ## run the tests of models/gotorch, with and without the race detector
	@$(with_gotorch) OMP_NUM_THREADS=2 $(go_test) gotorch -tags gotorch -count=1 ./models/gotorch
	@$(with_gotorch) OMP_NUM_THREADS=2 $(go_test) gotorch-race -race -tags gotorch -count=1 ./models/gotorch

.PHONY: conformance
conformance: build ## compare with the numbers of the Python reference
	@python3 engine/cmd/fdqc/testdata/conformance/check.py $(BUILD)/fdqc | tee $(BUILD)/conformance.log
	@# The way through a device, with the CPU for one (cgo/shim/device.h).
	@env $(with_shim) FDQC_LIB=$(BUILD)/libfdqc_faults.so FDQC_FAULT_DEVICE=none \
		python3 engine/cmd/fdqc/testdata/conformance/check.py $(BUILD)/fdqc --device cuda --batch-sizes 7 | tee -a $(BUILD)/conformance.log
	@awk '/^[0-9]+ passed, [0-9]+ failed/ {print "conformance", $$1, $$3, 0; n++} END {exit n != 2}' \
		$(BUILD)/conformance.log >>$(BUILD)/test-counts

.PHONY: lint
lint: tools gotorch ## run the linters of Go, shell and Python; findings are errors
	@tools=$$(cat $(BUILD)/tools.path); \
	$$tools/golangci-lint run ./...; \
	$(with_gotorch) $$tools/golangci-lint run --build-tags gotorch ./models/gotorch ./bench/peers/gotorch; \
	$$tools/golangci-lint fmt --diff ./...; \
	$$tools/shellcheck $$(grep -d skip -lE '^#!/usr/bin/env (ba)?sh' scripts/* .ci/*); \
	$$tools/ruff check --no-cache . scripts/budgets scripts/plots; \
	echo "lint: no findings"

.PHONY: soak
soak: build peers ## run what takes too long for every change: races, fuzzing, endurance
	@$(with_shim) $(with_peers) FUZZTIME=$(FUZZTIME) scripts/soak

.PHONY: fuzz
fuzz: build peers ## run every fuzz target for FUZZTIME
	@$(with_shim) $(with_peers) FUZZTIME=$(FUZZTIME) scripts/fuzz

# ---- measurement ----

.PHONY: bench
bench: build peers ## measure this machine, beside PyTorch, FAISS, SciPy; BENCHFLAGS=--quick
	@$(with_shim) $(with_peers) $(BUILD)/fdqc bench --json $(BUILD)/bench.json --html $(BUILD)/bench.html $(BENCHFLAGS)

.PHONY: budgets
budgets: shim ## count instructions and allocations of the kernels, and hold them to their budgets
	@scripts/prerequisites tests
	@$(native) shim-count | $(short)
	@scripts/budgets $(BUILD) $(BUDGETFLAGS)

.PHONY: clean
clean: ## remove what was built here; the cache folder stays
	rm -rf $(BUILD)
