package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
)

const fillers = 64

type drainReport struct {
	Task      string  `json:"task"`
	Jobs      int     `json:"jobs"`
	Callers   int     `json:"callers"`
	PerSecond float64 `json:"perSecond"`
}

// drain fills a recipes.Queue and times its readers until they have taken everything.
func drain(c config, r *rig) (*drainReport, error) {
	client, err := r.client()
	if err != nil {
		return nil, err
	}
	queue, value := recipe.NewQueue(client, uniqueName("bench-queue")), string(make([]byte, putBytes))
	if err := inAll(fillers, c.jobs, func() error { return queue.Enqueue(value) }); err != nil {
		return nil, err
	}

	started := time.Now()
	err = inAll(c.callers, c.jobs, func() error {
		_, err := queue.Dequeue()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &drainReport{
		Task:      c.task,
		Jobs:      c.jobs,
		Callers:   c.callers,
		PerSecond: round(float64(c.jobs) / time.Since(started).Seconds()),
	}, nil
}

// inAll has callers do something so many times between them, and stops at the first failure.
func inAll(callers, times int, do func() error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	var begun atomic.Int64
	var workers sync.WaitGroup
	for range callers {
		workers.Go(func() {
			for ctx.Err() == nil && begun.Add(1) <= int64(times) {
				if err := do(); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

type waitReport struct {
	Task   string  `json:"task"`
	WaitMs int     `json:"waitMs"`
	Rounds int     `json:"rounds"`
	P50us  float64 `json:"p50us"`
	P99us  float64 `json:"p99us"`
}

// wait times a value from just before its Enqueue to the return of the Dequeue that has waited for it.
func wait(c config, r *rig) (*waitReport, error) {
	client, err := r.client()
	if err != nil {
		return nil, err
	}
	queue, value := recipe.NewQueue(client, uniqueName("bench-queue")), string(make([]byte, putBytes))
	var waits []time.Duration
	for range c.rounds {
		taken := make(chan lockResult, 1)
		go func() {
			_, err := queue.Dequeue()
			taken <- lockResult{time.Now(), err}
		}()
		time.Sleep(time.Duration((float64(c.waitMs) + rand.Float64()*float64(c.jitterMs)) * float64(time.Millisecond)))
		started := time.Now()
		if err := queue.Enqueue(value); err != nil {
			return nil, err
		}
		result := <-taken
		if result.err != nil {
			return nil, result.err
		}
		waits = append(waits, result.at.Sub(started))
	}
	return &waitReport{
		Task:   c.task,
		WaitMs: c.waitMs,
		Rounds: c.rounds,
		P50us:  percentile(waits, 0.5),
		P99us:  percentile(waits, 0.99),
	}, nil
}
