package lab

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

// contrived is a table with what a test wants to have been measured: by case,
// then by quantity.
func contrived(cases map[string]map[string]float64) Table {
	var t Table
	for name, quantities := range cases {
		row := Row{Case: name}
		for quantity, value := range quantities {
			row.Figures = append(row.Figures, Measured(quantity, value))
		}
		t = append(t, row)
	}
	return t
}

func TestFindingOfEventloop(t *testing.T) {
	t.Parallel()
	find := func(sentByOne, byOne, byOwn, byPool float64) string {
		return eventloopFinding(contrived(map[string]map[string]float64{
			oneLoop:     {sentPerMinute: sentByOne, receivedPerMinute: byOne},
			ownLoops:    {sentPerMinute: 600, receivedPerMinute: byOwn},
			workerPool:  {sentPerMinute: 600, receivedPerMinute: byPool},
			fastWorkers: {sentPerMinute: 6000, receivedPerMinute: 2000},
		}))
	}
	asPublished := find(200, 200, 200, 600)
	require.Contains(t, asPublished, "held its own event loop back to 200/min sent messages instead of 600/min, and a loop for each sent more without receiving more (200/min after 200/min)")
	require.Contains(t, asPublished, "10 receivers on workers took what came (600/min), and at most 10.0 times")
	require.Contains(t, find(200, 150, 200, 600), "sent more and received 1.3 times as much (200/min after 150/min)")
	require.Contains(t, find(590, 200, 200, 600), "did not hold its own event loop back here, against what was published (590/min sent messages, and 600/min with a loop for each)")
	require.Contains(t, find(200, 200, 200, 400), "10 receivers on workers took 400/min of the 600/min that came")
}

func TestFindingOfPools(t *testing.T) {
	t.Parallel()
	find := func(bounded, lost float64) string {
		cases := map[string]map[string]float64{
			ioDefault:  {poolSeconds: 2},
			ioFormula:  {poolSeconds: .1, poolWorkers: 40},
			cpuFormula: {poolSeconds: 1},
			cpuBounded: {poolSeconds: bounded, poolWorkers: 900},
		}
		for _, p := range executor.Policies() {
			cases[policyNamed+string(p)] = map[string]float64{poolRejected: 7, poolDiscarded: 8, poolByCaller: 9}
		}
		cases[policyNamed+string(executor.Block)] = map[string]float64{poolRejected: lost, poolDiscarded: 0}
		return poolsFinding(contrived(cases))
	}
	require.Contains(t, find(2, 0), "2.0 times as long, slower as published;")
	require.Contains(t, find(2, 0), "the caller ran 9, and block lost none.")
	require.Contains(t, find(.5, 3), "less, where slower was published;")
	require.Contains(t, find(.5, 3), "and block lost 3.")
}

func TestFindingOfConsume(t *testing.T) {
	t.Parallel()
	find := func(share, arrived float64) string {
		cases := map[string]map[string]float64{}
		for _, l := range consumeLoads() {
			for _, name := range []string{l.waitingName(), l.inFlightName()} {
				cases[name] = map[string]float64{
					"stored_messages_per_second": 1000, "stored_share_of_arrivals": share, "arrived_messages_per_second": arrived, "ratio_to_waiting": 2,
				}
			}
		}
		return consumeFinding(contrived(cases))
	}
	require.Contains(t, find(.5, 2500), "A consumer that waits for each write stores 50 % of the 2,500/s that arrive and falls behind, one with up to 256 writes in flight stores 50 % of 2,500/s")
	require.Contains(t, find(1, 1800), "keeps up with the 1,800/s that arrive, against what was published, one with", "where fewer arrive than should, it says so")
}

func TestFindingOfFanout(t *testing.T) {
	t.Parallel()
	find := func(pool float64) string {
		cases := map[string]map[string]float64{}
		for _, w := range fanoutWays() {
			cases[w.name] = map[string]float64{"requests_in_five_minutes": 18_000, "os_threads": 4, "queue_wait_mean_seconds": .1}
		}
		for _, size := range fanoutPools() {
			cases[fanoutPoolName(size)]["requests_in_five_minutes"] = pool
		}
		return fanoutFinding(contrived(cases))
	}
	require.Contains(t, find(16_000), "a pool that is too small for the calls at once makes them queue and does fewer, 16,000 with 256 (a call waits 100 ms)")
	require.Contains(t, find(18_000), "which not every one does here, 18,000 with 256")
}

func TestFindingOfStarvation(t *testing.T) {
	t.Parallel()
	find := func(together float64) string {
		cases := map[string]map[string]float64{}
		for _, name := range []string{blockingCalls, asyncCalls, separatePool} {
			cases[name] = map[string]float64{callsAtOnce: together, fastWait: .01, allDone: 1}
		}
		return starvationFinding(contrived(cases))
	}
	require.Contains(t, find(100), "without blocking all 100 were under way together")
	require.Contains(t, find(97), "without blocking 97 of 100 were under way together")
}

func TestFindingOfOverload(t *testing.T) {
	t.Parallel()
	find := func(done, goodOfAbort, heldByBlock, waitOfBlock float64) string {
		return overloadFinding(contrived(map[string]map[string]float64{
			unboundedQueue: {goodPerSecond: 100, longestWait: 5, heldBytes: 80 << 20, overloadDone: done},
			boundedAbort:   {goodPerSecond: goodOfAbort, longestWait: .2, overloadDone: 10_000},
			boundedBlock:   {longestWait: waitOfBlock, heldBytes: heldByBlock},
		}))
	}
	asPublished := find(9_900, 1000, 2<<20, 5)
	require.Contains(t, asPublished, "100/s of results were good, though as much was done; a bounded queue")
	require.Contains(t, asPublished, "back-pressure alone kept memory (2 MiB) but not the wait (5 s): a bound at the door is what keeps a service useful.")
	require.Contains(t, find(5_000, 1000, 2<<20, 5), "were good, and 0.5 times as much was done;")
	require.Contains(t, find(9_900, 90, 70<<20, .3), "back-pressure alone kept the wait (300 ms) but not memory (70 MiB): here a bound at the door did not help, against what theory says.")
}
