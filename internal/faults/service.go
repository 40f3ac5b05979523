package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

// settings are environment variables of a process; it gets these and no others.
type settings map[string]string

// service is a gateway or a worker: one process after the other, with one log file for all of them.
type service struct {
	kind   string // gateway or worker
	name   string
	binary string
	args   []string
	set    settings
	log    string
	client *http.Client
	within time.Duration // that a process of it starts in
	out    atomic.Bool   // not to be sent requests, as a watch has found

	mu      sync.Mutex
	process *rabbittest.Process
	api     string // base URLs of the last process
	admin   string
}

// startTimeout bounds the start of a process on a busy machine.
const startTimeout = 20 * time.Second

// start starts a process and returns when it listens.
func (s *service) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.within)
	defer cancel()
	log, err := os.OpenFile(filepath.Clean(s.log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("log of %s: %w", s.name, err)
	}
	defer func() { _ = log.Close() }() // the process has it
	from, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("log of %s: %w", s.name, err)
	}
	p, err := rabbittest.StartProcess(s.command(log))
	if err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	api, admin, err := s.addresses(ctx, p, from)
	if err != nil {
		p.Kill()
		return fmt.Errorf("start %s: %w, see %s", s.name, err, s.log)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process, s.api, s.admin = p, "http://"+api, "http://"+admin
	return nil
}

// startTool starts a process that serves nothing.
func startTool(s *service, out io.Writer) (*rabbittest.Process, error) {
	return rabbittest.StartProcess(s.command(out))
}

// command is the process with its own environment and nothing of this one's.
func (s *service) command(log io.Writer) *exec.Cmd {
	cmd := exec.Command(s.binary, s.args...) //nolint:gosec,noctx // What is started is the caller's choice, and outlives its start.
	cmd.Env = []string{}
	for name, value := range s.set {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdout, cmd.Stderr = log, log
	return cmd
}

// addresses waits for the log lines, after the first from bytes, that say where the process listens.
func (s *service) addresses(ctx context.Context, p *rabbittest.Process, from int64) (api, admin string, err error) {
	err = poll(ctx, 10*time.Millisecond, func() error {
		select {
		case <-p.Done():
			return errEnded
		default:
		}
		text, err := os.ReadFile(s.log)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text[min(from, int64(len(text))):]) {
			var l struct {
				Msg    string `json:"msg"`
				Server string `json:"server"`
				Addr   string `json:"addr"`
			}
			if json.Unmarshal(line, &l) != nil || l.Msg != "listening" {
				continue
			}
			if l.Server == "http" {
				api = l.Addr
			} else {
				admin = l.Addr
			}
		}
		if api == "" || admin == "" {
			return errors.New("it does not listen yet")
		}
		return nil
	})
	return api, admin, err
}

// errEnded says that a process has ended, which no further waiting mends.
var errEnded = errors.New("the process has ended")

// url is the base URL of the API.
func (s *service) url() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.api
}

func (s *service) current() (p *rabbittest.Process, admin string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process, s.admin
}

// kill ends the process with SIGKILL, as a crash does.
func (s *service) kill() {
	if p, _ := s.current(); p != nil {
		p.Kill()
	}
}

// running reports whether the process has not ended.
func (s *service) running() bool {
	p, _ := s.current()
	if p == nil {
		return false
	}
	select {
	case <-p.Done():
		return false
	default:
		return true
	}
}

// terminate asks the process to stop, waits until it has, and fails where that is not in order.
func (s *service) terminate(ctx context.Context) error {
	p, _ := s.current()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		return fmt.Errorf("stop %s: %w", s.name, ctx.Err())
	}
	if !p.State().Success() {
		return fmt.Errorf("stop %s: %s, see %s", s.name, p.State(), s.log)
	}
	return nil
}

// get asks the admin server for a page.
func (s *service) get(ctx context.Context, path string) (status int, body []byte, err error) {
	_, admin := s.current()
	return get(ctx, s.client, admin+path)
}

func get(ctx context.Context, client *http.Client, url string) (status int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, nil, fmt.Errorf("get %s: %w", url, err)
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, nil, fmt.Errorf("get: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return 0, nil, fmt.Errorf("get %s: %w", url, err)
	}
	return resp.StatusCode, body, nil
}

// ready says why the process is not ready, or nothing.
func (s *service) ready(ctx context.Context) error {
	if !s.running() {
		return errEnded
	}
	status, body, err := s.get(ctx, "/readyz")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s is not ready: %s", s.name, bytes.TrimSpace(body))
	}
	return err
}

// metric adds up the values of a metric, over all series that have each of the labels, such as `code="200"`.
func (s *service) metric(ctx context.Context, name string, labels ...string) (float64, error) {
	_, body, err := s.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		value, ok := sample(lines.Text(), name, labels)
		found = found || ok
		sum += value
	}
	if !found {
		return 0, fmt.Errorf("%s has no metric %s with %v", s.name, name, labels)
	}
	return sum, nil
}

// sample is the value of one line of a metrics page, where it is one of the series asked for.
func sample(line, name string, labels []string) (float64, bool) {
	rest, ok := strings.CutPrefix(line, name)
	if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
		return 0, false
	}
	for _, label := range labels {
		if !strings.Contains(rest, label) {
			return 0, false
		}
	}
	value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
	return value, err == nil
}

// goroutines counts the goroutines of the process.
func (s *service) goroutines(ctx context.Context) (int, error) {
	_, body, err := s.get(ctx, "/debug/pprof/goroutine?debug=1")
	if err != nil {
		return 0, err
	}
	var n int
	if _, err := fmt.Sscanf(string(body), "goroutine profile: total %d", &n); err != nil {
		return 0, fmt.Errorf("goroutines of %s: %w", s.name, err)
	}
	return n, nil
}

// poll calls f until it succeeds, the process that it looks at has ended, or ctx ends; then it returns what f says.
func poll(ctx context.Context, interval time.Duration, f func() error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := f()
		if err == nil || errors.Is(err, errEnded) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}
