package sizing

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"time"
)

// ideal has each task of arrivals taken by the server that is free first, in the
// order in which they arrive and without any delay of a machine. It sets when
// each begins; what each takes is given.
func ideal(arrivals []arrival, servers int) {
	free := make(freeAt, servers)
	for i := range arrivals {
		a := &arrivals[i]
		a.began = max(a.at, free[0])
		free[0] = a.began + a.took
		heap.Fix(&free, 0)
	}
}

// simulate is a trial that takes no time.
func (t Trial) simulate(random *rand.Rand, percentile float64) Measured {
	arrivals := t.arrivals(random)
	for i := range arrivals {
		arrivals[i].took = arrivals[i].length
	}
	ideal(arrivals, t.Queue.Servers)
	return t.evaluate(arrivals, percentile)
}

// repetitions is how many trials are simulated to see what chance does to one.
const repetitions = 30

// chance is by how much the figures of a trial of this length differ from one
// trial to the next, as a standard deviation. Waiting times that follow each
// other are alike, so that the number of tasks says little about it.
func (t Trial) chance(random *rand.Rand, percentile float64) Figures {
	var means, percentiles []float64
	for range repetitions {
		m := t.simulate(random, percentile)
		means = append(means, float64(m.Mean))
		percentiles = append(percentiles, float64(m.AtPercentile))
	}
	return Figures{Mean: Seconds(deviation(means)), AtPercentile: Seconds(deviation(percentiles))}
}

func deviation(values []float64) float64 {
	middle, squares := mean(values), 0.0
	for _, v := range values {
		squares += (v - middle) * (v - middle)
	}
	return math.Sqrt(squares / float64(len(values)-1))
}

// freeAt is a heap of when each server is free.
type freeAt []time.Duration

// Len implements heap.Interface.
func (f freeAt) Len() int { return len(f) }

// Less implements heap.Interface.
func (f freeAt) Less(i, j int) bool { return f[i] < f[j] }

// Swap implements heap.Interface.
func (f freeAt) Swap(i, j int) { f[i], f[j] = f[j], f[i] }

// Push implements heap.Interface. The number of servers does not change.
func (freeAt) Push(any) { panic("a server too many") }

// Pop implements heap.Interface.
func (freeAt) Pop() any { panic("a server too few") }
