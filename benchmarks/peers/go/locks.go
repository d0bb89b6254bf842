package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/client/v3/concurrency"
)

const locksWarmUp = time.Second

type locksReport struct {
	Task      string  `json:"task"`
	Callers   int     `json:"callers"`
	Seconds   float64 `json:"seconds"`
	Pairs     int64   `json:"pairs"`
	PerSecond float64 `json:"perSecond"`
}

// locks counts how often callers take and release locks, each its own, all on one session.
func locks(c config, r *rig) (*locksReport, error) {
	window := time.Duration(c.seconds * float64(time.Second))
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	session, err := r.session()
	if err != nil {
		return nil, err
	}

	var pairs atomic.Int64
	var stopping atomic.Bool
	var workers sync.WaitGroup
	name := uniqueName("bench-locks")
	for caller := range c.callers {
		workers.Go(func() {
			mutex := concurrency.NewMutex(session, fmt.Sprintf("%s-%d", name, caller))
			for !stopping.Load() {
				if err := mutex.Lock(ctx); err != nil {
					cancel(fmt.Errorf("lock: %w", err))
					return
				}
				if err := mutex.Unlock(ctx); err != nil {
					cancel(fmt.Errorf("unlock: %w", err))
					return
				}
				pairs.Add(1)
			}
		})
	}

	pause(ctx, locksWarmUp)
	started, before := time.Now(), pairs.Load()
	pause(ctx, window)
	done, elapsed := pairs.Load()-before, time.Since(started).Seconds()

	stopping.Store(true)
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return &locksReport{
		Task:      c.task,
		Callers:   c.callers,
		Seconds:   round(elapsed),
		Pairs:     done,
		PerSecond: round(float64(done) / elapsed),
	}, nil
}
