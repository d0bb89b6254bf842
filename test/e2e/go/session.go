package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func sessionChecks() []check {
	return []check{
		{"sessions live and end with their lease", sessionLife},
		{"a mutex is handed over", mutexHandOver},
		{"a mutex excludes", mutexExcludes},
		{"a mutex may be tried, and waited for in vain", mutexTried},
		{"a mutex outlives no session", mutexOfExpired},
	}
}

// session gives a session that is closed after the check.
func (t *test) session(options ...concurrency.SessionOption) *concurrency.Session {
	session := must(concurrency.NewSession(t.Client, options...))
	t.after(func() { _ = session.Close() })
	return session
}

func sessionLife(t *test) {
	session := must(concurrency.NewSession(t.Client, concurrency.WithTTL(30)))
	equal("granted TTL", must(t.TimeToLive(t.ctx, session.Lease())).GrantedTTL, 30)
	must(t.Put(t.ctx, t.key("a"), "x", clientv3.WithLease(session.Lease())))
	done(session.Close())
	closed(t, "a closed session", session.Done())
	equal("key of a closed session", t.get("a"), "")

	short := must(concurrency.NewSession(t.Client, concurrency.WithTTL(2)))
	must(t.Revoke(t.ctx, short.Lease()))
	closed(t, "a session whose lease is revoked", short.Done())

	lease := t.grant(60)
	shared := must(concurrency.NewSession(t.Client, concurrency.WithLease(lease)))
	equal("lease", shared.Lease(), lease)
	shared.Orphan()
	holds("an orphaned session leaves its lease", must(t.TimeToLive(t.ctx, lease)).TTL > 0)
}

// waiters waits until so many keys queue for a mutex or an election.
func (t *test) waiters(name string, count int64) {
	eventually(t, "all wait", func() bool {
		return must(t.Get(t.ctx, t.key(name)+"/", clientv3.WithPrefix(), clientv3.WithCountOnly())).Count == count
	})
}

func mutexHandOver(t *test) {
	first := concurrency.NewMutex(t.session(), t.key("lock"))
	second := concurrency.NewMutex(must(concurrency.NewSession(t.client())), t.key("lock"))
	done(first.Lock(t.ctx))
	equal("first holds", t.succeeds(first.IsOwner()), true)
	locked := make(chan error, 1)
	go func() { locked <- second.Lock(t.ctx) }()
	t.waiters("lock", 2)
	select {
	case <-locked:
		fail("the second got what the first holds")
	case <-time.After(100 * time.Millisecond):
	}
	done(first.Unlock(t.ctx))
	done(receive(t, "the lock", locked))
	equal("second holds", t.succeeds(second.IsOwner()), true)
	equal("first holds no more", must(t.Get(t.ctx, t.key("lock"), clientv3.WithPrefix())).Count, 1)
	done(second.Unlock(t.ctx))
	equal("unlocked twice", errors.Is(second.Unlock(t.ctx), concurrency.ErrLockReleased), true)
	t.waiters("lock", 0)
}

func mutexExcludes(t *test) {
	const rounds = 20
	var inside, total atomic.Int32
	var group sync.WaitGroup
	faults := make(chan string, 5*rounds)
	for range 5 {
		mutex := concurrency.NewMutex(t.session(), t.key("lock"))
		group.Go(func() {
			for range rounds {
				if err := mutex.Lock(t.ctx); err != nil {
					faults <- err.Error()
					return
				}
				if inside.Add(1) != 1 {
					faults <- "two hold it at once"
				}
				total.Add(1)
				inside.Add(-1)
				if err := mutex.Unlock(t.ctx); err != nil {
					faults <- err.Error()
					return
				}
			}
		})
	}
	group.Wait()
	close(faults)
	for fault := range faults {
		fail("%s", fault)
	}
	equal("times it was held", total.Load(), 5*rounds)
}

func mutexTried(t *test) {
	first := concurrency.NewMutex(t.session(), t.key("lock"))
	second := concurrency.NewMutex(t.session(), t.key("lock"))
	done(first.TryLock(t.ctx))
	equal("tried while it is held", second.TryLock(t.ctx), concurrency.ErrLocked)
	t.waiters("lock", 1)
	soon, cancel := context.WithTimeout(t.ctx, 200*time.Millisecond)
	defer cancel()
	equal("waited in vain", errors.Is(second.Lock(soon), context.DeadlineExceeded), true)
	t.waiters("lock", 1)
	done(first.Unlock(t.ctx))
	done(second.TryLock(t.ctx))
	done(second.Lock(t.ctx))
	done(second.Unlock(t.ctx))
}

func mutexOfExpired(t *test) {
	lost := t.session(concurrency.WithTTL(2))
	first := concurrency.NewMutex(lost, t.key("lock"))
	done(first.Lock(t.ctx))
	// Its lease is not renewed any more, as if the process had gone.
	lost.Orphan()
	second := concurrency.NewMutex(t.session(), t.key("lock"))
	done(second.Lock(t.ctx))
	equal("first holds", t.succeeds(first.IsOwner()), false)
	equal("second holds", t.succeeds(second.IsOwner()), true)
}
