# Every command that a person types. `make` alone lists them.

# The tools that the targets below bring along. The versions of images are in docker-compose.yml and
# deploy/Dockerfile, that of k6 in k6/K6_VERSION, those of libraries in each go.mod.
GOLANGCI_LINT_VERSION := v2.15.0

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Where binaries, logs and the data of the local stack are.
run := .run
golangci_lint := $(CURDIR)/$(run)/bin/golangci-lint-$(GOLANGCI_LINT_VERSION)

# Evaluated where they are used, so that a target that needs no Go works without it.
modules = $(shell go list -f '{{.Dir}}' -m)
packages = $(addsuffix /...,$(modules))

##@ Run it

.PHONY: up
up: ## Start the containers and wait until they are healthy; TRACING=1 with traces
	@mkdir -p k6/out
	$(if $(TRACING),TRACING=1 )docker compose $(if $(TRACING),--profile tracing )up --detach --build --wait
	@printf '%-12s http://127.0.0.1:%s\n' \
		gateway "$${GATEWAY_PORT:-8080}" \
		RabbitMQ "$${MANAGEMENT_PORT:-15672} (user and password twinlane)" \
		Prometheus "$${PROMETHEUS_PORT:-9090}" \
		Grafana "$${GRAFANA_PORT:-3000}" \
		$(if $(TRACING),Jaeger "$${JAEGER_PORT:-16686}")

.PHONY: down
down: ## Stop the containers; their volumes stay
	docker compose --profile load --profile tracing down

.PHONY: local
local: ## Start the same without Docker: a private RabbitMQ, worker, gateway, Prometheus if installed
	@deploy/local/up

.PHONY: local-down
local-down: ## Stop what `make local` started
	@deploy/local/down

##@ Measure it

.PHONY: sweep
sweep: ## Load both lanes at rising rates and report: QUICK=1, or RPS=, DURATION=, LANES=, BASELINE=run, …; STACK=compose or local
	@deploy/with-stack deploy/sweep

.PHONY: compare
compare: ## Compare two sweeps, the baseline A= and B=, by run id or file; fails where B is worse: TOLERANCE=10 per cent
	@k6/compare

.PHONY: lab
lab: ## Run the published experiments, beside what was published and predicted: EXPERIMENT=NAME, QUICK=1, DOCS=1, ARGS=
	@$(MAKE) --silent build
	@deploy/lab

.PHONY: bench
bench: deps ## Compare publisher strategies with a raw client, execution models with libraries, one worker under load (ROUNDS=)
	go test -run='^$$' -bench=. -benchtime=$(or $(ROUNDS),10)x ./worker/internal/executor/
	go test -run='^$$' -bench=. -benchtime=$(or $(ROUNDS),10)x ./internal/rabbitmq/ ./worker/internal/consumer/
	go test -run='^$$' -bench=. -benchtime=1x ./worker/
	go test -run='^$$' -bench=. -benchmem ./gateway/internal/httpapi/ ./gateway/internal/outcomes/

.PHONY: chaos
chaos: deps ## Break broker, network, workers and gateways, row by row, and look for lost tasks: ROW=, SEED=, ARGS=--list
	@$(MAKE) --silent build
	@CGO_ENABLED=0 go build -buildvcs=auto -trimpath -o $(run)/bin/ ./internal/faults/chaos
	$(run)/bin/chaos $(ROW) $(if $(SEED),--seed=$(SEED)) $(ARGS)

##@ Look into it

.PHONY: dlq
dlq: ## List, show, replay or purge dead tasks: ARGS='ls', ARGS='--help'
	@$(MAKE) --silent build
	@if [[ -z "$${AMQP_URL:-}" && -r $(run)/local/env ]]; then . $(run)/local/env; fi; \
		export AMQP_URL=$${AMQP_URL:-amqp://twinlane:twinlane@127.0.0.1:$${AMQP_PORT:-5672}/}; \
		$(run)/bin/worker dlq $(ARGS)

##@ Work on it

.PHONY: deps
deps: ## Install what the local stack and the tests need: RabbitMQ, a C compiler for the race detector, Chromium, Prometheus
	@deploy/local/deps broker compiler browser prometheus

.PHONY: build
build: ## Build the static binaries into .run/bin
	CGO_ENABLED=0 go build -buildvcs=auto -trimpath -o $(run)/bin/ ./gateway ./worker ./internal/rabbitmq/rabbittest/rabbitnode

.PHONY: test
test: test-go test-k6 ## Run all tests, against real processes

.PHONY: test-go
test-go: deps ## Run the Go tests, with the race detector and a real RabbitMQ: TESTFLAGS='-run Name -v'
	@k6/which >/dev/null # the test of the dashboards runs a sweep
	go test -race $(TESTFLAGS) $(packages)

.PHONY: test-k6
test-k6: ## Run the tests of the sweep
	k6/test/run

.PHONY: dashboards
dashboards: ## Write grafana/dashboards from grafana/internal/boards
	go run ./grafana grafana/dashboards

.PHONY: check-config
check-config: ## Check scripts and configuration files with the tools that are installed
	@deploy/check-config

.PHONY: lint
lint: $(golangci_lint) ## Run golangci-lint, which also holds the import rules
	@failed=; for module in $(modules); do \
		printf 'lint %s\n' "$${module##*/}"; \
		(cd "$$module" && $(golangci_lint) run) || failed=yes; \
	done; [[ -z $$failed ]]

.PHONY: check
check: lint check-config ## Run everything but the tests that has to pass before a change lands
	go vet $(packages)
	@for module in $(modules); do \
		printf 'tidy and standalone build: %s\n' "$${module##*/}"; \
		(cd "$$module"; GOWORK=off go mod tidy -diff; GOWORK=off go build -o /dev/null ./...); \
	done

.PHONY: fmt
fmt: $(golangci_lint) ## Format the Go code
	@for module in $(modules); do (cd "$$module"; $(golangci_lint) fmt); done

.PHONY: tidy
tidy: ## Tidy each go.mod
	@for module in $(modules); do (cd "$$module"; GOWORK=off go mod tidy); done
	go work sync

.PHONY: clean
clean: local-down ## Remove binaries, logs and the data of the local stack; reports stay
	rm -rf $(run)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' ' \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

$(golangci_lint):
	GOBIN=$(@D) GOWORK=off CGO_ENABLED=0 \
		go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(@D)/golangci-lint $@
