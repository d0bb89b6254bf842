package main

import (
	"math"
	"slices"
	"time"
)

// percentile returns the nearest-rank percentile, in microseconds.
func percentile(samples []time.Duration, p float64) float64 {
	sorted := slices.Sorted(slices.Values(samples))
	rank := max(int(math.Ceil(p*float64(len(sorted)))), 1)
	return microseconds(sorted[rank-1])
}

// mean returns the arithmetic mean, in microseconds.
func mean(samples []time.Duration) float64 {
	var total time.Duration
	for _, sample := range samples {
		total += sample
	}
	return microseconds(total / time.Duration(len(samples)))
}

func microseconds(d time.Duration) float64 { return round(float64(d) / float64(time.Microsecond)) }

// round keeps three decimals, which is all these measurements carry.
func round(value float64) float64 { return math.Round(value*1000) / 1000 }
