package sizing

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// vector is a line of the file that the report of the sweep is tested against
// too. Its figures are closed forms, summed up directly in 60 digits.
type vector struct {
	Rate        float64  `json:"rate"`
	TaskSeconds float64  `json:"task_seconds"`
	Servers     int      `json:"servers"`
	Percentile  float64  `json:"percentile"`
	Mean        *float64 `json:"mean_wait_seconds"` // null where it has no end
	At          *float64 `json:"wait_seconds_at_percentile"`
	Utilisation float64  `json:"utilisation"`
}

func TestVectors(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../../k6/test/queueing.json")
	require.NoError(t, err)
	var vectors []vector
	require.NoError(t, json.Unmarshal(content, &vectors))
	require.Greater(t, len(vectors), 10)
	for _, v := range vectors {
		t.Run(fmt.Sprintf("%v a second of %v s on %d", v.Rate, v.TaskSeconds, v.Servers), func(t *testing.T) {
			t.Parallel()
			q := Queue{Rate: v.Rate, TaskSeconds: v.TaskSeconds, Servers: v.Servers, Tasks: Exponential}
			require.InDelta(t, v.Utilisation, q.Utilisation(), 1e-12)
			waits := q.Waits()
			if v.Mean == nil {
				require.Nil(t, v.At)
				require.True(t, math.IsInf(float64(waits.Mean), 1))
				require.True(t, math.IsInf(float64(waits.At(v.Percentile)), 1))
				require.EqualValues(t, 1, waits.Probability)
				return
			}
			require.InEpsilon(t, *v.Mean, float64(waits.Mean), 1e-9)
			require.InDelta(t, *v.At, float64(waits.At(v.Percentile)), 1e-9*max(*v.At, 1))
		})
	}
}

func TestSmallestIsTheFewest(t *testing.T) {
	t.Parallel()
	for _, tasks := range AllTasks() {
		for _, load := range []float64{0.3, 1, 7.5, 400, 12_345, 49_000} {
			for _, limit := range []Seconds{0, 0.02, 1.5} {
				n := Smallest(load*2, 0.5, tasks, 95, limit)
				q := Queue{Rate: load * 2, TaskSeconds: 0.5, Servers: n, Tasks: tasks}
				require.LessOrEqual(t, q.Waits().At(95), limit, "%v %v", load, limit)
				q.Servers--
				if q.Servers > 0 {
					require.Greater(t, q.Waits().At(95), limit, "%v %v: one fewer would do", load, limit)
				}
			}
		}
	}
}

// The formulas against a simulation with the same arrivals each time. Constant
// tasks are an approximation, which is the closer the busier the servers are.
func TestFormulasAgainstASimulation(t *testing.T) {
	t.Parallel()
	for _, q := range []Queue{
		{Rate: 0.8, TaskSeconds: 1, Servers: 1},
		{Rate: 9, TaskSeconds: 1, Servers: 10},
		{Rate: 18, TaskSeconds: 0.5, Servers: 10},
		{Rate: 95, TaskSeconds: 1, Servers: 100},
	} {
		for _, tasks := range AllTasks() {
			q.Tasks = tasks
			t.Run(fmt.Sprintf("%s, %v of %d", tasks, q.Load(), q.Servers), func(t *testing.T) {
				t.Parallel()
				length := Seconds(150_000 / q.Rate)
				trial := Trial{Queue: q, Length: length, Warmup: length / 10}
				m := trial.simulate(rand.New(rand.NewPCG(1, 2)), 95)
				want := q.expected(95)
				require.InEpsilon(t, float64(want.Mean), float64(m.Mean), 0.1)
				require.InEpsilon(t, float64(want.AtPercentile), float64(m.AtPercentile), 0.1)
				require.InEpsilon(t, q.Utilisation(), m.Utilisation, 0.01)
			})
		}
	}
}

func TestConstantTasksWaitAboutHalf(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 2, 100, 50_000} {
		q := Queue{Rate: 0.97 * float64(servers), TaskSeconds: 1, Servers: servers, Tasks: Exponential}
		exponential := q.Waits()
		q.Tasks = Constant
		share := float64(q.Waits().Mean / exponential.Mean)
		require.GreaterOrEqual(t, share, 0.5, servers)
		require.LessOrEqual(t, share, 0.62, servers)
		if servers == 1 {
			require.Equal(t, 0.5, share, "exact for one server")
		}
	}
}

func TestThreadsAndConnections(t *testing.T) {
	t.Parallel()
	require.InDelta(t, 1.12, Threads(4, 0.2, 40*time.Millisecond, 100*time.Millisecond), 1e-12)
	require.InDelta(t, 8, Threads(8, 1, 0, time.Second), 1e-12)
	require.Equal(t, 9, DatabaseConnections(4, 1))
	require.Equal(t, 32, DatabaseConnections(16, 0))
}

func TestSecondsAreShownAsAPersonWould(t *testing.T) {
	t.Parallel()
	for s, want := range map[Seconds]string{
		0: "0 ms", 1e-9: "0 ms", 2.5e-6: "2.5 µs", 0.0123456: "12.3 ms", 0.2: "200 ms", 0.9996: "1 s", 0.99949: "999 ms", 1.23456: "1.23 s", 61: "61 s",
		450: "450 s", 1200: "20 min", 7200: "2 h", 7_200_000: "2000 h", Seconds(math.Inf(1)): "without end",
	} {
		require.Equal(t, want, s.String())
	}
}
