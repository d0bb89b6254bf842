package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
)

const callsWarmUp = time.Second

type callsReport struct {
	Task      string  `json:"task"`
	Callers   int     `json:"callers"`
	Seconds   float64 `json:"seconds"`
	Calls     int64   `json:"calls"`
	PerSecond float64 `json:"perSecond"`
}

// act gives what one caller calls again and again.
type act func(session *concurrency.Session, name string, caller int) func(context.Context) error

// acts are what nobody is in the way of: a lock for each caller; one read lock for all; an addition of 1 by a
// transaction; a put to a key of its own, and the same by a recipes.Queue.
var acts = map[string]act{
	"locks": func(session *concurrency.Session, name string, caller int) func(context.Context) error {
		mutex := concurrency.NewMutex(session, fmt.Sprintf("%s-%d", name, caller))
		return func(ctx context.Context) error {
			if err := mutex.Lock(ctx); err != nil {
				return err
			}
			return mutex.Unlock(ctx)
		}
	},
	"read-lock": func(session *concurrency.Session, name string, _ int) func(context.Context) error {
		mutex := recipe.NewRWMutex(session, name)
		return func(context.Context) error {
			if err := mutex.RLock(); err != nil {
				return err
			}
			return mutex.RUnlock()
		}
	},
	"counter": func(session *concurrency.Session, name string, _ int) func(context.Context) error {
		return func(ctx context.Context) error { return increment(ctx, session.Client(), name) }
	},
	"puts": func(session *concurrency.Session, name string, caller int) func(context.Context) error {
		value, next := string(make([]byte, putBytes)), 0
		return func(ctx context.Context) error {
			next++
			_, err := session.Client().Put(ctx, fmt.Sprintf("%s/%d/%d", name, caller, next), value)
			return err
		}
	},
	"enqueues": func(session *concurrency.Session, name string, _ int) func(context.Context) error {
		queue, value := recipe.NewQueue(session.Client(), name), string(make([]byte, putBytes))
		return func(context.Context) error { return queue.Enqueue(value) }
	},
}

func increment(ctx context.Context, client *clientv3.Client, key string) error {
	_, err := concurrency.NewSTM(client, func(stm concurrency.STM) error {
		value, _ := strconv.ParseInt(stm.Get(key), 10, 64)
		stm.Put(key, strconv.FormatInt(value+1, 10))
		return nil
	}, concurrency.WithAbortContext(ctx))
	return err
}

// calls counts how often callers do something, all on one session.
func calls(c config, r *rig, act act) (*callsReport, error) {
	window := time.Duration(c.seconds * float64(time.Second))
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	session, err := r.session()
	if err != nil {
		return nil, err
	}

	var done atomic.Int64
	var stopping atomic.Bool
	var workers sync.WaitGroup
	name := c.name
	if name == "" {
		name = uniqueName("bench-" + c.task)
	}
	for caller := range c.callers {
		workers.Go(func() {
			call := act(session, name, caller)
			for !stopping.Load() {
				if err := call(ctx); err != nil {
					cancel(err)
					return
				}
				done.Add(1)
			}
		})
	}

	pause(ctx, callsWarmUp)
	started, before := time.Now(), done.Load()
	pause(ctx, window)
	counted, elapsed := done.Load()-before, time.Since(started).Seconds()

	stopping.Store(true)
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return &callsReport{
		Task:      c.task,
		Callers:   c.callers,
		Seconds:   round(elapsed),
		Calls:     counted,
		PerSecond: round(float64(counted) / elapsed),
	}, nil
}
