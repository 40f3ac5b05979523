package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/worker/internal/brokertest"
	"github.com/twinlane/twinlane/worker/internal/lab"
)

// hens is an experiment that takes no time.
func hens(name string, err error) lab.Experiment {
	return lab.Experiment{
		Name: name, Part: "X", Question: "How many eggs?", Method: "Hens are watched.",
		Quantities: []lab.Quantity{{Key: "eggs", Name: "eggs", Unit: lab.Count}},
		Cases: func(lab.Size) []lab.Case {
			return []lab.Case{{Name: "hen", Takes: time.Second, Measure: func(ctx context.Context, _ *lab.Env) ([]lab.Figure, error) {
				return []lab.Figure{lab.Measured("eggs", 3)}, errors.Join(err, context.Cause(ctx))
			}}}
		},
		Finding: func(t lab.Table) string {
			return "There are " + lab.Count.Format(lab.Number(t.Measured("hen", "eggs"))) + "."
		},
	}
}

// runHens runs experiments as the command does.
func runHens(t *testing.T, c labRunCommand, experiments ...lab.Experiment) (out, log string, err error) {
	t.Helper()
	var stdout, stderr logLines
	err = c.runAll(t.Context(), streams{strings.NewReader(""), &stdout, &stderr}, experiments, prometheus.NewRegistry())
	return stdout.String(), stderr.String(), err
}

func TestLabPrintsTables(t *testing.T) {
	t.Parallel()
	out, log, err := runHens(t, labRunCommand{}, hens("one", nil), hens("two", nil))
	require.NoError(t, err)
	for _, want := range []string{"one (X)\nHow many eggs?", "=> There are 3.", "two (X)"} {
		require.Contains(t, out, want)
	}
	require.Equal(t, "one: case 1 of 1, hen; about 1s to go\ntwo: case 1 of 1, hen; about 1s to go\n", log)
}

func TestLabGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	out, _, err := runHens(t, labRunCommand{}, hens("one", errors.New("fox")), hens("two", nil))
	require.EqualError(t, err, "one: hen: fox")
	require.Contains(t, out, "two (X)")
}

func TestAnInterruptSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	interrupt := func(left error) error {
		ctx, cancel := context.WithCancel(t.Context())
		e := hens("one", left)
		cases := e.Cases(lab.Full)
		measure := cases[0].Measure
		cases[0].Measure = func(ctx context.Context, env *lab.Env) ([]lab.Figure, error) {
			cancel()
			return measure(ctx, env)
		}
		e.Cases = func(lab.Size) []lab.Case { return cases }
		return new(labRunCommand).runAll(ctx, streams{strings.NewReader(""), io.Discard, io.Discard}, []lab.Experiment{e, hens("two", nil)}, prometheus.NewRegistry())
	}
	require.EqualError(t, interrupt(nil), "interrupted: one has no result, and nothing of it is left")
	err := interrupt(lab.ErrLeftBehind)
	require.ErrorIs(t, err, lab.ErrLeftBehind)
	require.NotContains(t, err.Error(), "nothing of it is left")
}

func TestLabWritesWhatMachinesRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	page, results := filepath.Join(dir, "lab.html"), filepath.Join(dir, "kept", "results.json")
	out, _, err := runHens(t, labRunCommand{JSON: true, HTML: page, Results: results}, hens("one", nil), hens("two", nil))
	require.NoError(t, err)
	var report struct {
		Environment struct {
			Cores int `json:"cores"`
		} `json:"environment"`
		Experiments []struct {
			Finding string `json:"finding"`
		} `json:"experiments"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.Positive(t, report.Environment.Cores)
	require.Len(t, report.Experiments, 2)
	require.Equal(t, "There are 3.", report.Experiments[1].Finding)

	html, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(html), "How many eggs?")
	kept, err := os.ReadFile(results)
	require.NoError(t, err)
	require.Equal(t, out, string(kept))

	out, _, err = runHens(t, labRunCommand{CSV: true}, hens("one", nil))
	require.NoError(t, err)
	require.Contains(t, out, "\none,X,hen,eggs,")
}

func TestLabListsWhatItAsks(t *testing.T) {
	t.Parallel()
	code, out, _ := runWith(t, "", "lab", "ls")
	require.Zero(t, code)
	for _, e := range lab.Experiments() {
		require.Regexp(t, `(?m)^`+e.Name+` +`+e.Part+` +\S`, out)
		require.Contains(t, out, e.Question)
	}
}

func TestWrongArgumentsOfTheLabAreNamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"name":    {[]string{"fanuot"}, `there is no experiment "fanuot"; there are publishers, `},
		"form":    {[]string{"--json", "--csv"}, "--json and --csv can't be used together"},
		"metrics": {[]string{"--metrics", "8092"}, `--metrics: "8092" is not allowed; allowed: host:port`},
		"broker":  {[]string{"--amqp-url", "http://u:secret@h"}, "AMQP_URL: broker address 1 is not of the form"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, log := runWith(t, "", append([]string{"lab"}, tt.args...)...)
			require.Equal(t, exitUsage, code)
			require.Empty(t, out)
			require.Contains(t, log, tt.want)
			require.NotContains(t, log, "secret")
		})
	}
}

// TestAnInterruptEndsEveryExperiment sends the signal of ctrl-C to real
// processes in their first case, and looks for what they leave behind.
func TestAnInterruptEndsEveryExperiment(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	v := brokertest.NewVHost(t, node)
	for _, name := range lab.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProcess(t, "lab", name, "--amqp-url", v.URL(), "--metrics", "127.0.0.1:0")
			require.Eventually(t, func() bool { return strings.Contains(p.log.String(), "case 1 of ") }, brokertest.Patience, brokertest.Interval, "%s", p.log)
			if name == "consume" {
				_, rest, _ := strings.Cut(p.log.String(), "metrics at ")
				url, _, _ := strings.Cut(rest, "\n")
				require.Eventually(t, func() bool { // once the case has its executor
					_, body := get(t, url)
					return strings.Contains(body, `lab_executor_tasks{case="one at a time, 2,500/s arrive",experiment="consume"}`) &&
						strings.Contains(body, "\ngo_threads ") && strings.Contains(body, "\ngo_goroutines ")
				}, brokertest.Patience, brokertest.Interval)
			}
			require.Equal(t, exitFailed, p.end(t, syscall.SIGINT), "%s", p.log)
			require.Contains(t, p.log.String(), "interrupted: "+name+" has no result, and nothing of it is left")
			require.NotContains(t, p.out.String(), "=>")
		})
	}
	t.Cleanup(func() { // after the processes
		queues, err := node.Ctl(context.WithoutCancel(t.Context()), "list_queues", "--vhost", v.Name, "--no-table-headers", "name")
		require.NoError(t, err)
		require.Empty(t, strings.TrimSpace(queues))
	})
}
