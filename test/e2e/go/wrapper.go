package main

import (
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
)

func wrapperChecks() []check {
	return []check{
		{"namespaces", namespaces},
		{"keys that are leased to a client", leasedKeys},
		{"reads in order", ordered},
		{"a mirror", mirrored},
		{"the interface of Kubernetes", forKubernetes},
	}
}

func namespaces(t *test) {
	kv := namespace.NewKV(t.KV, t.prefix)
	watcher := namespace.NewWatcher(t.Watcher, t.prefix)
	leases := namespace.NewLease(t.Lease, t.prefix)
	channel := watcher.Watch(t.ctx, "", clientv3.WithFromKey(), clientv3.WithCreatedNotify())
	receive(t, "the creation of a watch", channel)
	id := t.grant(60)
	must(kv.Put(t.ctx, "a", "1", clientv3.WithLease(id)))
	must(t.Put(t.ctx, "outside-"+t.prefix, "not seen"))
	t.after(func() { _, _ = t.Delete(t.ctx, "outside-"+t.prefix) })
	must(kv.Txn(t.ctx).
		If(clientv3.Compare(clientv3.Value("a"), "=", "1")).
		Then(clientv3.OpPut("b", "2"), clientv3.OpDelete("a")).
		Commit())
	equal("events", t.events(channel, 3), "PUT a=1, PUT b=2, DELETE a")
	equal("value", t.get("b"), "2")
	got := must(kv.Get(t.ctx, "", clientv3.WithFromKey()))
	equal("all keys", t.names(got.Kvs), "b")
	must(kv.Put(t.ctx, "c", "3", clientv3.WithLease(id)))
	life := must(leases.TimeToLive(t.ctx, id, clientv3.WithAttachedKeys()))
	equal("keys of the lease", fmt.Sprintf("%s", life.Keys), "[c]")
	equal("deleted", must(kv.Delete(t.ctx, "", clientv3.WithPrefix())).Deleted, 2)
}

func leasedKeys(t *test) {
	first, closeFirst, err := leasing.NewKV(t.client(), t.key("leases/"))
	done(err)
	t.after(closeFirst)
	second, closeSecond, err := leasing.NewKV(t.client(), t.key("leases/"))
	done(err)
	t.after(closeSecond)
	t.put("a", "1")
	equal("value", string(must(first.Get(t.ctx, t.key("a"))).Kvs[0].Value), "1")
	must(first.Put(t.ctx, t.key("a"), "2"))
	// The second has to take it from the first.
	must(second.Put(t.ctx, t.key("a"), "3"))
	equal("value", string(must(first.Get(t.ctx, t.key("a"))).Kvs[0].Value), "3")
	response := must(second.Txn(t.ctx).
		If(clientv3.Compare(clientv3.Value(t.key("a")), "=", "3")).
		Then(clientv3.OpPut(t.key("a"), "4")).
		Commit())
	equal("succeeded", response.Succeeded, true)
	equal("value", string(must(first.Get(t.ctx, t.key("a"))).Kvs[0].Value), "4")
	must(first.Delete(t.ctx, t.key("a")))
	equal("count", must(second.Get(t.ctx, t.key("a"))).Count, 0)
}

func ordered(t *test) {
	kv := ordering.NewKV(t.KV, func(_ clientv3.Op, _ clientv3.OpResponse, revision int64) error {
		return fmt.Errorf("a read is older than revision %d, which was read before", revision)
	})
	for i := range 50 {
		want := fmt.Sprint(i)
		t.put("a", want)
		got := must(kv.Get(t.ctx, t.key("a"), clientv3.WithSerializable()))
		equal("value", string(got.Kvs[0].Value), want)
		txn := must(kv.Txn(t.ctx).Then(clientv3.OpGet(t.key("a"))).Commit())
		equal("value", string(txn.Responses[0].GetResponseRange().Kvs[0].Value), want)
	}
}

func mirrored(t *test) {
	const count = 1100
	t.manyPuts(count)
	syncer := mirror.NewSyncer(t.Client, t.prefix, 0)
	pages, errs := syncer.SyncBase(t.ctx)
	copied := 0
	for page := range pages {
		copied += len(page.Kvs)
	}
	done(<-errs)
	equal("keys copied", copied, count+1)
	updates := syncer.SyncUpdates(t.ctx)
	t.put("later", "1")
	equal("update", t.events(updates, 1), "PUT later=1")
}

func forKubernetes(t *test) {
	k8s := must(kubernetes.New(clientv3.Config{Endpoints: []string{t.endpoint}, Logger: t.GetLogger()}))
	t.after(func() { k8s.Client.Close() })
	key := t.key("pod")
	created := must(k8s.Kubernetes.OptimisticPut(t.ctx, key, []byte("1"), 0, kubernetes.PutOptions{}))
	equal("created", created.Succeeded, true)
	again := must(k8s.Kubernetes.OptimisticPut(t.ctx, key, []byte("2"), 0, kubernetes.PutOptions{GetOnFailure: true}))
	equal("created again", again.Succeeded, false)
	equal("what there is", string(again.KV.Value), "1")
	updated := must(k8s.Kubernetes.OptimisticPut(t.ctx, key, []byte("2"), created.Revision, kubernetes.PutOptions{}))
	equal("updated", updated.Succeeded, true)
	got := must(k8s.Kubernetes.Get(t.ctx, key, kubernetes.GetOptions{Revision: created.Revision}))
	equal("before", string(got.KV.Value), "1")
	t.put("pod2", "x", "pod3", "y")
	list := must(k8s.Kubernetes.List(t.ctx, t.prefix, kubernetes.ListOptions{Limit: 2}))
	equal("first page", t.names(list.Kvs), "pod pod2")
	equal("count", list.Count, 3)
	next := kubernetes.ListOptions{Continue: t.key("pod2") + "\x00", Revision: list.Revision}
	equal("second page", t.names(must(k8s.Kubernetes.List(t.ctx, t.prefix, next)).Kvs), "pod3")
	equal("count", must(k8s.Kubernetes.Count(t.ctx, t.prefix, kubernetes.CountOptions{})), 3)
	deleted := must(k8s.Kubernetes.OptimisticDelete(t.ctx, key, created.Revision, kubernetes.DeleteOptions{}))
	equal("deleted what has changed", deleted.Succeeded, false)
	deleted = must(k8s.Kubernetes.OptimisticDelete(t.ctx, key, updated.Revision, kubernetes.DeleteOptions{}))
	equal("deleted", deleted.Succeeded, true)
}
