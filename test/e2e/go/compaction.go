package main

import (
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func compactionChecks() []check {
	return []check{
		{"compaction takes the past", compactPast},
		{"compaction ends watches of the past", compactWatch},
	}
}

func compactPast(t *test) {
	r := t.put("a", "1", "b", "2", "a", "3", "c", "4")
	must(t.Delete(t.ctx, t.key("b")))
	last := t.put("a", "5")[0]
	compacted := must(t.Compact(t.ctx, r[2], clientv3.WithCompactPhysical()))
	holds("the header has the newest revision", compacted.Header.Revision >= last)
	at := func(revision int64) (string, error) {
		got, err := t.Get(t.ctx, t.prefix, clientv3.WithPrefix(), clientv3.WithRev(revision))
		if err != nil {
			return "", err
		}
		return t.names(got.Kvs), nil
	}
	_, err := at(r[2] - 1)
	refused("before the compaction", err, rpctypes.ErrCompacted)
	equal("at the compaction", must(at(r[2])), "a b")
	equal("after the compaction", must(at(r[3])), "a b c")
	equal("now", must(at(0)), "a c")
	equal("value", t.get("a"), "5")
	_, err = t.Txn(t.ctx).Then(clientv3.OpGet(t.key("a"), clientv3.WithRev(r[2]-1))).Commit()
	refused("a transaction in the past", err, rpctypes.ErrCompacted)
	_, err = t.Compact(t.ctx, r[2])
	refused("again", err, rpctypes.ErrCompacted)
	_, err = t.Compact(t.ctx, last+1_000_000)
	refused("the future", err, rpctypes.ErrFutureRev)

	deleted := must(t.Delete(t.ctx, t.key("c"))).Header.Revision
	must(t.Compact(t.ctx, deleted))
	equal("with the deleted", must(at(deleted)), "a")
	channel := t.watching(t.prefix, clientv3.WithPrefix(), clientv3.WithRev(deleted+1))
	t.put("a", "6")
	equal("watched", t.events(channel, 1), "PUT a=6")
}

func compactWatch(t *test) {
	r := t.put("a", "1", "a", "2", "a", "3", "a", "4")
	going := t.watching(t.key("a"))
	must(t.Compact(t.ctx, r[2]))
	response := receive(t, "the end", t.Watch(t.ctx, t.key("a"), clientv3.WithRev(r[0])))
	equal("cancelled", response.Canceled, true)
	equal("compact revision", response.CompactRevision, r[2])
	equal("error", response.Err(), rpctypes.ErrCompacted)
	equal("events", len(response.Events), 0)
	kept := t.watching(t.key("a"), clientv3.WithRev(r[2]))
	equal("from the compaction on", t.events(kept, 2), "PUT a=3, PUT a=4")
	t.put("a", "5")
	equal("one that went on", t.events(going, 1), "PUT a=5")
	previous := t.watching(t.key("a"), clientv3.WithRev(r[2]), clientv3.WithPrevKV())
	equal("what was before the compaction is gone", t.events(previous, 3), "PUT a=3, PUT a=4 was 3, PUT a=5 was 4")
}
