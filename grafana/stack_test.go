package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

// patience bounds every wait for something that is bound to happen.
const patience = time.Minute

// stack is a Twinlane of real processes: broker, worker, gateway, and a Prometheus with the configuration and the rules
// of the local stack. It ends with the test.
type stack struct {
	root       string
	dir        string
	began      time.Time
	gateway    string // base URLs
	prometheus string
	client     *http.Client
}

func startStack(t *testing.T) *stack {
	t.Helper()
	root, err := filepath.Abs(root)
	require.NoError(t, err)
	s := &stack{root: root, dir: t.TempDir(), began: time.Now(), client: &http.Client{Timeout: 10 * time.Second}}
	t.Cleanup(s.client.CloseIdleConnections)
	s.command(t, "go", "build", "-o", s.dir, "./gateway", "./worker")

	node := rabbittest.Start(t, rabbittest.WithManagement,
		rabbittest.WithConf("load_definitions = "+filepath.Join(root, "deploy", "rabbitmq", "definitions.json")))
	common := map[string]string{
		"AMQP_URL": node.URL(), "HTTP_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0", "FAULT_INJECTION": "true",
	}
	workerAPI, workerAdmin := s.service(t, "worker", common, "serve")
	common["WORKER_URL"] = workerAPI
	gatewayAPI, gatewayAdmin := s.service(t, "gateway", common)
	s.gateway = gatewayAPI
	for _, admin := range []string{workerAdmin, gatewayAdmin} {
		s.await(t, func() error { return s.get(t.Context(), admin+"/readyz", nil) })
	}
	s.startPrometheus(t, map[string]string{
		"GATEWAY_ADMIN_PORT": portOf(t, gatewayAdmin), "WORKER_ADMIN_PORT": portOf(t, workerAdmin),
		"RABBITMQ_METRICS_PORT": strconv.Itoa(node.Ports().Prometheus),
	})
	return s
}

// command runs a command in the repository's root to its end, with variables added, and returns what it prints.
func (s *stack) command(t *testing.T, name string, args ...string) string {
	t.Helper()
	return s.commandWith(t, nil, name, args...)
}

func (s *stack) commandWith(t *testing.T, env map[string]string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = s.root
	cmd.Env = append(cmd.Environ(), variables(env)...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", cmd, out)
	return string(out)
}

func variables(env map[string]string) []string {
	var all []string
	for name, value := range env {
		all = append(all, name+"="+value)
	}
	return all
}

// process starts a process that ends with the test, with its log in a file.
func (s *stack) process(t *testing.T, name string, cmd *exec.Cmd) (log string) {
	t.Helper()
	log = filepath.Join(s.dir, name+".log")
	out, err := os.Create(filepath.Clean(log))
	require.NoError(t, err)
	defer func() { require.NoError(t, out.Close()) }() // the process has it
	cmd.Stdout, cmd.Stderr = out, out
	p, err := rabbittest.StartProcess(cmd)
	require.NoError(t, err)
	t.Cleanup(p.Kill)
	return log
}

// service starts a gateway or a worker and returns where it listens.
func (s *stack) service(t *testing.T, name string, env map[string]string, args ...string) (api, admin string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(s.dir, name), args...)
	cmd.Env = variables(env)
	log := s.process(t, name, cmd)
	s.await(t, func() error {
		text, err := os.ReadFile(filepath.Clean(log))
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			var l struct {
				Msg    string `json:"msg"`
				Server string `json:"server"`
				Addr   string `json:"addr"`
			}
			if json.Unmarshal(line, &l) == nil && l.Msg == "listening" {
				if l.Server == "http" {
					api = "http://" + l.Addr
				} else {
					admin = "http://" + l.Addr
				}
			}
		}
		if api == "" || admin == "" {
			return fmt.Errorf("%s does not listen: %s", name, text)
		}
		return nil
	})
	return api, admin
}

// startPrometheus starts a Prometheus that scrapes the other processes, and returns when it has done so.
func (s *stack) startPrometheus(t *testing.T, ports map[string]string) {
	t.Helper()
	binary, err := exec.LookPath("prometheus")
	require.NoError(t, err, "Prometheus is not installed: run make deps")
	address := freeAddress(t)
	env := maps.Clone(ports)
	env["PROMETHEUS_PORT"] = portOf(t, "http://"+address)
	env["LAB_METRICS_PORT"] = portOf(t, "http://"+freeAddress(t)) // a lab may run on this machine

	config := filepath.Join(s.dir, "prometheus.yml")
	text := s.commandWith(t, env, "deploy/local/prometheus-config")
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	s.process(t, "prometheus", exec.Command(binary, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(s.dir, "data"),
		"--web.listen-address="+address, "--web.enable-remote-write-receiver", "--log.level=warn"))
	s.prometheus = "http://" + address
	s.await(t, func() error { return s.get(t.Context(), s.prometheus+"/-/ready", nil) })
	s.awaitValue(t, `count(up == 1)`, 5) // gateway, worker, the broker twice, and itself
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, free.Close())
	return free.Addr().String()
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u.Port()
}

// await returns when f finds nothing wrong any more.
func (s *stack) await(t *testing.T, f func() error) {
	t.Helper()
	var last error
	require.Eventually(t, func() bool { last = f(); return last == nil }, patience, 50*time.Millisecond, func() string { return fmt.Sprint(last) })
	require.NoError(t, last)
}

// awaitValue returns when the one value of an expression is at least so high.
func (s *stack) awaitValue(t *testing.T, expr string, least float64) {
	t.Helper()
	s.await(t, func() error {
		found, err := s.query(t.Context(), expr, time.Now())
		if err != nil {
			return err
		}
		if len(found) != 1 || found[0].last() < least {
			return fmt.Errorf("%s is %v, and not %g", expr, found, least)
		}
		return nil
	})
}

// get asks for a page and decodes it, where there is something to decode it into.
func (s *stack) get(ctx context.Context, address string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	return s.do(r, http.StatusOK, into)
}

// task hands in a task and fails the test where the answer is another one.
func (s *stack) task(t *testing.T, lane, body string, status int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.gateway+"/v1/"+lane, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	require.NoError(t, s.do(r, status, nil))
}

func (s *stack) do(r *http.Request, status int, into any) error {
	resp, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != status {
		return fmt.Errorf("%s %s: %s: %s", r.Method, r.URL, resp.Status, body)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}

// series is what a query finds: labels, and a value or several.
type series struct {
	Metric map[string]string
	Value  sample
	Values []sample
}

// sample is a time and a value, which Prometheus writes as text.
type sample [2]any

func (s sample) value() (float64, bool) {
	text, ok := s[1].(string)
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && !math.IsNaN(v) // which says that there is nothing
}

// last is the last value.
func (s series) last() float64 {
	all := slices.Concat(s.Values, []sample{s.Value})
	for i := range all {
		if v, ok := all[len(all)-1-i].value(); ok {
			return v
		}
	}
	return 0
}

// any reports whether there is a value at all.
func (s series) any() bool {
	for _, sample := range slices.Concat(s.Values, []sample{s.Value}) {
		if _, ok := sample.value(); ok {
			return true
		}
	}
	return false
}

// query asks for values at a time.
func (s *stack) query(ctx context.Context, expr string, at time.Time) ([]series, error) {
	return s.ask(ctx, "query", url.Values{"query": {expr}, "time": {unix(at)}})
}

// queryRange asks for values from the start of the stack to a time.
func (s *stack) queryRange(ctx context.Context, expr string, to time.Time, step time.Duration) ([]series, error) {
	return s.ask(ctx, "query_range", url.Values{
		"query": {expr}, "start": {unix(s.began)}, "end": {unix(to)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	})
}

func unix(at time.Time) string { return strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64) }

func (s *stack) ask(ctx context.Context, what string, form url.Values) ([]series, error) {
	var answer struct {
		Data struct{ Result []series }
	}
	err := s.get(ctx, s.prometheus+"/api/v1/"+what+"?"+form.Encode(), &answer)
	return answer.Data.Result, err
}
