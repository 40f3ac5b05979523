package executor

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

func newTestKeyed(t *testing.T, concurrency, queue int) *keyed {
	t.Helper()
	exec, err := New(Config{Model: ModelKeyed, Concurrency: concurrency, KeyQueue: queue}, prometheus.NewRegistry(), nil)
	require.NoError(t, err)
	return exec.(*keyed) //nolint:forcetypeassert // It is what New was asked for.
}

// TestKeyedKeepsTheOrderOfEachKey submits tasks of random keys and lengths and
// holds that those of a key run one after the other, in order, that no more
// than the bound run at once, and that nothing is left of the keys.
func TestKeyedKeepsTheOrderOfEachKey(t *testing.T) {
	t.Parallel()
	for range 100 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed %#x", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { playKeyed(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func playKeyed(t *testing.T, random *rand.Rand) {
	t.Helper()
	bound := 1 + random.IntN(6)
	k := newTestKeyed(t, bound, random.IntN(20))
	keys := 1 + random.IntN(8)
	began := make([]int, keys)    // the last task of each key that has
	running := make([]bool, keys) // by key
	for n := range 200 {
		key, takes := random.IntN(keys), time.Duration(random.IntN(50))*time.Millisecond
		require.NoError(t, k.Submit(t.Context(), Task{Key: strconv.Itoa(key), Run: func() {
			if running[key] || n < began[key] { // the race detector sees what this does not
				t.Errorf("task %d of key %d runs beside or after %d", n, key, began[key])
			}
			running[key], began[key] = true, n
			sleep(takes)
			running[key] = false
		}}))
		if random.IntN(20) == 0 {
			bound = 1 + random.IntN(6)
			require.NoError(t, k.Resize(Sizes{Concurrency: bound}))
			sleep(time.Second) // what runs beyond a smaller bound ends
		}
		require.LessOrEqual(t, k.Stats().Running, bound)
		sleep(time.Duration(random.IntN(10)) * time.Millisecond)
	}
	require.Zero(t, k.Drain(t.Context()))
	require.Empty(t, k.lines)
}

// TestKeyedSeesPastAKey holds what the queue is for: tasks of one key do not keep
// those of others from running, up to its length.
func TestKeyedSeesPastAKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newTestKeyed(t, 4, 10)
		var mu sync.Mutex
		var order []string
		task := func(key string) Task {
			return Task{Key: key, Run: func() {
				sleep(time.Second)
				mu.Lock()
				defer mu.Unlock()
				order = append(order, key)
			}}
		}
		start := time.Now()
		for range 8 {
			require.NoError(t, k.Submit(t.Context(), task("hot")))
		}
		for _, key := range []string{"a", "b", "c"} {
			require.NoError(t, k.Submit(t.Context(), task(key)))
		}
		sleep(1500 * time.Millisecond)
		synctest.Wait()
		mu.Lock()
		require.ElementsMatch(t, []string{"a", "b", "c", "hot"}, order)
		mu.Unlock()
		require.Equal(t, Stats{Running: 1, Queued: 6, Workers: 1, LargestWorkers: 4, Completed: 4}, k.Stats())
		require.Zero(t, k.Drain(t.Context()))
		require.Equal(t, 8*time.Second, time.Since(start))
	})
}

// TestKeyedIsFair has a key with many tasks take turns with the others when
// there is one place for all.
func TestKeyedIsFair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newTestKeyed(t, 1, 10)
		var order []string
		for _, key := range []string{"hot", "hot", "hot", "a", "", "hot"} {
			require.NoError(t, k.Submit(t.Context(), Task{Key: key, Run: func() {
				sleep(time.Second)
				order = append(order, key)
			}}))
		}
		require.Zero(t, k.Drain(t.Context()))
		require.Equal(t, []string{"hot", "a", "", "hot", "hot", "hot"}, order)
	})
}
