package lab

import "fmt"

func overloadFinding(t Table) string {
	good := func(name string) float64 { return t.Measured(name, goodPerSecond) }
	wait := func(name string) float64 { return t.Measured(name, longestWait) }
	held := func(name string) float64 { return t.Measured(name, heldBytes) }
	lesson := "a bound at the door is what keeps a service useful"
	if good(boundedAbort) <= good(unboundedQueue) {
		lesson = "here a bound at the door did not help, against what theory says"
	}
	return fmt.Sprintf("Without a bound the longest wait came to %s and memory to %s, and %s of results were good, %s; "+
		"a bounded queue that refuses kept the wait below %s and %s good; back-pressure alone kept %s: %s.",
		Seconds.format(wait(unboundedQueue)), Bytes.format(held(unboundedQueue)), PerSecond.format(good(unboundedQueue)),
		doneBeside(t.Measured(unboundedQueue, overloadDone)/t.Measured(boundedAbort, overloadDone)),
		Seconds.format(wait(boundedAbort)), PerSecond.format(good(boundedAbort)),
		kept(held(boundedBlock), held(boundedBlock) < held(unboundedQueue)/2, wait(boundedBlock), wait(boundedBlock) < 2*wait(boundedAbort)), lesson)
}

// kept says which of memory and wait stayed small.
func kept(memory float64, smallMemory bool, wait float64, smallWait bool) string {
	m, w := fmt.Sprintf("memory (%s)", Bytes.format(memory)), fmt.Sprintf("the wait (%s)", Seconds.format(wait))
	switch {
	case smallMemory && smallWait:
		return m + " and " + w
	case smallMemory:
		return m + " but not " + w
	case smallWait:
		return w + " but not " + m
	default:
		return "neither " + m + " nor " + w
	}
}

// doneBeside compares what was done without a bound to what was done with one.
func doneBeside(ratio float64) string {
	switch {
	case ratio > 1.15:
		return fmt.Sprintf("though %.1f times as much was done", ratio)
	case ratio > 0.85:
		return "though as much was done"
	default:
		return fmt.Sprintf("and %.1f times as much was done", ratio)
	}
}
