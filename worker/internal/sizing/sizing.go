// Package sizing says how many of something are enough: threads of a pool,
// connections to a database, tasks at once, workers. It also predicts how long
// tasks then wait, and checks that prediction against a run.
//
// It is arithmetic with the sources beside each formula. It knows neither
// brokers nor flags: what a worker of a given size holds and opens is told to it.
package sizing

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// Threads is how many threads keep a share of the cores busy if each computes
// for service and then waits for wait, in turn: while one waits, wait / service
// others can compute. Brian Goetz, Java Concurrency in Practice (2006), 8.2.
func Threads(cores int, utilisation float64, wait, service time.Duration) float64 {
	return float64(cores) * utilisation * (1 + wait.Seconds()/service.Seconds())
}

// DatabaseConnections is how many connections a database with so many cores and
// effective spindles can use: two per core, because one query waits for a disk
// or the network while the other computes, and one for each disk that does seek.
// PostgreSQL wiki, Number Of Database Connections.
func DatabaseConnections(cores, spindles int) int { return cores*2 + spindles }

// AtWork is how many tasks are at work on average, or wait, or whatever it is
// that they do for so many seconds each. John D. C. Little, A Proof for the
// Queuing Formula L = λW (1961).
func AtWork(rate, seconds float64) float64 { return rate * seconds }

// Seconds is a time that may be infinite, which JSON has no number for.
type Seconds float64

// MarshalJSON encodes a time that never ends as null.
func (s Seconds) MarshalJSON() ([]byte, error) {
	if s.endless() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(s))
}

// String shows three digits, in the unit that a person would choose.
func (s Seconds) String() string {
	switch v := float64(s); {
	case s.endless():
		return "without end"
	case v < 0.5e-6:
		return "0 ms"
	case v < 1e-3:
		return digits(v*1e6) + " µs"
	case v < 0.9995:
		return digits(v*1e3) + " ms"
	case v < 600:
		return digits(v) + " s"
	case v < 7200:
		return digits(v/60) + " min"
	default:
		return digits(v/3600) + " h"
	}
}

// digits shows three digits, and more only before the decimal point.
func digits(v float64) string {
	decimals := 0
	for limit := 100.0; decimals < 2 && v < limit-0.05; limit /= 10 {
		decimals++
	}
	return trimmed(v, decimals)
}

// trimmed shows at most so many decimals, and none that are zeros at the end.
func trimmed(v float64, decimals int) string {
	scale := math.Pow10(decimals)
	return strconv.FormatFloat(math.Round(v*scale)/scale, 'f', -1, 64)
}
