package consumer

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

// TestSuspectsWaitForMoves holds that no suspect runs while a move is under
// way: it may end the process, and what is published and not acked by then
// would be there twice. Other tasks do not wait, and a move that the broker
// does not confirm holds up nobody.
func TestSuspectsWaitForMoves(t *testing.T) {
	t.Parallel()
	for _, queue := range []string{task.QueueSuspect, task.QueueIsolated} {
		t.Run(queue, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				lanes := Lanes(executor.Config{Model: executor.ModelGoroutine, Concurrency: 4})
				all := newBench(t, options{lanes: lanes})
				suspects := newBench(t, options{lanes: lanes, queue: queue})
				stuck := make(chan struct{})
				defer close(stuck)
				all.publisher.fails = func(m rabbitmq.Message) error {
					switch m.ID {
					case "t-1":
						sleep(time.Second)
						return rabbitmq.ErrNacked
					case "t-4":
						<-stuck
					}
					return nil
				}
				moving := all.deliver(taskBody(1, 0, ""), suspicious())
				all.deliver(taskBody(2, 0, ""), nil)
				synctest.Wait()
				suspects.deliver(taskBody(3, 0, ""), nil)
				synctest.Wait()
				require.Contains(t, all.journal.all(), "result t-2 completed")
				require.Empty(t, suspects.journal.all())
				sleep(time.Second)
				synctest.Wait()
				require.Contains(t, suspects.journal.all(), "result t-3 completed")
				require.NotContains(t, all.journal.all(), fmt.Sprintf("ack %d", moving), "and its move is insisted on")

				all.deliver(taskBody(4, 0, ""), suspicious())
				synctest.Wait()
				suspects.deliver(taskBody(5, 0, ""), nil)
				synctest.Wait()
				suspects.stopAndWait(t)
				require.Equal(t, fmt.Sprintf("requeue %d", 2), suspects.journal.last(), "a stop does not wait for it")
				all.stopAndWait(t)
			})
		})
	}
}

// workerBench is the three consumers of one worker.
type workerBench struct {
	tasks, suspects, isolated *bench
}

func newWorkerBench(t *testing.T) workerBench {
	t.Helper()
	lanes := Lanes(executor.Config{Model: executor.ModelGoroutine, Concurrency: 4})
	return workerBench{
		tasks:    newBench(t, options{lanes: lanes}),
		suspects: newBench(t, options{lanes: lanes, queue: task.QueueSuspect}),
		isolated: newBench(t, options{lanes: lanes, queue: task.QueueIsolated}),
	}
}

func (w workerBench) stop(t *testing.T) {
	t.Helper()
	for _, b := range []*bench{w.isolated, w.suspects, w.tasks} {
		b.stopAndWait(t)
	}
}

// TestAnIsolatedTaskRunsApart holds which other tasks run together with one that
// has come back a number of times.
func TestAnIsolatedTaskRunsApart(t *testing.T) {
	t.Parallel()
	for count, alone := range map[int64]bool{0: false, 1: false, 2: true, 3: true} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorkerBench(t)
				w.tasks.deliver(taskBody(1, time.Second, ""), nil)
				w.suspects.deliver(taskBody(2, 2*time.Second, ""), nil)
				synctest.Wait()
				w.isolated.deliver(taskBody(3, 3*time.Second, ""), amqp.Table{"x-delivery-count": count})
				synctest.Wait()
				w.suspects.deliver(taskBody(4, 0, ""), nil)
				sleep(1500 * time.Millisecond)
				w.tasks.deliver(taskBody(5, 0, ""), nil) // before the isolated one runs
				sleep(time.Second)
				synctest.Wait()
				require.Contains(t, w.suspects.journal.all(), "result t-2 completed")
				require.NotContains(t, w.suspects.journal.all(), "result t-4 completed", "it runs with no other suspect")
				w.tasks.deliver(taskBody(6, 0, ""), nil) // while it does
				synctest.Wait()
				require.Equal(t, alone, len(w.tasks.publisher.results) < 3)
				require.Empty(t, w.isolated.journal.all())

				sleep(3 * time.Second)
				synctest.Wait()
				require.Contains(t, w.isolated.journal.all(), "result t-3 completed")
				require.Contains(t, w.suspects.journal.all(), "result t-4 completed")
				require.Len(t, w.tasks.publisher.results, 3, "and all go on")
				w.stop(t)
			})
		})
	}
}

// TestAWorkerBeginsWithAnIsolatedTask holds that the other lanes take nothing
// before it is done, as it may end the process and have all of it come back.
func TestAWorkerBeginsWithAnIsolatedTask(t *testing.T) {
	t.Parallel()
	for name, stopped := range map[string]bool{"done": false, "stopped": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const takes = 5 * time.Second
				lanes := Lanes(executor.Config{Model: executor.ModelGoroutine, Concurrency: 4})
				isolated := newBench(t, options{lanes: lanes, queue: task.QueueIsolated})
				isolated.deliver(taskBody(1, takes, ""), nil)
				synctest.Wait()
				start := time.Now()
				tasks := newBench(t, options{lanes: lanes})
				if stopped {
					tasks.stopAndWait(t)
					require.Equal(t, headStart, time.Since(start), "a stop does not wait for it")
				} else {
					tasks.deliver(taskBody(2, 0, ""), nil)
					require.Equal(t, takes, time.Since(start))
					tasks.stopAndWait(t)
					require.Contains(t, tasks.journal.all(), "result t-2 completed")
				}
				isolated.stopAndWait(t)
			})
		})
	}
}

func TestIsolatedTasksHaveAHeadStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for queue, want := range map[string]time.Duration{
			task.QueueTasks: headStart, task.QueueSuspect: headStart, task.QueueIsolated: 0,
		} {
			start := time.Now()
			newRoom(executor.Config{Model: executor.ModelSerial}).begin(t.Context(), queue)
			require.Equal(t, want, time.Since(start), queue)
		}
	})
}

// TestAStopDoesNotWaitForRoom has an isolated task wait, for suspects or with
// their places taken for all others, and another suspect wait for it.
func TestAStopDoesNotWaitForRoom(t *testing.T) {
	t.Parallel()
	for name, suspects := range map[string]int{"for suspects": 1, "for all others": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorkerBench(t)
				w.tasks.deliver(taskBody(1, grace/2, ""), nil)
				for range suspects {
					w.suspects.deliver(taskBody(2, grace/2, ""), nil)
				}
				synctest.Wait()
				isolated := w.isolated.deliver(taskBody(3, time.Second, ""), suspicious())
				synctest.Wait()
				suspect := w.suspects.deliver(taskBody(4, time.Second, ""), nil)
				synctest.Wait()
				w.isolated.stopAndWait(t)
				require.Equal(t, []string{fmt.Sprintf("requeue %d", isolated)}, w.isolated.journal.all())
				sleep(time.Second)
				synctest.Wait()
				require.Equal(t, []string{"result t-4 completed", fmt.Sprintf("ack %d", suspect)}, w.suspects.journal.all(), "what it held is free again")
				next := w.tasks.deliver(taskBody(5, 0, ""), nil)
				synctest.Wait()
				require.Equal(t, fmt.Sprintf("ack %d", next), w.tasks.journal.last())
				w.suspects.stopAndWait(t)
				w.tasks.stopAndWait(t)
			})
		})
	}
}

// TestARefusedTaskTakesNoRoom has the executor refuse what had its place.
func TestARefusedTaskTakesNoRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorkerBench(t)
		b := w.tasks
		b.executor.Drain(t.Context())
		err := b.submit(t.Context(), t.Context(), amqp.Delivery{})
		require.ErrorIs(t, err, executor.ErrStopped)
		isolated := w.isolated.deliver(taskBody(1, 0, ""), suspicious())
		synctest.Wait()
		require.Equal(t, fmt.Sprintf("ack %d", isolated), w.isolated.journal.last(), "all places are free")
		w.stop(t)
	})
}
