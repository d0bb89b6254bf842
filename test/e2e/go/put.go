package main

import (
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func putChecks() []check {
	return []check{
		{"put, get and delete", putGetDelete},
		{"put gives the previous pair", putPrevious},
		{"put keeps the value or the lease", putIgnoring},
		{"put refusals", putRefusals},
		{"binary keys and values", putBinary},
		{"large values, and too large ones", putLarge},
		{"delete of ranges", deleteRanges},
		{"operations of any kind with Do", doOperations},
	}
}

func putGetDelete(t *test) {
	key := t.key("a")
	first := must(t.Put(t.ctx, key, "one"))
	second := must(t.Put(t.ctx, key, "two"))
	holds("a put advances the revision", second.Header.Revision > first.Header.Revision)
	holds("no previous pair unless asked for", second.PrevKv == nil)
	got := must(t.Get(t.ctx, key))
	equal("count", got.Count, 1)
	equal("more", got.More, false)
	equal("pair", show(got.Kvs[0]),
		keyValue(key, "two", first.Header.Revision, second.Header.Revision, 2, clientv3.NoLease))
	holds("a read is not older than the put", got.Header.Revision >= second.Header.Revision)
	for what, header := range map[string][2]uint64{
		"member":  {got.Header.MemberId, first.Header.MemberId},
		"cluster": {got.Header.ClusterId, first.Header.ClusterId},
		"term":    {got.Header.RaftTerm, first.Header.RaftTerm},
	} {
		equal(what, header[0], header[1])
		holds("the header has a "+what, header[0] != 0)
	}

	deleted := must(t.Delete(t.ctx, key))
	equal("deleted", deleted.Deleted, 1)
	holds("no deleted pair unless asked for", len(deleted.PrevKvs) == 0)
	holds("a delete advances the revision", deleted.Header.Revision > second.Header.Revision)
	gone := must(t.Get(t.ctx, key))
	equal("count after the delete", gone.Count, 0)
	equal("pairs after the delete", len(gone.Kvs), 0)
	equal("deleted again", must(t.Delete(t.ctx, key)).Deleted, 0)

	third := must(t.Put(t.ctx, key, "three")).Header.Revision
	equal("pair of the next generation", show(must(t.Get(t.ctx, key)).Kvs[0]),
		keyValue(key, "three", third, third, 1, clientv3.NoLease))
}

func putPrevious(t *test) {
	key := t.key("a")
	first := must(t.Put(t.ctx, key, "one", clientv3.WithPrevKV()))
	equal("before the first", show(first.PrevKv), "none")
	second := must(t.Put(t.ctx, key, "two", clientv3.WithPrevKV()))
	revision := first.Header.Revision
	equal("before the second", show(second.PrevKv),
		keyValue(key, "one", revision, revision, 1, clientv3.NoLease))
}

func putIgnoring(t *test) {
	key := t.key("a")
	lease := t.grant(60)
	first := must(t.Put(t.ctx, key, "one", clientv3.WithLease(lease))).Header.Revision
	second := must(t.Put(t.ctx, key, "two", clientv3.WithIgnoreLease())).Header.Revision
	equal("with the lease kept", show(must(t.Get(t.ctx, key)).Kvs[0]),
		keyValue(key, "two", first, second, 2, lease))
	third := must(t.Put(t.ctx, key, "", clientv3.WithIgnoreValue())).Header.Revision
	equal("with the value kept, and no lease", show(must(t.Get(t.ctx, key)).Kvs[0]),
		keyValue(key, "two", first, third, 3, clientv3.NoLease))
}

func putRefusals(t *test) {
	missing := t.key("missing")
	_, err := t.Put(t.ctx, "", "x")
	refused("an empty key", err, rpctypes.ErrEmptyKey)
	_, err = t.Put(t.ctx, missing, "", clientv3.WithIgnoreValue())
	refused("no value to keep", err, rpctypes.ErrKeyNotFound)
	_, err = t.Put(t.ctx, missing, "x", clientv3.WithIgnoreLease())
	refused("no lease to keep", err, rpctypes.ErrKeyNotFound)
	_, err = t.Put(t.ctx, missing, "x", clientv3.WithIgnoreValue())
	refused("a value where it is kept", err, rpctypes.ErrValueProvided)
	_, err = t.Put(t.ctx, missing, "x", clientv3.WithIgnoreLease(), clientv3.WithLease(7))
	refused("a lease where it is kept", err, rpctypes.ErrLeaseProvided)
	_, err = t.Put(t.ctx, missing, "x", clientv3.WithLease(unknownLease))
	refused("an unknown lease", err, rpctypes.ErrLeaseNotFound)
	_, err = t.Get(t.ctx, "")
	refused("get without a key", err, rpctypes.ErrEmptyKey)
	_, err = t.Delete(t.ctx, "")
	refused("delete without a key", err, rpctypes.ErrEmptyKey)
	equal("refused puts change nothing", must(t.Get(t.ctx, missing)).Count, 0)
}

func putBinary(t *test) {
	key := t.key("\x00\xff\xfe é")
	value := "\x00\x01\xff\x80 nul and no UTF-8"
	must(t.Put(t.ctx, key, value))
	must(t.Put(t.ctx, t.key("\xff\xff"), ""))
	got := must(t.Get(t.ctx, t.prefix, clientv3.WithPrefix()))
	equal("count", got.Count, 2)
	equal("key", string(got.Kvs[0].Key), key)
	equal("value", string(got.Kvs[0].Value), value)
	equal("empty value", len(got.Kvs[1].Value), 0)
	equal("deleted", must(t.Delete(t.ctx, t.key("\xff"), clientv3.WithPrefix())).Deleted, 1)
}

func putLarge(t *test) {
	value := strings.Repeat("v", 1<<20)
	t.put("a", value, "b", value, "c", value)
	got := must(t.Get(t.ctx, t.prefix, clientv3.WithPrefix()))
	equal("count", got.Count, 3)
	for _, kv := range got.Kvs {
		holds("a large value comes back as it was", string(kv.Value) == value)
	}
	_, err := t.Put(t.ctx, t.key("d"), strings.Repeat("v", 1_700_000))
	refused("a request of more than 1.5 MiB", err, rpctypes.ErrRequestTooLarge)
}

func deleteRanges(t *test) {
	t.put("a", "1", "b", "2", "c", "3", "d", "4", "e/1", "5", "e/2", "6")
	got := must(t.Delete(t.ctx, t.key("b"), clientv3.WithRange(t.key("d")), clientv3.WithPrevKV()))
	equal("deleted in a range", got.Deleted, 2)
	equal("what a range had", t.names(got.PrevKvs), "b c")
	equal("value", string(got.PrevKvs[1].Value), "3")
	got = must(t.Delete(t.ctx, t.key("e/"), clientv3.WithPrefix()))
	equal("deleted with a prefix", got.Deleted, 2)
	got = must(t.Delete(t.ctx, t.key("x"), clientv3.WithRange(t.key("b"))))
	equal("deleted in an inverted range", got.Deleted, 0)
	got = must(t.Delete(t.ctx, t.key("none"), clientv3.WithPrefix(), clientv3.WithPrevKV()))
	equal("deleted where nothing is", got.Deleted, 0)
	equal("what is left", t.names(must(t.Get(t.ctx, t.prefix, clientv3.WithPrefix())).Kvs), "a d")
}

func doOperations(t *test) {
	put := must(t.Do(t.ctx, clientv3.OpPut(t.key("a"), "1"))).Put()
	got := must(t.Do(t.ctx, clientv3.OpGet(t.key("a")))).Get()
	equal("revision", got.Kvs[0].ModRevision, put.Header.Revision)
	txn := clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpGet(t.key("a"))}, nil)
	equal("transaction", must(t.Do(t.ctx, txn)).Txn().Succeeded, true)
	equal("deleted", must(t.Do(t.ctx, clientv3.OpDelete(t.key("a")))).Del().Deleted, 1)
}
