package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/brokertest"
)

const (
	loadInFlight = 8000 // tasks of a second each, at once
	loadTasks    = 100_000
)

// BenchmarkWorker measures one worker process, of each model that runs many
// tasks at once, on a backlog of tasks that wait for a second: tasks a second
// once it has all it may have in flight, the most memory that it had, and the
// processor time that it and the broker took for a task. Everything shares the
// processors of the machine.
func BenchmarkWorker(b *testing.B) {
	binary := filepath.Join(b.TempDir(), "worker")
	build := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-o", binary, ".")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(b, err, "%s", out)
	for _, model := range []struct{ name, args string }{
		{"goroutine", ""}, {"pool", ""}, {"keyed", "--key-queue=0"},
	} {
		b.Run(model.name, func(b *testing.B) {
			for b.Loop() {
				args := []string{"--executor=" + model.name, "--concurrency=" + strconv.Itoa(loadInFlight)}
				if model.args != "" {
					args = append(args, model.args)
				}
				loadWorker(b, binary, args)
			}
		})
	}
}

func loadWorker(b *testing.B, binary string, args []string) {
	b.Helper()
	node := rabbittest.Start(b, rabbittest.WithFullSize)
	fillForLoad(b, node.URL())
	broker := cpuTime(b, node.PID())

	log := &logLines{}
	worker := exec.CommandContext(b.Context(), binary, append([]string{
		"serve", "--amqp-url", node.URL(), "--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0",
	}, args...)...)
	worker.Stderr = log
	require.NoError(b, worker.Start())
	_, admin := log.addresses(b)

	var samples []sample
	for len(samples) == 0 || samples[len(samples)-1].completed < loadTasks {
		samples = append(samples, takeSample(b, admin))
		require.Less(b, time.Since(samples[0].at), 5*time.Minute, "%s", log)
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // The interval of the samples.
	}
	broker = cpuTime(b, node.PID()) - broker
	memory := peakMemory(b, worker.Process.Pid)
	require.NoError(b, worker.Process.Signal(syscall.SIGTERM))
	require.NoError(b, worker.Wait(), "%s", log)

	rate := steadyRate(samples)
	own := worker.ProcessState.UserTime() + worker.ProcessState.SystemTime()
	table := tabwriter.NewWriter(b.Output(), 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "\ntasks/s\tMiB at most\tworker µs a task\tbroker µs a task\t")
	_, _ = fmt.Fprintf(table, "%.0f\t%.0f\t%d\t%d\t\n", rate, memory, own.Microseconds()/loadTasks, broker.Microseconds()/loadTasks)
	_ = table.Flush()
	b.ReportMetric(rate, "tasks/s")
	b.ReportMetric(memory, "MiB")
}

// sample is how many tasks a worker has done at a time.
type sample struct {
	at        time.Time
	completed int
}

func takeSample(b *testing.B, admin string) sample {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), brokertest.Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/executor", http.NoBody)
	require.NoError(b, err)
	resp, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(b, err)
	defer func() { require.NoError(b, resp.Body.Close()) }()
	var state struct {
		Stats struct {
			Completed int `json:"completed"`
		} `json:"stats"`
	}
	require.NoError(b, json.NewDecoder(resp.Body).Decode(&state))
	return sample{time.Now(), state.Stats.Completed}
}

// steadyRate is that from when twice as many tasks are done as are in flight, to
// when as many are left.
func steadyRate(samples []sample) float64 {
	var from, to sample
	for _, s := range samples {
		if from.at.IsZero() && s.completed >= 2*loadInFlight {
			from = s
		}
		if s.completed <= loadTasks-loadInFlight {
			to = s
		}
	}
	return float64(to.completed-from.completed) / to.at.Sub(from.at).Seconds()
}

// peakMemory is the most that was resident of a process, in MiB.
func peakMemory(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(b, err)
	_, rest, ok := bytes.Cut(status, []byte("VmHWM:"))
	require.True(b, ok)
	kib, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
	require.NoError(b, err)
	return float64(kib) / 1024
}

// cpuTime is what a process has taken so far, in the kernel's ticks of 10 ms.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(b, err)
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	user, err := strconv.Atoi(string(fields[11]))
	require.NoError(b, err)
	system, err := strconv.Atoi(string(fields[12]))
	require.NoError(b, err)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// fillForLoad puts the backlog into the queue, as a gateway does.
func fillForLoad(b *testing.B, url string) {
	b.Helper()
	patient := rabbitmq.PublisherConfig{AcquireWait: time.Minute, ConfirmTimeout: time.Minute}
	pub, err := rabbitmq.NewPublisher(patient, rabbitmq.ConnectionConfig{URLs: []string{url}, Name: "fill", DialTimeout: time.Minute}, rabbitmq.Tasks(), nil, nil)
	require.NoError(b, err)
	ctx, stop := context.WithCancel(b.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- pub.Run(ctx) }()
	require.Eventually(b, func() bool { return pub.Ready() == nil }, time.Minute, time.Millisecond)
	const callers = 512
	var next atomic.Int64
	errs := make(chan error, callers)
	for range callers {
		go func() {
			for n := next.Add(1); n <= loadTasks; n = next.Add(1) {
				second := 1000
				m := task.Message{ID: fmt.Sprintf("t-%d", n), AcceptedAt: time.Now().UTC(), Request: task.Request{Action: task.ActionDelay, DurationMS: &second, Run: "load"}}
				body, err := m.Encode()
				if err == nil {
					err = pub.Publish(context.Background(), rabbitmq.TaskMessage("", task.QueueTasks, m.ID, task.Headers{}, body, time.Now()))
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range callers {
		require.NoError(b, <-errs)
	}
	stop()
	require.NoError(b, <-stopped)
}
