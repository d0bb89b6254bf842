// Command go runs the benchmarks of locks and queues on etcd's own Go client
// (go.etcd.io/etcd/client/v3/concurrency), the peer that this library's figures are compared with.
// It prints exactly one JSON object on stdout; anything else goes to stderr.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

const (
	sessionTTL   = 15
	connectLimit = 5 * time.Second
)

type config struct {
	endpoint string
	task     string
	sessions int
	seconds  float64
	waitMs   int
	jitterMs int
	rounds   int
	clients  string
	callers  int
	jobs     int
	name     string
}

func parseFlags() (config, error) {
	var c config
	flag.StringVar(&c.endpoint, "endpoint", "http://127.0.0.1:2379", "etcd client URL")
	flag.StringVar(&c.task, "task", "", "pingpong, handoff, elect, uncontended, locks, read-lock, counter, puts, enqueues, drain or wait")
	flag.IntVar(&c.sessions, "sessions", 2, "pingpong: number of sessions contending for the lock")
	flag.Float64Var(&c.seconds, "seconds", 5, "pingpong, locks, read-lock, counter, puts, enqueues: length of the measured window")
	flag.IntVar(&c.waitMs, "wait", 50, "handoff, elect, wait: milliseconds the waiter has waited when the holder unlocks, or a value is queued")
	flag.IntVar(&c.jitterMs, "jitter", 0, "handoff, elect, wait: random pause of up to this many milliseconds before each round")
	flag.IntVar(&c.rounds, "rounds", 100, "handoff, elect, uncontended, wait: number of measured rounds")
	flag.StringVar(&c.clients, "clients", "shared", "pingpong, handoff, elect: one client for all sessions (shared) or one each (own)")
	flag.IntVar(&c.callers, "callers", 64, "locks, read-lock, counter, puts, enqueues, drain: number of callers")
	flag.IntVar(&c.jobs, "jobs", 5000, "drain: number of queued values")
	flag.StringVar(&c.name, "name", "", "locks, read-lock, counter: what all callers share, where there are several processes")
	flag.Parse()
	switch {
	case flag.NArg() > 0:
		return c, fmt.Errorf("unexpected argument %q", flag.Arg(0))
	case c.clients != "shared" && c.clients != "own":
		return c, fmt.Errorf("-clients must be shared or own, not %q", c.clients)
	case c.sessions < 1 || c.rounds < 1 || c.callers < 1 || c.jobs < 1 || c.seconds <= 0 || c.waitMs < 0 || c.jitterMs < 0:
		return c, fmt.Errorf("-sessions, -rounds, -callers, -jobs and -seconds must be positive, -wait and -jitter not negative")
	}
	return c, nil
}

// rig opens clients and sessions and closes them all, in reverse order, at the end.
type rig struct {
	endpoint string
	own      bool
	shared   *clientv3.Client
	closers  []func() error
}

func (r *rig) client() (*clientv3.Client, error) {
	if !r.own && r.shared != nil {
		return r.shared, nil
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{r.endpoint}})
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, client.Close)
	r.shared = client

	// Connects now, so that an unreachable server is an error instead of a silent wait.
	ctx, cancel := context.WithTimeout(context.Background(), connectLimit)
	defer cancel()
	if _, err := client.Get(ctx, "connect", clientv3.WithCountOnly()); err != nil {
		return nil, fmt.Errorf("no etcd at %s: %w", r.endpoint, err)
	}
	return client, nil
}

func (r *rig) session() (*concurrency.Session, error) {
	client, err := r.client()
	if err != nil {
		return nil, err
	}
	session, err := concurrency.NewSession(client, concurrency.WithTTL(sessionTTL))
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, session.Close)
	return session, nil
}

func (r *rig) close() {
	for i := len(r.closers) - 1; i >= 0; i-- {
		if err := r.closers[i](); err != nil {
			fmt.Fprintln(os.Stderr, "close:", err)
		}
	}
}

// uniqueName keeps runs on one server from meeting each other's keys.
func uniqueName(prefix string) string {
	suffix := make([]byte, 8)
	_, _ = rand.Read(suffix)
	return prefix + "-" + hex.EncodeToString(suffix)
}

func run(c config) (any, error) {
	r := &rig{endpoint: c.endpoint, own: c.clients == "own"}
	defer r.close()
	switch c.task {
	case "pingpong":
		return pingPong(c, r)
	case "handoff", "elect":
		return handOff(c, r)
	case "uncontended":
		return uncontended(c, r)
	case "drain":
		return drain(c, r)
	case "wait":
		return wait(c, r)
	}
	if act, found := acts[c.task]; found {
		return calls(c, r, act)
	}
	return nil, fmt.Errorf("there is no -task %q", c.task)
}

func main() {
	c, err := parseFlags()
	var report any
	if err == nil {
		report, err = run(c)
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(report)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
