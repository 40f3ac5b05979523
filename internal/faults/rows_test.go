package faults

import (
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

// TestRows runs a few rows in short. All of them, in full, are `make chaos`.
func TestRows(t *testing.T) {
	t.Parallel()
	binaries := build(t)
	for _, name := range []string{"broker-killed", "confirms-lost", "worker-killed"} {
		i := slices.IndexFunc(Rows(), func(r Row) bool { return r.Name == name })
		require.GreaterOrEqual(t, i, 0)
		result := Run(t.Context(), Rows()[i], Options{Binaries: binaries, Dir: t.TempDir(), Seed: 1, Short: true})
		t.Log(result.Text())
		require.True(t, result.Passed, "%s", name)
		require.NotZero(t, result.Counters.Completed)
	}
}

// A row that panics is red, and leaves nothing behind either.
func TestRowThatPanicsIsRed(t *testing.T) {
	t.Parallel()
	row := Row{Name: "row", run: func(*Lab) { panic("out of range") }}
	result := Run(t.Context(), row, Options{Binaries: t.TempDir(), Dir: t.TempDir(), Seed: 1})
	require.False(t, result.Passed)
	require.Contains(t, result.Violations[0].What, "the row panicked: out of range")
}

// build builds the services into a folder.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/",
		"github.com/twinlane/twinlane/gateway", "github.com/twinlane/twinlane/worker")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	output, err := cmd.CombinedOutput()
	if slices.Contains(cmd.Env, "GOWORK=off") {
		require.NoError(t, err, "the gateway and the worker are modules of their own: run this in the workspace, without GOWORK=off\n%s", output)
	}
	require.NoError(t, err, "%s", output)
	return dir
}

func TestRowsAreNamedAndDescribed(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, row := range Rows() {
		require.Regexp(t, `^[a-z]+(-[a-z]+)*$`, row.Name)
		require.False(t, seen[row.Name], "%s is there twice", row.Name)
		require.NotEmpty(t, row.Fault, row.Name)
		require.NotEmpty(t, row.Promise, row.Name)
		require.NotNil(t, row.run, row.Name)
		seen[row.Name] = true
	}
}

// A row that cannot go on is red, and leaves nothing behind.
func TestRowWithoutServicesIsRed(t *testing.T) {
	t.Parallel()
	row := Row{Name: "row", run: func(l *Lab) {
		l.gateway(nil)
		panic("not reached")
	}}
	result := Run(t.Context(), row, Options{Binaries: t.TempDir(), Dir: t.TempDir(), Seed: 1})
	require.False(t, result.Passed)
	require.Len(t, result.Violations, 2)
	require.Contains(t, result.Violations[0].What, "no such file")
	require.Equal(t, "the row did not get to its end", result.Violations[1].What)
}

// A test waits longer for everything that has a limit, and so for the row itself.
func TestShortRowsAreMorePatient(t *testing.T) {
	t.Parallel()
	full, short := Options{Backlog: 10}, Options{Backlog: 10, Short: true}
	require.Equal(t, 4*full.limit(), short.limit())
	l := &Lab{opts: short, node: &rabbittest.Node{}}
	require.Equal(t, 4*startTimeout, l.service("worker", 1, nil, nil).within)
}

func TestOnlyWhatThisMachineLacksLeavesARowOut(t *testing.T) {
	t.Parallel()
	failing := func(script string) error { return command(t.Context(), "sh", "-c", script) }
	require.ErrorIs(t, lacking(command(t.Context(), "no-such-tool")), errNoDisk)
	require.ErrorIs(t, refused(failing("exit 32")), errNoDisk)
	require.ErrorContains(t, refused(failing("echo denied; exit 1")), "the mount is refused")
	for _, err := range []error{lacking(failing("exit 1")), refused(lacking(failing("exit 2"))), refused(failing("kill -9 $$"))} {
		require.Error(t, err)
		require.NotErrorIs(t, err, errNoDisk)
	}
}

func TestAlarmsAreJudgedByEveryAnswer(t *testing.T) {
	t.Parallel()
	raised := time.Unix(1000, 0)
	// sound is 2 accepted, 3 caught, and 300 that are told at once.
	sound := func() (t timeline) {
		for n := range 305 {
			a := Attempt{Started: raised.Add(time.Duration(n+1) * time.Millisecond), Elapsed: time.Millisecond, Outcome: Refused, Problem: problemBlocked}
			switch {
			case n < 2:
				a.Outcome, a.Problem = Accepted, ""
			case n < 5:
				a.Outcome, a.Problem, a.Elapsed = Unknown, problemUnknown, 5*time.Second
			}
			t = append(t, a)
		}
		return t
	}
	judge := func(change func(n int, a *Attempt)) []Violation {
		sent := sound()
		for n := range sent {
			change(n, &sent[n])
		}
		l := &Lab{}
		l.checkAlarm(alarm{kind: "memory", raised: raised}, sent)
		return l.violations
	}
	require.Empty(t, judge(func(int, *Attempt) {}))
	for name, change := range map[string]func(n int, a *Attempt){
		"nobody was told": func(_ int, a *Attempt) { a.Problem = problemUnknown },
		"13 requests were under way": func(n int, a *Attempt) {
			if n < 13 {
				a.Outcome, a.Problem, a.Elapsed = Accepted, "", 5*time.Second
			}
		},
		"of 299 answers": func(n int, a *Attempt) {
			if n > 5 && n%10 == 0 {
				a.Problem = problemUnknown
			}
		},
		"took 5s": func(n int, a *Attempt) {
			if n > 5 && n%50 == 0 {
				a.Problem, a.Elapsed = problemUnknown, 5*time.Second
			}
		},
	} {
		violations := judge(change)
		require.Len(t, violations, 1, name)
		require.Contains(t, violations[0].What, name)
	}
}
