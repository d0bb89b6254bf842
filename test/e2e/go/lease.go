package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
)

// No lease of anyone has this identity.
const unknownLease clientv3.LeaseID = 0x7fff000000001234

func leaseChecks() []check {
	return []check{
		{"leases are granted, and looked at", leaseGranted},
		{"leases with an identity of one's own", leaseIdentity},
		{"leases that are refused", leaseRefusals},
		{"leases are kept alive once", leaseKeptOnce},
		{"leases are kept alive by a stream", leaseKept},
		{"leases take their keys with them at once", leaseRevoked},
		{"leases lose keys that get another", leaseDetached},
		{"leases expire", leaseExpires},
	}
}

// grant gives a lease that is revoked after the check.
func (t *test) grant(seconds int64) clientv3.LeaseID {
	id := must(t.Grant(t.ctx, seconds)).ID
	t.after(func() { _, _ = t.Revoke(t.ctx, id) })
	return id
}

func leaseGranted(t *test) {
	granted := must(t.Grant(t.ctx, 60))
	id := granted.ID
	holds("the server picks a positive identity", id > 0)
	equal("TTL", granted.TTL, 60)
	equal("error", granted.Error, "")
	holds("the header has a revision", granted.ResponseHeader.Revision > 0)
	for _, name := range []string{"b", "a"} {
		must(t.Put(t.ctx, t.key(name), "x", clientv3.WithLease(id)))
	}
	life := must(t.TimeToLive(t.ctx, id, clientv3.WithAttachedKeys()))
	equal("identity", life.ID, id)
	equal("granted TTL", life.GrantedTTL, 60)
	holds("it has nearly all its time", life.TTL > 50 && life.TTL <= 60)
	var keys []string
	for _, key := range life.Keys {
		keys = append(keys, strings.TrimPrefix(string(key), t.prefix))
	}
	slices.Sort(keys)
	equal("keys", strings.Join(keys, " "), "a b")
	equal("keys unless asked for", len(must(t.TimeToLive(t.ctx, id)).Keys), 0)
	listed := func() bool {
		return slices.Contains(must(t.Leases(t.ctx)).Leases, clientv3.LeaseStatus{ID: id})
	}
	equal("is listed", listed(), true)
	must(t.Revoke(t.ctx, id))
	equal("is listed when revoked", listed(), false)
	gone := must(t.TimeToLive(t.ctx, id, clientv3.WithAttachedKeys()))
	equal("TTL when revoked", gone.TTL, -1)
	equal("granted TTL when revoked", gone.GrantedTTL, 0)

	short := must(t.Grant(t.ctx, 0))
	holds("a TTL of none is raised to the least there can be", short.TTL >= 1 && short.TTL <= 5)
	must(t.Revoke(t.ctx, short.ID))
}

func leaseIdentity(t *test) {
	raw := pb.NewLeaseClient(t.ActiveConnection())
	id := time.Now().UnixNano()
	for _, want := range []int64{id, -id} {
		granted := must(raw.LeaseGrant(t.ctx, &pb.LeaseGrantRequest{ID: want, TTL: 60}))
		equal("identity", granted.ID, want)
		_, err := raw.LeaseGrant(t.ctx, &pb.LeaseGrantRequest{ID: want, TTL: 60})
		answered("an identity that is taken", err, codes.FailedPrecondition, "etcdserver: lease already exists")
		must(t.Put(t.ctx, t.key("a"), "x", clientv3.WithLease(clientv3.LeaseID(want))))
		must(t.Revoke(t.ctx, clientv3.LeaseID(want)))
		equal("its key", must(t.Get(t.ctx, t.key("a"))).Count, 0)
	}
}

func leaseRefusals(t *test) {
	_, err := t.Grant(t.ctx, 9_000_000_001)
	refused("a TTL of 285 years", err, rpctypes.ErrLeaseTTLTooLarge)
	_, err = t.Revoke(t.ctx, unknownLease)
	refused("revoking what is not there", err, rpctypes.ErrLeaseNotFound)
	_, err = t.KeepAliveOnce(t.ctx, unknownLease)
	refused("keeping alive what is not there", err, rpctypes.ErrLeaseNotFound)
	life := must(t.TimeToLive(t.ctx, unknownLease))
	equal("TTL of what is not there", life.TTL, -1)
}

func leaseKeptOnce(t *test) {
	id := t.grant(10)
	before := int64(10)
	eventually(t, "some of its time has passed", func() bool {
		before = must(t.TimeToLive(t.ctx, id)).TTL
		return before < 9
	})
	kept := must(t.KeepAliveOnce(t.ctx, id))
	equal("identity", kept.ID, id)
	equal("TTL", kept.TTL, 10)
	holds("it has its time again", must(t.TimeToLive(t.ctx, id)).TTL > before)
}

func leaseKept(t *test) {
	id := t.grant(3)
	must(t.Put(t.ctx, t.key("a"), "x", clientv3.WithLease(id)))
	channel := must(t.KeepAlive(t.ctx, id))
	another := must(t.KeepAlive(t.ctx, t.grant(60)))
	begun := time.Now()
	for time.Since(begun) < 4*time.Second {
		kept := receive(t, "a renewal", channel)
		equal("identity", kept.ID, id)
		equal("TTL", kept.TTL, 3)
	}
	equal("the key outlives the TTL", t.get("a"), "x")
	receive(t, "a renewal of another lease on the stream", another)
	must(t.Revoke(t.ctx, id))
	closed(t, "renewals of a revoked lease", channel)
}

func leaseRevoked(t *test) {
	id := t.grant(60)
	for _, name := range []string{"c", "a", "b"} {
		must(t.Put(t.ctx, t.key(name), name, clientv3.WithLease(id)))
	}
	channel := t.watching(t.prefix, clientv3.WithPrefix(), clientv3.WithPrevKV())
	revision := must(t.Revoke(t.ctx, id)).Header.Revision
	response := receive(t, "the deletes", channel)
	var events []string
	for _, event := range response.Events {
		equal("mod revision", event.Kv.ModRevision, revision)
		events = append(events, t.describe(event))
	}
	equal("events", strings.Join(events, ", "), "DELETE a was a, DELETE b was b, DELETE c was c")
	equal("what is left", must(t.Get(t.ctx, t.prefix, clientv3.WithPrefix())).Count, 0)
}

func leaseDetached(t *test) {
	first, second := t.grant(60), t.grant(60)
	for _, name := range []string{"kept", "moved", "deleted"} {
		must(t.Put(t.ctx, t.key(name), "x", clientv3.WithLease(first)))
	}
	t.put("kept", "y")
	must(t.Put(t.ctx, t.key("moved"), "y", clientv3.WithLease(second)))
	must(t.Delete(t.ctx, t.key("deleted")))
	t.put("deleted", "y")
	keys := func(id clientv3.LeaseID) string {
		return fmt.Sprintf("%s", must(t.TimeToLive(t.ctx, id, clientv3.WithAttachedKeys())).Keys)
	}
	equal("keys of the first", keys(first), "[]")
	equal("keys of the second", keys(second), "["+t.key("moved")+"]")
	must(t.Revoke(t.ctx, first))
	equal("values", t.get("kept")+t.get("moved")+t.get("deleted"), "yyy")
	must(t.Revoke(t.ctx, second))
	equal("values", t.get("kept")+t.get("moved")+t.get("deleted"), "yy")
}

func leaseExpires(t *test) {
	begun := time.Now()
	granted := must(t.Grant(t.ctx, 2))
	for _, name := range []string{"a", "b"} {
		must(t.Put(t.ctx, t.key(name), "x", clientv3.WithLease(granted.ID)))
	}
	channel := t.watching(t.prefix, clientv3.WithPrefix())
	equal("events", t.events(channel, 2), "DELETE a, DELETE b")
	holds("it did not expire early", time.Since(begun) >= 2*time.Second)
	equal("TTL", must(t.TimeToLive(t.ctx, granted.ID)).TTL, -1)
	_, err := t.KeepAliveOnce(t.ctx, granted.ID)
	refused("keeping alive what expired", err, rpctypes.ErrLeaseNotFound)
	_, err = t.Put(t.ctx, t.key("a"), "x", clientv3.WithLease(granted.ID))
	refused("a put with what expired", err, rpctypes.ErrLeaseNotFound)
}
