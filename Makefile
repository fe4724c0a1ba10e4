# Two commands are enough: `make demo` shows it, `make test` checks it (and installs the servers it checks against).
GO      ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# make bench BENCH=burst runs the benchmarks whose names have "burst" in them.
BENCH   ?= .
TESTING ?= -race -timeout 15m

.PHONY: demo build test lint tidy install bench clean

demo: ## the whole job in one process, with nothing installed
	$(GO) run ./cmd/returnpost demo

build: ## one static binary, bin/returnpost
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/returnpost ./cmd/returnpost

test: install lint tidy ## what continuous integration runs
	$(GO) test $(TESTING) ./...

install: ## the real servers that the tests start for themselves
	@sh e2e/install.sh

lint:
	$(GO) vet ./...
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt these files: $$unformatted" >&2; exit 1; }
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

tidy: ## go.mod and go.sum say exactly what is used
	$(GO) mod tidy -diff
	$(GO) -C tools mod tidy -diff

bench: install ## figures for docs/performance.md: first the parts, then the whole against real servers
	$(GO) test -run '^$$' -bench '(?i)$(BENCH)' -benchmem $$($(GO) list ./... | grep -v '/e2e')
	$(GO) test -run '^$$' -bench '(?i)$(BENCH)' -benchtime 1x -timeout 30m ./e2e

clean:
	rm -rf bin
