# Everything a developer or a machine runs starts here; `make` alone prints the list.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules --no-print-directory

GO ?= go
# Where benchmarks and fuzzing look, and how long: make bench BENCH=Fanout PKG=./gateway COUNT=10
PKG ?= ./...
BENCH ?= .
COUNT ?= 1
FUZZTIME ?= 5s
# More arguments for go test, for example TESTFLAGS='-run=Codec -v'.
TESTFLAGS ?=
DEMOFLAGS ?=
COMPAREFLAGS ?=

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
# The version is stamped above, so Go need not ask git again; static, so it runs in an empty container.
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'

TOOLS := $(CURDIR)/.tools
GOLANGCI_VERSION := 2.12.2
GOLANGCI := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)
# Its findings name files by the path of the checkout that they were found in, and a rule that goes by path misses those
# of another one. So the cache is this checkout's own.
export GOLANGCI_LINT_CACHE := $(TOOLS)/lint-cache

NATS_VERSION := 2.15.2
MOCHI := bench/peers/testdata/mochi

DIST_TARGETS := amd64 arm64 armv7
UNIT := cmd/bellwire/dist/bellwire.service
SAMPLE := cmd/bellwire/dist/bellwire.yaml
POLICY := cmd/bellwire/dist/policy.yaml

.PHONY: help
help: ## Print this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: all
all: lint test build ## Lint, test and build: what to run before a commit

.PHONY: demo
demo: build ## Start three gateways and 1,000 devices, kill two of the gateways, and watch the devices (DEMOFLAGS=…)
	bin/bellwire demo $(DEMOFLAGS)

.PHONY: build
build: ## Build bin/bellwire, static, with its version inside
	@mkdir -p bin
	$(BUILD) -o bin/bellwire ./cmd/bellwire

.PHONY: test
test: cc ## Unit tests, with the race detector and in random order (TESTFLAGS=…)
	CGO_ENABLED=1 $(GO) test -race -shuffle=on $(TESTFLAGS) ./...

# What the race detector makes inexact: exactly the tests that cmd/skips.txt lets skip, so none is left out.
.PHONY: test-memory
test-memory: ## Tests of memory and allocations, without the race detector (TESTFLAGS=…)
	names=$$(awk '!/^#/ && NF >= 3 { print $$2 }' cmd/skips.txt | paste -sd'|')
	$(GO) test -run "^($$names)\$$" $(TESTFLAGS) $$(awk '!/^#/ && NF >= 3 { print $$1 }' cmd/skips.txt | sort -u)

# For systems that have no gateway. One line, since the make that macOS has knows no .ONESHELL; no race detector, since a
# runner with Windows has no C compiler that it can use.
.PHONY: test-client
test-client: ## Unit tests of what builds on every system: protocol, index, SDK and tools (TESTFLAGS=…)
	$(GO) test -shuffle=on $(TESTFLAGS) ./wire ./fanout ./client ./cmd/...

.PHONY: e2e
e2e: build ## End-to-end tests of the built binary, as root (TESTFLAGS=…)
	BELLWIRE_BINARY=$(CURDIR)/bin/bellwire $(GO) test -tags e2e -count=1 $(TESTFLAGS) ./cmd/... ./bench/...

# Namespaces and mounts take root, here and in e2e; without it the run fails with a sentence, since what is skipped looks
# like what has passed.
FAULT ?=
.PHONY: faults
faults: build ## Kill, cut off, stop and starve the gateways of a fleet under load, half an hour, as root (FAULT=kill for one part)
	BELLWIRE_BINARY=$(CURDIR)/bin/bellwire BELLWIRE_FAULTS=full BELLWIRE_FAULTS_RESULT=$(CURDIR)/bench/results/faults.json \
	  $(GO) test -tags e2e -count=1 -timeout 90m -v -run '^TestFaults$$$(if $(FAULT),/^$(FAULT)$$)' $(TESTFLAGS) ./cmd/bellwire

# Up to Go 1.26 a run may end with a bare "context deadline exceeded" when FUZZTIME is over, by a race in go test itself. A
# real finding always writes its input, so such an end, and only such a one, is tried a second time.
.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME each (FUZZTIME=5s, PKG=./...)
	@found=0; log=$$(mktemp); trap 'rm -f "$$log"' EXIT
	try() { $(GO) test -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(FUZZTIME) "$${dir%%=*}" 2>&1 | tee "$$log"; }
	ended_by_race() { grep -qx ' *context deadline exceeded' "$$log" && ! grep -qE 'Failing input|panic:|_test\.go:' "$$log"; }
	for dir in $$($(GO) list -f '{{.ImportPath}}={{.Dir}}' $(PKG)); do
	  names=$$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$${dir#*=}"/*_test.go 2>/dev/null | awk '{ print $$2 }') || true
	  for name in $$names; do
	    found=$$((found + 1)); begin=$$SECONDS
	    echo "--- fuzz $${dir%%=*} $$name for $(FUZZTIME)"
	    if ! try; then
	      ended_by_race || exit 1
	      echo "--- $$name ended by the race of go test: once more"
	      try
	    fi
	    echo "--- $$name took $$((SECONDS - begin)) s"
	  done
	done
	[ "$$found" -gt 0 ] || { echo "no fuzz target found in $(PKG)"; exit 1; }
	echo "$$found fuzz targets passed"

.PHONY: bench
bench: ## Benchmarks, with allocations (BENCH=regexp PKG=./... COUNT=1)
	$(GO) test -run='^$$' -bench='$(BENCH)' -benchmem -count=$(COUNT) $(TESTFLAGS) $(PKG)

.PHONY: bench-smoke
bench-smoke: cc build ## Run every benchmark and every scenario once, tiny, to know that they still work
	$(GO) test -run='^$$' -bench=. -benchtime=1x $(TESTFLAGS) ./...
	bin/bellwire bench compare --quick --scenarios fanout,topics,growth,latency,connect,storm,slow,idle,soak
	for scenario in tls-idle tls-fanout attack handshakes fleet; do bin/bellwire bench $$scenario --quick; done

.PHONY: compare
compare: cc build peers ## Measure the gateway, other servers and two C loops, all in one run, about half an hour (COMPAREFLAGS=…)
	bin/bellwire bench compare --pin --peers nats,mosquitto,redis,mochi $(COMPAREFLAGS)

SECUREFLAGS ?=

.PHONY: secure
secure: cc build ## Measure what TLS costs, handshakes and an attack, about half an hour (SECUREFLAGS=…)
	for scenario in tls-idle tls-fanout handshakes attack; do
	  pin=--pin; [ $$scenario != tls-idle ] || pin=
	  bin/bellwire bench $$scenario $$pin --output bench/results/$$scenario.json $(SECUREFLAGS)
	done

FLEETFLAGS ?=

.PHONY: fleet
fleet: build ## Measure gateways that broadcast together, about three minutes (FLEETFLAGS=…)
	bin/bellwire bench fleet --pin --output bench/results/fleet.json $(FLEETFLAGS)

# A server of the PATH is used as it is. What cannot be installed is left out of the table, which says so.
.PHONY: peers
peers: ## Install the servers that compare measures, into .tools or as packages of the system
	@mkdir -p $(TOOLS)
	command -v nats-server >/dev/null || [ -x $(TOOLS)/nats-server ] ||
	  GOBIN=$(TOOLS) $(GO) install github.com/nats-io/nats-server/v2@v$(NATS_VERSION) || echo "nats-server could not be built"
	[ -x $(TOOLS)/mochi ] || (cd $(MOCHI) && $(GO) build -o $(TOOLS)/mochi .) || echo "mochi could not be built"
	missing=""
	for server in mosquitto redis-server; do
	  PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v "$$server" >/dev/null || missing="$$missing $$server"
	done
	[ -n "$$missing" ] || exit 0
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	  apt-get update -q && apt-get install -qy --no-install-recommends $$missing || echo "could not install$$missing"
	else
	  echo "cannot install$$missing here: install them yourself to have them in the table"
	fi

.PHONY: results
results: ## Write bench/RESULTS.md anew from the committed bench/results/*.json
	$(GO) generate ./bench/...

.PHONY: lint
lint: $(GOLANGCI) ## Module file, format, lint rules, and the builds for other systems
	$(GO) mod tidy -diff
	$(GOLANGCI) run ./...
	for os in darwin windows; do GOOS=$$os CGO_ENABLED=0 $(GO) vet ./client ./wire ./fanout ./cmd/...; done
	for arch in arm 386; do GOOS=linux GOARCH=$$arch GOARM=7 CGO_ENABLED=0 $(GO) vet ./...; done

.PHONY: fmt
fmt: $(GOLANGCI) ## Format all Go files as lint wants them
	$(GOLANGCI) fmt ./...

.PHONY: deps
deps: ## Write cmd/deps.txt anew: every package of others that the binary links
	GOOS=linux GOARCH=amd64 CGO_ENABLED=0 $(GO) list -deps -f '{{if and (not .Standard) (not .Module.Main)}}{{.ImportPath}}{{end}}' ./cmd/bellwire | LC_ALL=C sort -u > cmd/deps.txt.new
	mv cmd/deps.txt.new cmd/deps.txt

.PHONY: dist
dist: ## Release tarballs for Linux (amd64, arm64, armv7) with SHA256SUMS, in dist/
	@rm -rf dist
	mkdir -p dist
	for target in $(DIST_TARGETS); do
	  name=bellwire-$(VERSION)-linux-$$target
	  case $$target in armv7) arch=arm ;; *) arch=$$target ;; esac
	  mkdir "dist/$$name"
	  GOOS=linux GOARCH=$$arch GOARM=7 $(BUILD) -o "dist/$$name/bellwire" ./cmd/bellwire
	  cp README.md LICENSE CHANGELOG.md $(UNIT) $(SAMPLE) $(POLICY) "dist/$$name/"
	  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$$(git log -1 --format=%ct)" -C dist -c "$$name" | gzip -9n > "dist/$$name.tar.gz"
	  rm -r "dist/$$name"
	done
	cd dist
	sha256sum *.tar.gz | tee SHA256SUMS

.PHONY: clean
clean: ## Remove what make created, except the tools
	rm -rf bin dist

# The race detector is C, and certificates are tried with openssl; everything else here needs only Go.
.PHONY: cc
cc:
	@command -v gcc >/dev/null && command -v openssl >/dev/null && exit 0
	echo "the race detector needs a C compiler, the tests of TLS need openssl: installing gcc and openssl"
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	  apt-get update -q && apt-get install -qy --no-install-recommends gcc libc6-dev openssl
	else
	  echo "cannot install them here: install them (Debian: apt-get install gcc libc6-dev openssl) and try again"; exit 1
	fi

# A linter of exactly this version on the PATH is used as it is; building one takes some minutes.
$(GOLANGCI):
	@mkdir -p $(TOOLS)
	if have=$$(command -v golangci-lint) && "$$have" version 2>/dev/null | grep -qF "version $(GOLANGCI_VERSION) "; then
	  ln -sf "$$have" $@
	else
	  echo "building golangci-lint $(GOLANGCI_VERSION) into .tools"
	  GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI_VERSION)
	  mv $(TOOLS)/golangci-lint $@
	fi

.ONESHELL:
