package consumer

import (
	"fmt"
	"strings"
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
				lanes := Lanes(executor.Config{Model: executor.ModelGoroutine, Concurrency: 4}, time.Minute)
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
				require.Contains(t, suspects.journal.all(), "publish t-5 to "+queue, "a stop does not wait for it")
				all.stopAndWait(t)
			})
		})
	}
}

// workerBench is the three consumers of one worker.
type workerBench struct {
	tasks, suspects, isolated *bench
}

func newWorkerBench(t *testing.T, concurrency int, timeout time.Duration) workerBench {
	t.Helper()
	lanes := Lanes(executor.Config{Model: executor.ModelGoroutine, Concurrency: concurrency}, timeout)
	return workerBench{
		tasks:    newBench(t, options{lanes: lanes, timeout: timeout}),
		suspects: newBench(t, options{lanes: lanes, timeout: timeout, queue: task.QueueSuspect}),
		isolated: newBench(t, options{lanes: lanes, timeout: timeout, queue: task.QueueIsolated}),
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
				w := newWorkerBench(t, 4, time.Minute)
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
				require.Equal(t, alone, len(w.tasks.publisher.told()) < 3)
				require.Empty(t, w.isolated.journal.all())

				sleep(3 * time.Second)
				synctest.Wait()
				require.Contains(t, w.isolated.journal.all(), "result t-3 completed")
				require.Contains(t, w.suspects.journal.all(), "result t-4 completed")
				require.Len(t, w.tasks.publisher.told(), 3, "and all go on")
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
				lanes := Lanes(executor.Config{Model: executor.ModelGoroutine, Concurrency: 4}, time.Minute)
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
					synctest.Wait() // or the stop could come before the task has begun
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
			newRoom(time.Minute).begin(t.Context(), queue)
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
				w := newWorkerBench(t, 4, time.Minute)
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
				require.Equal(t, []string{"publish t-3 to " + task.QueueIsolated, fmt.Sprintf("ack %d", isolated)}, w.isolated.journal.all())
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

// TestATaskThatNeverEndsHoldsUpNoLane has one ignore its deadline: what comes
// to its lane is held up for a moment and no more, and the isolated task that
// has to be alone runs beside it.
func TestATaskThatNeverEndsHoldsUpNoLane(t *testing.T) {
	t.Parallel()
	const timeout = time.Minute
	for name, tt := range map[string]struct {
		in      func(w workerBench) *bench
		within  time.Duration
		crowded int
	}{
		"a task":        {func(w workerBench) *bench { return w.tasks }, pauseWithin, 1},
		"a suspect":     {func(w workerBench) *bench { return w.suspects }, timeout + overdue, 0},
		"isolated once": {func(w workerBench) *bench { return w.isolated }, timeout + overdue, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorkerBench(t, 4, timeout)
				stuck := make(chan struct{})
				in := tt.in(w)
				in.publisher.fails = func(m rabbitmq.Message) error {
					if m.ID == "property-id" {
						<-stuck
					}
					return nil
				}
				in.deliver("no task", amqp.Table{"x-delivery-count": int64(0)})
				synctest.Wait()
				if in != w.isolated {
					w.isolated.deliver(taskBody(1, 0, ""), suspicious())
					synctest.Wait()
				}
				w.tasks.deliver(taskBody(2, 0, ""), nil)
				w.suspects.deliver(taskBody(3, 0, ""), nil)
				sleep(tt.within - time.Millisecond)
				synctest.Wait()
				require.NotContains(t, w.isolated.journal.all(), "result t-1 completed")
				require.NotContains(t, w.suspects.journal.all(), "result t-3 completed")
				sleep(2 * time.Millisecond)
				synctest.Wait()
				require.Contains(t, w.tasks.journal.all(), "result t-2 completed")
				require.Contains(t, w.suspects.journal.all(), "result t-3 completed")
				if in != w.isolated {
					require.Contains(t, w.isolated.journal.all(), "result t-1 completed")
				}
				require.Equal(t, tt.crowded, value(w.isolated.metrics.crowded))
				require.Equal(t, tt.crowded, strings.Count(w.isolated.logged.String(), "beside others"))
				close(stuck)
				w.stop(t)
			})
		})
	}
}

// TestThePauseForAnIsolatedTaskEnds has that task itself ignore its deadline.
func TestThePauseForAnIsolatedTaskEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorkerBench(t, 4, time.Minute)
		stuck := make(chan struct{})
		w.isolated.publisher.fails = func(rabbitmq.Message) error {
			<-stuck
			return nil
		}
		w.isolated.deliver("no task", suspicious())
		synctest.Wait()
		w.tasks.deliver(taskBody(2, 0, ""), nil)
		sleep(time.Minute + overdue - time.Millisecond)
		require.Empty(t, w.tasks.journal.all())
		sleep(2 * time.Millisecond)
		synctest.Wait()
		require.Contains(t, w.tasks.journal.all(), "result t-2 completed")
		close(stuck)
		w.stop(t)
	})
}
