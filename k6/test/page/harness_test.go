package page

import (
	"bufio"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// root is the repository's.
const root = "../../.."

// runs are those of pages.js, and what is there of them to see.
var runs = []string{"sweep", "overload", "worse", "silent", "many"} //nolint:gochecknoglobals // A constant, as far as Go has one of lists.

// summary is as much of a summary.json as the tests look at.
type summary struct {
	Steps []step `json:"steps"`
}

type step struct {
	Name          string      `json:"name"`
	Lane          string      `json:"lane"`
	RPS           float64     `json:"rps"`
	Sent          float64     `json:"sent"`
	Throughput    float64     `json:"throughput_rps"`
	Goodput       float64     `json:"goodput_rps"`
	Drop          float64     `json:"drop_share"`
	PredictedDrop float64     `json:"predicted_drop_share"`
	Errors        float64     `json:"error_share"`
	LatencyMS     spread      `json:"latency_ms"`
	Books         *books      `json:"books"`
	Prediction    *prediction `json:"prediction"`
}

type spread struct {
	Avg *float64 `json:"avg"`
	P50 *float64 `json:"p50"`
	P95 *float64 `json:"p95"`
}

type books struct {
	Accepted   float64  `json:"accepted"`
	Completed  *float64 `json:"completed"`
	Missing    *float64 `json:"missing"`
	EndToEndMS spread   `json:"end_to_end_ms"`
	DrainMS    *float64 `json:"drain_ms"`
}

type prediction struct {
	EndToEndMS spread  `json:"end_to_end_ms"`
	DrainMS    float64 `json:"drain_ms"`
}

// k6 finds the k6 to use as k6/run does.
func k6(t *testing.T) string {
	t.Helper()
	touchSources(t)
	which := exec.CommandContext(t.Context(), "k6/which")
	which.Dir = root
	out, err := which.Output()
	require.NoError(t, err)
	path := strings.TrimSpace(string(out))
	if strings.HasPrefix(path, "k6/") {
		path, err = filepath.Abs(filepath.Join(root, path))
		require.NoError(t, err)
	}
	return path
}

// touchSources reads what makes a report, which k6 alone does else: so the
// cache of go test knows that the results depend on it.
func touchSources(t *testing.T) {
	t.Helper()
	for _, folder := range []string{"lib", "test"} {
		require.NoError(t, filepath.WalkDir(filepath.Join("../..", folder), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".js") && !entry.IsDir() {
				_, err = os.ReadFile(path)
			}
			return err
		}))
	}
	for _, file := range []string{"sweep.js", "run", "compare.js", "compare"} {
		_, err := os.ReadFile(filepath.Join("../..", file))
		require.NoError(t, err)
	}
}

// invented makes the reports of pages.js and returns their folder.
func invented(t *testing.T) string {
	t.Helper()
	out := t.TempDir()
	for _, run := range append(runs, "stopped") {
		require.NoError(t, os.Mkdir(filepath.Join(out, run), 0o755))
	}
	cmd := exec.CommandContext(t.Context(), k6(t), "run", "--quiet", "--no-usage-report", "--address", "", "pages.js")
	cmd.Dir = ".."
	cmd.Env = append(cmd.Environ(), "OUT="+out)
	log, err := cmd.CombinedOutput()
	require.NoError(t, err, string(log))
	return out
}

// measured makes a report as a person does, of a run against the stub gateway,
// compared with the same run before it, and returns its folder.
func measured(t *testing.T) string {
	t.Helper()
	stub := filepath.Join(t.TempDir(), "stub")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", stub, "../stubgateway")
	log, err := build.CombinedOutput()
	require.NoError(t, err, string(log))
	server := exec.CommandContext(t.Context(), stub)
	stdout, err := server.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait() // killed, as it says
	})
	address, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)

	out := t.TempDir()
	sweep := func(settings ...string) {
		cmd := exec.CommandContext(t.Context(), "k6/run")
		cmd.Dir = root
		cmd.Env = append(cmd.Environ(), "K6_BIN="+k6(t), "K6_PROMETHEUS_RW_SERVER_URL=none", "OUT="+out,
			"GATEWAY_URL=http://"+strings.TrimSpace(address), "PRESET=quick", "RPS=10,40", "LANES=sync,async", "DURATION=2", "GAP=2",
			"TASK_MS=500", "VUS=10", "VUS_PRE=10", "WORKER_CONCURRENCY=10", "WORKER_EXECUTOR=goroutine", "TOLERANCE=1000", "TOLERANCE_MS=60000")
		cmd.Env = append(cmd.Env, settings...)
		log, err := cmd.CombinedOutput()
		require.NoError(t, err, string(log))
	}
	sweep("RUN=before")
	sweep("RUN=real", "BASELINE=before")
	return filepath.Join(out, "real")
}

// read decodes the summary.json of a folder.
func read(t *testing.T, folder string) summary {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "summary.json"))
	require.NoError(t, err)
	var s summary
	require.NoError(t, json.Unmarshal(text, &s))
	require.NotEmpty(t, s.Steps)
	return s
}

// url is the address of the report in a folder.
func url(folder string) string { return "file://" + filepath.Join(folder, "report.html") }
