package main

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

var isolations = []struct {
	name  string
	level concurrency.Isolation
}{
	{"serializable snapshot", concurrency.SerializableSnapshot},
	{"serializable", concurrency.Serializable},
	{"repeatable reads", concurrency.RepeatableReads},
	{"read committed", concurrency.ReadCommitted},
}

func stmChecks() []check {
	checks := []check{
		{"software transactions read, write and delete", stmOperations},
		{"software transactions that fail write nothing", stmFails},
	}
	for _, isolation := range isolations {
		checks = append(checks,
			check{"software transactions meet a conflict, " + isolation.name, func(t *test) {
				stmConflicts(t, isolation.level)
			}})
		if isolation.level != concurrency.ReadCommitted {
			checks = append(checks, check{"software transactions count, " + isolation.name, func(t *test) {
				stmCounts(t, isolation.level)
			}})
		}
	}
	return checks
}

func (t *test) stm(level concurrency.Isolation, apply func(stm concurrency.STM) error) (*clientv3.TxnResponse, error) {
	return concurrency.NewSTM(t.Client, apply, concurrency.WithIsolation(level), concurrency.WithAbortContext(t.ctx))
}

func stmOperations(t *test) {
	revision := t.put("a", "1", "b", "2")[0]
	for _, isolation := range isolations {
		response := must(t.stm(isolation.level, func(stm concurrency.STM) error {
			equal("value", stm.Get(t.key("a")), "1")
			equal("revision", stm.Rev(t.key("a")), revision)
			equal("no value", stm.Get(t.key("missing")), "")
			stm.Put(t.key("c"), "3")
			equal("value put before", stm.Get(t.key("c")), "3")
			stm.Del(t.key("b"))
			return nil
		}))
		equal("values", t.get("a")+t.get("b")+t.get("c"), "13")
		written := must(t.Get(t.ctx, t.key("c"))).Kvs[0]
		equal("revision of what it wrote", written.ModRevision, response.Header.Revision)
		t.put("b", "2")
	}
	must(concurrency.NewSTM(t.Client, func(stm concurrency.STM) error {
		stm.Put(t.key("d"), stm.Get(t.key("a"))+stm.Get(t.key("b")))
		return nil
	}, concurrency.WithPrefetch(t.key("a"), t.key("b"))))
	equal("value of what was read ahead", t.get("d"), "12")
}

func stmFails(t *test) {
	reason := errors.New("changed my mind")
	_, err := t.stm(concurrency.SerializableSnapshot, func(stm concurrency.STM) error {
		stm.Put(t.key("a"), "1")
		return reason
	})
	equal("error", err, reason)
	equal("value", t.get("a"), "")
}

// stmConflicts has someone else write between the reads and the commit of the first attempt.
func stmConflicts(t *test, level concurrency.Isolation) {
	run := func(interferes string, apply func(stm concurrency.STM) string) []string {
		t.put("a", "a0", "b", "b0")
		var seen []string
		must(t.stm(level, func(stm concurrency.STM) error {
			found := stm.Get(t.key("a"))
			if len(seen) == 0 {
				t.put(interferes, interferes+"1")
			}
			found += apply(stm)
			seen = append(seen, found)
			return nil
		}))
		return seen
	}
	writes := func(stm concurrency.STM) string {
		stm.Put(t.key("b"), "mine")
		return ""
	}
	reads := func(stm concurrency.STM) string { return " " + stm.Get(t.key("b")) }

	want := []string{"a0", "a1"}
	if level == concurrency.ReadCommitted {
		want = []string{"a0"}
	}
	equal("attempts when what was read changes", run("a", writes), want)
	equal("written", t.get("b"), "mine")

	want = []string{"a0"}
	if level == concurrency.SerializableSnapshot {
		want = []string{"a0", "a0"}
	}
	equal("attempts when what is written changes", run("b", writes), want)
	equal("written", t.get("b"), "mine")

	want = []string{"a0 b1"}
	if level == concurrency.SerializableSnapshot || level == concurrency.Serializable {
		want = []string{"a0 b0", "a0 b1"}
	}
	equal("attempts when what is read next changes", run("b", reads), want)
}

func stmCounts(t *test, level concurrency.Isolation) {
	const workers, rounds = 4, 10
	t.put("n", "0")
	var group sync.WaitGroup
	faults := make(chan error, workers*rounds)
	for range workers {
		group.Go(func() {
			for range rounds {
				_, err := t.stm(level, func(stm concurrency.STM) error {
					n, err := strconv.Atoi(stm.Get(t.key("n")))
					stm.Put(t.key("n"), fmt.Sprint(n+1))
					return err
				})
				faults <- err
			}
		})
	}
	group.Wait()
	close(faults)
	for fault := range faults {
		done(fault)
	}
	equal("count", t.get("n"), fmt.Sprint(workers*rounds))
}
