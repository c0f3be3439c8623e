# The two commands that matter are `make run` and `make test`; `make help` lists all.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# Where cargo builds; .ci/run sets it to a cache outside of the checkout.
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

# Tests start daemons and virtual machines: more of them at a time than CPUs makes their waits longer than their limits.
TEST_THREADS ?= $(shell nproc 2>/dev/null || echo 2)

# Flags for the agent: make run ARGS="--interval 500ms". They win over what `run` sets by the environment.
ARGS ?=
LISTEN ?= 127.0.0.1:9750

# Seconds for each fuzz target.
FUZZ_SECONDS ?= 30

.PHONY: help run build test e2e lint bench doc fuzz image manifests check-toolchain

help:
	@echo 'make run     build the release binary and start the agent in the foreground (ARGS="--interval 500ms")'
	@echo 'make test    fetch what the tests need, then run all of them (root or sudo)'
	@echo 'make e2e     only the end-to-end test: a real Kubernetes control plane, built once, with real pods'
	@echo 'make build   build the release binary'
	@echo 'make lint    formatting and clippy'
	@echo 'make image   static binary, and a container image of it (docker; NAME=registry/ringside:tag)'
	@echo 'make manifests  render deploy/daemonset.yaml from the chart'
	@echo 'make doc     API documentation, warnings are errors'
	@echo 'make bench   benchmarks'
	@echo 'make fuzz    every fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS)'

# zstd is compiled from C. Everything else needs cargo only.
check-toolchain:
	@command -v cargo >/dev/null || { \
		echo 'cargo is missing: install Rust 1.95 or later with rustup, then run make again' >&2; exit 1; }
	@command -v $${CC:-cc} >/dev/null || { \
		echo 'a C compiler is missing: install one (Debian: apt-get install gcc libc6-dev), or name yours in CC, then run make again' >&2; exit 1; }

build: check-toolchain
	cargo build --release --locked --bin ringside

run: build
	@echo
	@echo 'ringside serves on http://$(LISTEN) until Ctrl-C:'
	@echo '    http://$(LISTEN)/metrics             everything, for Prometheus'
	@echo '    http://$(LISTEN)/openapi.json        the JSON API'
	@echo 'In another terminal:'
	@echo '    $(CARGO_TARGET_DIR)/release/ringside top       live view'
	@echo '    $(CARGO_TARGET_DIR)/release/ringside doctor    what this machine lets it see'
	@echo
	RINGSIDE_LOG_FORMAT=text RINGSIDE_LISTEN='$(LISTEN)' exec '$(CARGO_TARGET_DIR)/release/ringside' agent $(ARGS)

test: check-toolchain
	tests/lab/setup.sh
	tests/lab/control_plane.sh
	INSTA_UPDATE=no cargo test --locked -- --test-threads '$(TEST_THREADS)'

# With its output: the steps, and what kubectl said.
e2e: check-toolchain
	tests/lab/setup.sh
	tests/lab/control_plane.sh
	cargo test --locked --test e2e -- --nocapture

lint: check-toolchain
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

# Instruction counts need valgrind and a runner of the library's own version.
bench: check-toolchain
	@version=$$(sed -n '/^name = "gungraun"$$/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock); \
	gungraun-runner --version 2>/dev/null | grep -qF "$$version" || cargo install --locked gungraun-runner --version "$$version"
	cargo bench --locked

# The image's name; empty is ringside:<version>.
NAME ?=

image: check-toolchain
	deploy/image.sh $(NAME)

manifests:
	deploy/render.sh

doc: check-toolchain
	RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps

fuzz: check-toolchain
	fuzz/run.sh '$(FUZZ_SECONDS)'
