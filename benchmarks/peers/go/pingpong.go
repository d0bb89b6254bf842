package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/client/v3/concurrency"
)

const (
	pingPongWarmUp = time.Second
	drainLimit     = time.Minute
)

type pingPongReport struct {
	Task      string  `json:"task"`
	Clients   string  `json:"clients"`
	Sessions  int     `json:"sessions"`
	Seconds   float64 `json:"seconds"`
	Handoffs  int64   `json:"handoffs"`
	PerSecond float64 `json:"perSecond"`
}

// pingPong counts how often one lock changes hands between sessions whose critical section is empty.
func pingPong(c config, r *rig) (*pingPongReport, error) {
	window := time.Duration(c.seconds * float64(time.Second))
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)

	sessions := make([]*concurrency.Session, c.sessions)
	for i := range sessions {
		session, err := r.session()
		if err != nil {
			return nil, err
		}
		sessions[i] = session
	}

	var acquired atomic.Int64
	var stopping atomic.Bool
	var workers sync.WaitGroup
	name := uniqueName("bench-pingpong")
	for _, session := range sessions {
		workers.Go(func() {
			mutex := concurrency.NewMutex(session, name)
			for !stopping.Load() {
				if err := mutex.Lock(ctx); err != nil {
					cancel(fmt.Errorf("lock: %w", err))
					return
				}
				acquired.Add(1)
				if err := mutex.Unlock(ctx); err != nil {
					cancel(fmt.Errorf("unlock: %w", err))
					return
				}
			}
		})
	}

	pause(ctx, pingPongWarmUp)
	started, before := time.Now(), acquired.Load()
	pause(ctx, window)
	handoffs, elapsed := acquired.Load()-before, time.Since(started).Seconds()

	stopping.Store(true)
	overdue := time.AfterFunc(drainLimit, func() { cancel(fmt.Errorf("sessions still waiting after %s", drainLimit)) })
	workers.Wait()
	overdue.Stop()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return &pingPongReport{
		Task:      c.task,
		Clients:   c.clients,
		Sessions:  c.sessions,
		Seconds:   round(elapsed),
		Handoffs:  handoffs,
		PerSecond: round(float64(handoffs) / elapsed),
	}, nil
}

// pause sleeps, but not beyond the first failure.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
