package main

import (
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func rangeChecks() []check {
	return []check{
		{"get of ranges", getRanges},
		{"get with a limit", getLimited},
		{"get of keys only, and of the count only", getParts},
		{"get sorted by every target", getSorted},
		{"get the first and the last", getEnds},
		{"get within bounds of revisions", getBounded},
		{"get of old revisions", getOld},
		{"get serializable", getSerializable},
		{"get as a stream", getStream},
	}
}

func getRanges(t *test) {
	t.put("a", "1", "b", "2", "b/1", "3", "b/2", "4", "c", "5")
	names := func(from string, options ...clientv3.OpOption) string {
		return t.names(must(t.Get(t.ctx, from, options...)).Kvs)
	}
	equal("prefix", names(t.key("b"), clientv3.WithPrefix()), "b b/1 b/2")
	equal("range", names(t.key("a"), clientv3.WithRange(t.key("b/2"))), "a b b/1")
	equal("inverted range", names(t.key("c"), clientv3.WithRange(t.key("a"))), "")
	equal("empty range", names(t.key("a"), clientv3.WithRange(t.key("a"))), "")
	equal("from a key", names(t.key("b/1"), clientv3.WithFromKey(), clientv3.WithLimit(3)), "b/1 b/2 c")
	all := must(t.Get(t.ctx, "", clientv3.WithFromKey(), clientv3.WithCountOnly()))
	holds("from no key on there is everything", all.Count >= 5)
}

func getLimited(t *test) {
	t.put("a", "1", "b", "2", "c", "3")
	for limit, want := range map[int64]string{0: "a b c", 1: "a", 2: "a b", 3: "a b c", 9: "a b c"} {
		got := must(t.Get(t.ctx, t.prefix, clientv3.WithPrefix(), clientv3.WithLimit(limit)))
		equal(fmt.Sprintf("limit %d", limit), t.names(got.Kvs), want)
		equal(fmt.Sprintf("more with limit %d", limit), got.More, limit == 1 || limit == 2)
		equal(fmt.Sprintf("count with limit %d", limit), got.Count, 3)
	}
}

func getParts(t *test) {
	revisions := t.put("a", "1", "b", "2")
	keys := must(t.Get(t.ctx, t.prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly()))
	equal("count of keys", keys.Count, 2)
	equal("pair without a value", show(keys.Kvs[1]),
		keyValue(t.key("b"), "", revisions[1], revisions[1], 1, clientv3.NoLease))
	count := must(t.Get(t.ctx, t.prefix, clientv3.WithPrefix(), clientv3.WithCountOnly()))
	equal("count alone", count.Count, 2)
	equal("pairs with the count", len(count.Kvs), 0)
	equal("more with the count", count.More, false)
}

func getSorted(t *test) {
	// Every target gives another order.
	t.put("d", "1", "b", "2", "a", "4", "c", "3", "b", "2", "b", "2", "a", "4", "d", "1", "d", "1", "d", "1")
	orders := map[clientv3.SortTarget]string{
		clientv3.SortByKey:            "a b c d",
		clientv3.SortByCreateRevision: "d b a c",
		clientv3.SortByModRevision:    "c b a d",
		clientv3.SortByVersion:        "c a b d",
		clientv3.SortByValue:          "d b c a",
	}
	for target, ascending := range orders {
		what := fmt.Sprintf("target %d", target)
		descending := strings.Join(reversed(strings.Fields(ascending)), " ")
		for order, want := range map[clientv3.SortOrder]string{
			clientv3.SortNone:    ascending,
			clientv3.SortAscend:  ascending,
			clientv3.SortDescend: descending,
		} {
			got := must(t.Get(t.ctx, t.prefix, clientv3.WithPrefix(), clientv3.WithSort(target, order)))
			equal(fmt.Sprintf("%s, order %d", what, order), t.names(got.Kvs), want)
		}
		top := must(t.Get(t.ctx, t.prefix, clientv3.WithPrefix(), clientv3.WithLimit(2),
			clientv3.WithSort(target, clientv3.SortDescend)))
		equal(what+", the first two", t.names(top.Kvs), descending[:3])
		equal(what+", more", top.More, true)
		keys := must(t.Get(t.ctx, t.prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(),
			clientv3.WithSort(target, clientv3.SortDescend)))
		equal(what+", keys only", t.names(keys.Kvs), descending)
	}
}

func reversed(words []string) []string {
	var turned []string
	for _, word := range words {
		turned = append([]string{word}, turned...)
	}
	return turned
}

func getEnds(t *test) {
	t.put("b", "1", "a", "2", "c", "3", "b", "4")
	for want, options := range map[string][2][]clientv3.OpOption{
		"a c": {clientv3.WithFirstKey(), clientv3.WithLastKey()},
		"b c": {clientv3.WithFirstCreate(), clientv3.WithLastCreate()},
		"a b": {clientv3.WithFirstRev(), clientv3.WithLastRev()},
	} {
		first := must(t.Get(t.ctx, t.prefix, options[0]...))
		last := must(t.Get(t.ctx, t.prefix, options[1]...))
		equal("first and last", t.names(first.Kvs)+" "+t.names(last.Kvs), want)
	}
}

func getBounded(t *test) {
	r := t.put("a", "1", "b", "2", "c", "3", "a", "4")
	for _, c := range []struct {
		want    string
		options []clientv3.OpOption
	}{
		{"a c", []clientv3.OpOption{clientv3.WithMinModRev(r[2])}},
		{"b c", []clientv3.OpOption{clientv3.WithMaxModRev(r[2])}},
		{"c", []clientv3.OpOption{clientv3.WithMinModRev(r[2]), clientv3.WithMaxModRev(r[2])}},
		{"c", []clientv3.OpOption{clientv3.WithMinCreateRev(r[2])}},
		{"a b", []clientv3.OpOption{clientv3.WithMaxCreateRev(r[1])}},
		{"b", []clientv3.OpOption{clientv3.WithMinCreateRev(r[1]), clientv3.WithMaxCreateRev(r[1])}},
		{"a", []clientv3.OpOption{clientv3.WithMaxCreateRev(r[1]), clientv3.WithMinModRev(r[3])}},
	} {
		got := must(t.Get(t.ctx, t.prefix, append(c.options, clientv3.WithPrefix())...))
		equal("bounded", t.names(got.Kvs), c.want)
		equal("count, which no bound touches", got.Count, 3)
	}
}

func getOld(t *test) {
	r := t.put("a", "1", "b", "2", "a", "3")
	deleted := must(t.Delete(t.ctx, t.key("b"))).Header.Revision
	at := func(revision int64) string {
		got := must(t.Get(t.ctx, t.prefix, clientv3.WithPrefix(), clientv3.WithRev(revision)))
		holds("the header has the newest revision", got.Header.Revision >= deleted)
		var pairs []string
		for _, kv := range got.Kvs {
			pairs = append(pairs, strings.TrimPrefix(string(kv.Key), t.prefix)+string(kv.Value))
		}
		return strings.Join(pairs, " ")
	}
	equal("before the first", at(r[0]-1), "")
	equal("at the first", at(r[0]), "a1")
	equal("at the second", at(r[1]), "a1 b2")
	equal("at the third", at(r[2]), "a3 b2")
	equal("at the delete", at(deleted), "a3")
	_, err := t.Get(t.ctx, t.key("a"), clientv3.WithRev(deleted+1_000_000))
	refused("the future", err, rpctypes.ErrFutureRev)
}

func getSerializable(t *test) {
	revision := t.put("a", "1")[0]
	got := must(t.Get(t.ctx, t.key("a"), clientv3.WithSerializable()))
	equal("revision", got.Kvs[0].ModRevision, revision)
}

func getStream(t *test) {
	r := t.put("a", "1", "b", "2", "c", "3", "b", "4")
	read := func(options ...clientv3.OpOption) (*clientv3.GetResponse, error) {
		stream, err := t.GetStream(t.ctx, t.prefix, append(options, clientv3.WithPrefix())...)
		if err != nil {
			return nil, err
		}
		return clientv3.GetStreamToGetResponse(stream)
	}
	got, err := read()
	if t.version < 307 {
		equal("code", status.Code(err), codes.Unimplemented)
		return
	}
	done(err)
	equal("all", t.names(got.Kvs), "a b c")
	equal("count", got.Count, 3)
	holds("the header has a revision", got.Header.Revision >= r[3])
	got = must(read(clientv3.WithLimit(2), clientv3.WithRev(r[2])))
	equal("limited", t.names(got.Kvs), "a b")
	equal("value", string(got.Kvs[1].Value), "2")
	equal("more", got.More, true)
	_, err = read(clientv3.WithRev(r[3] + 1_000_000))
	refused("the future", err, rpctypes.ErrFutureRev)
}
