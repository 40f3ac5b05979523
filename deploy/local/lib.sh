# What the scripts of this folder share. Sourced, never run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
run=$root/.run     # everything the local stack leaves on disk
state=$run/local   # one record per process, and env: the ports and addresses of the running stack
log=$run/log       # one file per process
# shellcheck disable=SC2034 # used by the scripts that source this
readonly root run state log

# The processes of the stack, in the order in which they start. They stop in the opposite one.
readonly processes=(rabbitmq worker gateway prometheus)

# The variables of the services' settings (gateway --help, worker serve --help), except the addresses: a stack sets those
# itself. deploy/check-config holds these lists to the services and to docker-compose.yml.
# shellcheck disable=SC2034 # used by name
readonly gateway_settings=(MAX_BODY_BYTES SYNC_MAX_IN_FLIGHT SYNC_TIMEOUT ASYNC_MAX_IN_FLIGHT PUBLISH_STRATEGY
  PUBLISH_CONNECTIONS PUBLISH_CHANNELS PUBLISH_MAX_IN_FLIGHT PUBLISH_ACQUIRE_WAIT PUBLISH_CONFIRM_TIMEOUT SIGNING_KEYS
  WAIT_MAX_IN_FLIGHT RESULTS_MAX_TASKS RESULTS_MAX_BYTES LINKS REPORTS_DIR OTEL_EXPORTER_OTLP_ENDPOINT TRACE_SAMPLE_RATIO
  LOG_LEVEL FAULT_INJECTION DRAIN_DELAY SHUTDOWN_GRACE)
# shellcheck disable=SC2034 # used by name
readonly worker_settings=(LOG_LEVEL EXECUTOR CONCURRENCY POOL_CORE POOL_MAX POOL_KEEP_ALIVE POOL_QUEUE POOL_POLICY KEY_QUEUE
  OS_THREADS WATCHDOG_LIMIT WATCHDOG_INTERVAL SYNC_CONCURRENCY TASK_TIMEOUT MAX_ATTEMPTS DEFAULT_DURATION HTTP_ACTION_URL
  OTEL_EXPORTER_OTLP_ENDPOINT TRACE_SAMPLE_RATIO FAULT_INJECTION SHUTDOWN_GRACE)

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# listens PORT: does anything accept connections there?
listens() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# http_get PORT PATH prints the whole answer to a GET, or nothing where there is none.
http_get() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&3
    timeout 5 cat <&3
  ) 2>/dev/null || true
}

# http_status PORT PATH prints the status code of that answer.
http_status() {
  local code=
  read -r _ code _ < <(http_get "$@") || true
  printf '%s' "$code"
}

# start_time PID prints when a process was started, in the kernel's ticks, and fails when there is none.
start_time() {
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  read -ra fields <<<"${stat##*) }" # the command's name before it may hold anything
  [[ ${fields[0]} != Z ]] && printf '%s' "${fields[19]}"
}

# record NAME PID remembers a process. Its start time tells it from a later one with the same id.
record() {
  printf '%s %s\n' "$2" "$(start_time "$2")" >"$state/$1.pid"
}

# pid_of NAME prints the id of a remembered process, and fails when it runs no more.
pid_of() {
  local pid started
  read -r pid started 2>/dev/null <"$state/$1.pid" || return 1
  [[ -n $started && $(start_time "$pid") == "$started" ]] && printf '%s' "$pid"
}

# running NAME: does that part of the stack run?
running() {
  pid_of "$1.keeper" >/dev/null || pid_of "$1" >/dev/null
}

# stack_running: does any part of it run?
stack_running() {
  local name
  for name in "${processes[@]}"; do
    if running "$name"; then return 0; fi
  done
  return 1
}

# docker_answers: are Docker and its compose plugin there?
docker_answers() {
  type -P docker >/dev/null && timeout 10 docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1
}

# containers_running: does the stack of docker-compose.yml run?
containers_running() {
  docker_answers && [[ -n $(docker compose --project-directory "$root" ps --quiet gateway 2>/dev/null) ]]
}

# without_effect SERVICE prints the settings of a service that are set here, but not so where it was started. Its own
# environment comes on standard input, a variable a line.
without_effect() {
  local -n settings=$1_settings
  local environment name
  environment=$(cat)
  for name in "${settings[@]}"; do
    if [[ -n ${!name:-} ]] && ! grep -qxF -e "$name=${!name}" <<<"$environment"; then printf '%s\n' "$name"; fi
  done
}

# local_without_effect prints those settings for the part of the local stack that runs.
local_without_effect() {
  local service pid
  for service in gateway worker; do
    if pid=$(pid_of "$service.keeper" || pid_of "$service"); then
      without_effect "$service" < <(tr '\0' '\n' <"/proc/$pid/environ")
    fi
  done | sort -u
}

# explain_without_effect NAMES RESTART says that these settings, a name a line, have no effect, and what would change it.
explain_without_effect() {
  printf 'These settings have no effect on the stack that runs, which was started with others: %s. %s\n' \
    "${1//$'\n'/, }" "$2" >&2
}

# shellcheck disable=SC2034 # used by the scripts that source this
readonly restart_local="To restart it with what is set: make local-down local"
