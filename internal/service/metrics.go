package service

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DurationHistogram returns the options of a histogram of seconds: native
// buckets that grow by a tenth, 160 at most, and classic ones that are fine
// below 10 ms, where a confirm takes its time, and dense around 1 s, where the
// lab's tasks do. All services use the same ones, so that their figures can be
// laid side by side.
func DurationHistogram(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name,
		Help: help,
		Buckets: []float64{
			.0005, .001, .0015, .002, .003, .004, .005, .0075, .01, .015, .025, .05, .1, .25, .5, .75, .9,
			1, 1.005, 1.01, 1.025, 1.05, 1.1, 1.25, 1.5, 2, 3, 5, 10, 30, 60, 120,
		},
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}
}
