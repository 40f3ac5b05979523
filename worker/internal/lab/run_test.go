package lab

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

func TestMain(m *testing.M) { rabbittest.Main(m) }

// example is an experiment as they all are, and takes no time.
func example() Experiment {
	return Experiment{
		Name:     "example",
		Part:     "X1",
		Question: "How many eggs does a hen lay a minute?",
		Method:   "Hens are watched for a minute.",
		Notes:    []string{"A hen is not a goroutine."},
		Quantities: []Quantity{
			{Key: "laid_eggs_per_minute", Name: "laid", Unit: PerMinute},
			{Key: "eaten_grains", Name: "eaten", Unit: Count, Aside: true},
		},
		Cases: func(Size) []Case {
			return []Case{
				{Name: "one hen", Takes: time.Minute, Measure: func(context.Context, *Env) ([]Figure, error) {
					return []Figure{
						{Quantity: "laid_eggs_per_minute", Published: Number(200), Predicted: Range(150, 200), Theory: "60 s ÷ 0.4 s to 60 s ÷ 0.3 s", Measured: Number(187.5)},
						Measured("eaten_grains", 12_345),
					}, nil
				}},
				{Name: "a hundred hens", Takes: time.Minute, Measure: func(_ context.Context, e *Env) ([]Figure, error) {
					promauto.With(e.Metrics).NewCounter(prometheus.CounterOpts{Name: "eggs_total", Help: "Eggs."}).Inc()
					return []Figure{{Quantity: "laid_eggs_per_minute", Published: Words("more"), Measured: Number(20_000), Extrapolated: true}}, nil
				}},
			}
		},
		Finding: func(Table) string { return "A hundred hens lay more." },
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	result, err := Run(t.Context(), example(), Options{Size: Tiny})
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, WriteHeading(&b, result.Experiment))
	require.NoError(t, WriteText(&b, result))
	require.Equal(t, `example (X1)
How many eggs does a hen lay a minute?

Hens are watched for a minute.

case                    published   predicted            measured
one hen          laid   200/min     150 to 200/min (1)   188/min
a hundred hens   laid   more        –                    ~20,000/min

measured besides   eaten
one hen            12,345
a hundred hens     –

predicted:
  (1) 60 s ÷ 0.4 s to 60 s ÷ 0.3 s

~ scaled up from the time that was measured

A hen is not a goroutine.

=> A hundred hens lay more.

`, b.String())
}

func TestACaseThatFailsEndsTheRun(t *testing.T) {
	t.Parallel()
	e := example()
	broken := errors.New("broken")
	e.Cases = func(Size) []Case {
		return []Case{{Name: "fox", Measure: func(context.Context, *Env) ([]Figure, error) { return nil, broken }}}
	}
	_, err := Run(t.Context(), e, Options{Size: Tiny})
	require.ErrorIs(t, err, broken)
	require.EqualError(t, err, "example: fox: broken")
}

func TestMetricsAreThereWhileACaseRuns(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	names := func() []string {
		families, err := reg.Gather()
		require.NoError(t, err)
		var all []string
		for _, f := range families {
			for _, m := range f.GetMetric() {
				all = append(all, f.GetName()+" "+m.String())
			}
		}
		return all
	}
	e := example()
	e.Cases = func(Size) []Case {
		return []Case{{Name: "fox", Measure: func(_ context.Context, e *Env) ([]Figure, error) {
			for _, part := range []string{"", "red"} {
				promauto.With(e.MetricsOf(part)).NewCounter(prometheus.CounterOpts{Name: "executor_eggs_total", Help: "Eggs."})
			}
			all := names()
			require.Len(t, all, 2)
			require.Contains(t, all[0], "lab_executor_eggs_total")
			require.Regexp(t, `experiment.*example`, all[0])
			require.Regexp(t, `case.*fox`, all[0])
			require.Regexp(t, `case.*fox, red`, all[1])
			return nil, nil
		}}}
	}
	for range 2 { // the same names again
		_, err := Run(t.Context(), e, Options{Registry: reg})
		require.NoError(t, err)
		require.Empty(t, names())
	}
}

// TestExecutorsAreSeen holds that whoever watches an experiment sees the
// executors of the case that runs.
func TestExecutorsAreSeen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		experiment Experiment
		name       string
		executors  int
	}{
		{eventloop(), workerPool, 2},
		{pools(), ioDefault, 1},
		{starvation(), blockingCalls, 2},
		{ordering(), serially, 1},
		{overload(), boundedAbort, 1},
	} {
		t.Run(tt.experiment.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cases := tt.experiment.Cases(Tiny)
				i := slices.IndexFunc(cases, func(c Case) bool { return c.Name == tt.name })
				only := tt.experiment
				only.Cases = func(Size) []Case { return cases[i : i+1] }
				only.Finding = func(Table) string { return "" }
				reg := prometheus.NewRegistry()
				done := make(chan error, 1)
				go func() {
					_, err := Run(t.Context(), only, Options{Size: Tiny, Registry: reg})
					done <- err
				}()
				time.Sleep(cases[i].Takes / 2) //nolint:forbidigo // The clock of the bubble.
				n, err := testutil.GatherAndCount(reg, "lab_executor_tasks")
				require.NoError(t, err)
				require.Equal(t, tt.executors, n)
				require.NoError(t, <-done)
			})
		})
	}
}

func TestFiguresAreOfTheQuantitiesInTheirOrder(t *testing.T) {
	t.Parallel()
	for name, figures := range map[string][]Figure{
		"unknown": {Measured("laid_eggs", 1)},
		"order":   {Measured("eaten_grains", 1), Measured("laid_eggs_per_minute", 1)},
		"twice":   {Measured("eaten_grains", 1), Measured("eaten_grains", 1)},
	} {
		e := example()
		e.Cases = func(Size) []Case {
			return []Case{{Name: "fox", Measure: func(context.Context, *Env) ([]Figure, error) { return figures, nil }}}
		}
		_, err := Run(t.Context(), e, Options{})
		require.ErrorContains(t, err, "is unknown or not in its place", name)
	}
}

// TestEveryExperimentIsWhole holds what a reader of any of them relies on.
func TestEveryExperimentIsWhole(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	total := map[Size]time.Duration{}
	for _, e := range Experiments() {
		require.False(t, seen[e.Name], e.Name)
		seen[e.Name] = true
		require.Regexp(t, `^[a-z]+$`, e.Name)
		require.Regexp(t, `^[A-D]\d?$`, e.Part, e.Name)
		require.Regexp(t, `^[A-Z][^.?]*\?$`, e.Question, e.Name)
		require.Regexp(t, `\.$`, e.Method, e.Name)
		for _, q := range e.Quantities {
			require.Regexp(t, `^[a-z0-9_]+$`, q.Key, e.Name)
			if q.Unit == Seconds {
				require.Regexp(t, `_seconds$`, q.Key, "%s: the name ends in the unit", e.Name)
			}
			require.NotEmpty(t, q.Name)
		}
		for _, size := range []Size{Full, Quick} {
			for _, c := range e.Cases(size) {
				require.Positive(t, c.Takes, c.Name)
				total[size] += c.Takes
			}
		}
	}
	require.LessOrEqual(t, total[Quick], 150*time.Second)
	require.LessOrEqual(t, total[Full], 11*time.Minute)
}
