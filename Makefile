# Sallyport: what a person types. CI calls these and nothing else.
GO ?= go
BIN := bin/sallyport
FUZZTIME ?= 20s
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: help build run test check e2e soak fuzz bench clean

help: ## what there is to do
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## /\1\t/' | expand -t 10

build: ## build bin/sallyport
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/sallyport

run: build ## start the demo: gateway, backend, three users, lines to paste
	@$(BIN) demo

test: ## unit and property tests; needs only Go
	$(GO) test ./...

check: ## format, vet, staticcheck, known vulnerabilities, the arrows between rooms
	@./scripts/check

e2e: build ## the gateway in front of real programs (scripts/install-real-parts gets them)
	./scripts/e2e

soak: build ## the end-to-end faults with full counts; takes hours (docs/testing.md says how to run a part)
	SALLYPORT_SOAK=$${SALLYPORT_SOAK:-1} ./scripts/e2e

fuzz: ## every fuzz target for FUZZTIME each
	./scripts/fuzz $(FUZZTIME)

bench: build ## the decision, and the gateway beside nginx and HAProxy
	./scripts/bench

clean: ## remove what was built
	rm -rf bin
