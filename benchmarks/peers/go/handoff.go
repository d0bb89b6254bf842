package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

const (
	handOffWarmUp = 3
	putBytes      = 100
)

type handOffReport struct {
	Task          string  `json:"task"`
	Clients       string  `json:"clients"`
	WaitMs        int     `json:"waitMs"`
	JitterMs      int     `json:"jitterMs"`
	Rounds        int     `json:"rounds"`
	HandoffP50us  float64 `json:"handoffP50us"`
	HandoffP99us  float64 `json:"handoffP99us"`
	HandoffMeanus float64 `json:"handoffMeanus"`
	PutP50us      float64 `json:"putP50us"`
	Ratio         float64 `json:"ratio"`
}

// contender is somebody who takes part in what is handed over.
type contender struct {
	take, give func(context.Context) error
}

func contenders(task string, sessions ...*concurrency.Session) []contender {
	name, all := uniqueName("bench-handoff"), []contender{}
	for _, session := range sessions {
		if task == "elect" {
			election := concurrency.NewElection(session, name)
			campaign := func(ctx context.Context) error { return election.Campaign(ctx, "") }
			all = append(all, contender{campaign, election.Resign})
		} else {
			mutex := concurrency.NewMutex(session, name)
			all = append(all, contender{mutex.Lock, mutex.Unlock})
		}
	}
	return all
}

// handOff times a lock, or a leadership, passing from its holder to one waiter: from just before the holder's Unlock
// to the return of the waiter's Lock. Each round also times one put by the holder's client, so
// that the two figures meet the same machine at the same moment.
//
// Without jitter a round starts as soon as the one before it ends, which ties its phase to the
// server's 100 ms watch tick whenever that tick delivered the previous hand-off. A jitter of 100
// spreads the phase evenly, as waiters that arrive at arbitrary moments do.
func handOff(c config, r *rig) (*handOffReport, error) {
	ctx := context.Background()
	holderSession, err := r.session()
	if err != nil {
		return nil, err
	}
	waiterSession, err := r.session()
	if err != nil {
		return nil, err
	}
	both := contenders(c.task, holderSession, waiterSession)
	holder, waiter := both[0], both[1]
	client, putKey, putValue := holderSession.Client(), uniqueName("bench-put"), string(make([]byte, putBytes))

	var handoffs, puts []time.Duration
	for i := range handOffWarmUp + c.rounds {
		if c.jitterMs > 0 {
			time.Sleep(time.Duration(rand.Int64N(int64(c.jitterMs) * int64(time.Millisecond))))
		}
		handoff, err := passOnce(ctx, holder, waiter, time.Duration(c.waitMs)*time.Millisecond)
		if err != nil {
			return nil, err
		}
		put, err := timePut(ctx, client, putKey, putValue)
		if err != nil {
			return nil, err
		}
		if i >= handOffWarmUp {
			handoffs, puts = append(handoffs, handoff), append(puts, put)
		}
	}

	handoffP50, putP50 := percentile(handoffs, 0.5), percentile(puts, 0.5)
	return &handOffReport{
		Task:          c.task,
		Clients:       c.clients,
		WaitMs:        c.waitMs,
		JitterMs:      c.jitterMs,
		Rounds:        c.rounds,
		HandoffP50us:  handoffP50,
		HandoffP99us:  percentile(handoffs, 0.99),
		HandoffMeanus: mean(handoffs),
		PutP50us:      putP50,
		Ratio:         round(handoffP50 / putP50),
	}, nil
}

type lockResult struct {
	at  time.Time
	err error
}

func passOnce(ctx context.Context, holder, waiter contender, wait time.Duration) (time.Duration, error) {
	if err := holder.take(ctx); err != nil {
		return 0, fmt.Errorf("holder's lock: %w", err)
	}
	called, returned := make(chan time.Time, 1), make(chan lockResult, 1)
	go func() {
		called <- time.Now()
		err := waiter.take(ctx)
		returned <- lockResult{time.Now(), err}
	}()
	time.Sleep(time.Until((<-called).Add(wait)))
	select {
	case early := <-returned:
		return 0, fmt.Errorf("the waiter's lock returned while the lock was held (error: %v)", early.err)
	default:
	}

	released := time.Now()
	if err := holder.give(ctx); err != nil {
		return 0, fmt.Errorf("holder's unlock: %w", err)
	}
	result := <-returned
	if result.err != nil {
		return 0, fmt.Errorf("waiter's lock: %w", result.err)
	}
	if err := waiter.give(ctx); err != nil {
		return 0, fmt.Errorf("waiter's unlock: %w", err)
	}
	return result.at.Sub(released), nil
}

func timePut(ctx context.Context, client *clientv3.Client, key, value string) (time.Duration, error) {
	started := time.Now()
	_, err := client.Put(ctx, key, value)
	return time.Since(started), err
}
