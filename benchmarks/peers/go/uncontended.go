package main

import (
	"context"
	"time"

	"go.etcd.io/etcd/client/v3/concurrency"
)

const uncontendedWarmUp = 50

type uncontendedReport struct {
	Task      string  `json:"task"`
	Rounds    int     `json:"rounds"`
	P50us     float64 `json:"p50us"`
	P99us     float64 `json:"p99us"`
	PerSecond float64 `json:"perSecond"`
}

// uncontended times Lock followed by Unlock on a lock that nobody else wants.
func uncontended(c config, r *rig) (*uncontendedReport, error) {
	ctx := context.Background()
	session, err := r.session()
	if err != nil {
		return nil, err
	}
	mutex := concurrency.NewMutex(session, uniqueName("bench-uncontended"))

	pairs := make([]time.Duration, 0, c.rounds)
	var total time.Duration
	for i := range uncontendedWarmUp + c.rounds {
		started := time.Now()
		if err := mutex.Lock(ctx); err != nil {
			return nil, err
		}
		if err := mutex.Unlock(ctx); err != nil {
			return nil, err
		}
		pair := time.Since(started)
		if i >= uncontendedWarmUp {
			pairs = append(pairs, pair)
			total += pair
		}
	}
	return &uncontendedReport{
		Task:      c.task,
		Rounds:    c.rounds,
		P50us:     percentile(pairs, 0.5),
		P99us:     percentile(pairs, 0.99),
		PerSecond: round(float64(c.rounds) / total.Seconds()),
	}, nil
}
