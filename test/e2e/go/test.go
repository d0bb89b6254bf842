package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// test is what one check works with.
type test struct {
	*clientv3.Client
	ctx      context.Context
	endpoint string
	version  int
	// prefix is what the keys of this check begin with, and those of nobody else.
	prefix   string
	cleanUps []func()
}

// failure is what a check panics with, so that it ends where it is.
type failure struct{ error }

func newTest(client *clientv3.Client, endpoint string, version int) *test {
	suffix := make([]byte, 8)
	_, _ = rand.Read(suffix)
	return &test{
		Client:   client,
		endpoint: endpoint,
		version:  version,
		prefix:   "go-" + hex.EncodeToString(suffix) + "/",
	}
}

func (t *test) attempt(run func(t *test)) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), checkLimit)
	t.ctx = ctx
	defer func() {
		for i := len(t.cleanUps) - 1; i >= 0; i-- {
			t.cleanUps[i]()
		}
		cancel()
		t.clear()
	}()
	defer func() {
		switch reason := recover().(type) {
		case nil:
		case failure:
			err = reason.error
		default:
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	run(t)
	return nil
}

// after calls done when the check has ended.
func (t *test) after(done func()) { t.cleanUps = append(t.cleanUps, done) }

// clear leaves no keys to those who use the server after this check.
func (t *test) clear() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = t.Delete(ctx, t.prefix, clientv3.WithPrefix())
}

func (t *test) key(name string) string { return t.prefix + name }

// put puts values of keys that are named without the prefix, and gives the revision of each.
func (t *test) put(namesAndValues ...string) []int64 {
	var revisions []int64
	for i := 0; i < len(namesAndValues); i += 2 {
		response := must(t.Put(t.ctx, t.key(namesAndValues[i]), namesAndValues[i+1]))
		revisions = append(revisions, response.Header.Revision)
	}
	return revisions
}

// get gives the value of a key, "" if there is none.
func (t *test) get(name string) string {
	response := must(t.Get(t.ctx, t.key(name)))
	if len(response.Kvs) == 0 {
		return ""
	}
	return string(response.Kvs[0].Value)
}

// names gives the keys without the prefix of this check.
func (t *test) names(kvs []*mvccpb.KeyValue) string {
	var names []string
	for _, kv := range kvs {
		names = append(names, strings.TrimPrefix(string(kv.Key), t.prefix))
	}
	return strings.Join(names, " ")
}

// client gives a client of its own, for a connection that may be closed.
func (t *test) client() *clientv3.Client {
	client := must(connect(t.endpoint))
	t.after(func() { client.Close() })
	return client
}

func fail(format string, values ...any) { panic(failure{fmt.Errorf(format, values...)}) }

func must[V any](value V, err error) V {
	done(err)
	return value
}

func done(err error) {
	if err != nil {
		panic(failure{err})
	}
}

func equal[V any](what string, got, want V) {
	if !reflect.DeepEqual(got, want) {
		fail("%s: got %v, want %v", what, got, want)
	}
}

func holds(what string, condition bool) {
	if !condition {
		fail("not so: %s", what)
	}
}

// refused wants the very error that the client knows for this refusal.
func refused(what string, err, want error) {
	if err == nil {
		fail("%s: got no error, want %q", what, want)
	}
	if err != want {
		fail("%s: got %T %q, want %T %q", what, err, err, want, want)
	}
}

// answered wants a gRPC status that the client has no error of its own for.
func answered(what string, err error, code codes.Code, message string) {
	got, _ := status.FromError(err)
	equal(what, got.Code(), code)
	equal(what, got.Message(), message)
}

func keyValue(key, value string, create, mod, version int64, lease clientv3.LeaseID) string {
	return fmt.Sprintf("%s=%s create %d mod %d version %d lease %d", key, value, create, mod, version, lease)
}

func show(kv *mvccpb.KeyValue) string {
	if kv == nil {
		return "none"
	}
	return keyValue(string(kv.Key), string(kv.Value), kv.CreateRevision, kv.ModRevision, kv.Version,
		clientv3.LeaseID(kv.Lease))
}

// receive waits for what a channel gives next.
func receive[V any](t *test, what string, channel <-chan V) V {
	select {
	case value, open := <-channel:
		if !open {
			fail("%s: the channel was closed", what)
		}
		return value
	case <-t.ctx.Done():
		fail("%s: it did not come in time", what)
		panic("unreachable")
	}
}

// closed waits until a channel ends, and drops what it gives before.
func closed[V any](t *test, what string, channel <-chan V) {
	for {
		select {
		case _, open := <-channel:
			if !open {
				return
			}
		case <-t.ctx.Done():
			fail("%s: it did not end in time", what)
		}
	}
}

// eventually asks again and again until it is so.
func eventually(t *test, what string, condition func() bool) {
	for !condition() {
		select {
		case <-t.ctx.Done():
			fail("it never came to this: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
