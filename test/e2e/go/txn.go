package main

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/clientv3util"
)

func txnChecks() []check {
	return []check{
		{"transactions compare every target", txnCompares},
		{"transactions compare ranges", txnCompareRanges},
		{"transactions take one branch, at one revision", txnBranches},
		{"transactions in transactions", txnNested},
		{"transactions that are refused change nothing", txnRefusals},
		{"transactions of 128 operations", txnSize},
		{"whether a key exists", txnExistence},
	}
}

func (t *test) succeeds(compares ...clientv3.Cmp) bool {
	return must(t.Txn(t.ctx).If(compares...).Commit()).Succeeded
}

func txnCompares(t *test) {
	lease := t.grant(60)
	r := t.put("a", "1", "b", "x")
	mod := must(t.Put(t.ctx, t.key("a"), "m", clientv3.WithLease(lease))).Header.Revision
	a, missing := t.key("a"), t.key("missing")
	operators := []string{"=", "!=", "<", ">"}
	for _, c := range []struct {
		what    string
		compare clientv3.Cmp
		operand any
		want    [4]bool
	}{
		{"version", clientv3.Version(a), 2, [4]bool{true, false, false, false}},
		{"version", clientv3.Version(a), 3, [4]bool{false, true, true, false}},
		{"created", clientv3.CreateRevision(a), r[0], [4]bool{true, false, false, false}},
		{"created", clientv3.CreateRevision(a), r[0] - 1, [4]bool{false, true, false, true}},
		{"modified", clientv3.ModRevision(a), mod, [4]bool{true, false, false, false}},
		{"modified", clientv3.ModRevision(a), mod + 1, [4]bool{false, true, true, false}},
		{"value", clientv3.Value(a), "m", [4]bool{true, false, false, false}},
		{"value", clientv3.Value(a), "lower", [4]bool{false, true, false, true}},
		{"value", clientv3.Value(a), "mm", [4]bool{false, true, true, false}},
		{"lease", clientv3.LeaseValue(a), lease, [4]bool{true, false, false, false}},
		{"no lease", clientv3.LeaseValue(t.key("b")), clientv3.NoLease, [4]bool{true, false, false, false}},
		{"no version", clientv3.Version(missing), 0, [4]bool{true, false, false, false}},
		{"not created", clientv3.CreateRevision(missing), 0, [4]bool{true, false, false, false}},
		{"not modified", clientv3.ModRevision(missing), 1, [4]bool{false, true, true, false}},
		{"leased by nobody", clientv3.LeaseValue(missing), 0, [4]bool{true, false, false, false}},
		// The value of a missing key is not even unequal.
		{"no value", clientv3.Value(missing), "", [4]bool{false, false, false, false}},
	} {
		for i, operator := range operators {
			what := fmt.Sprintf("%s %s %v", c.what, operator, c.operand)
			equal(what, t.succeeds(clientv3.Compare(c.compare, operator, c.operand)), c.want[i])
		}
	}
	yes := clientv3.Compare(clientv3.Version(a), "=", 2)
	no := clientv3.Compare(clientv3.Version(a), "=", 1)
	equal("all of them", t.succeeds(yes, yes), true)
	equal("one of them", t.succeeds(yes, no), false)
	equal("none to hold", t.succeeds(), true)
}

func txnCompareRanges(t *test) {
	t.put("a/1", "x", "a/2", "x", "b", "y")
	value := func(from string) clientv3.Cmp {
		return clientv3.Compare(clientv3.Value(t.key(from)), "=", "x")
	}
	equal("prefix", t.succeeds(value("a/").WithPrefix()), true)
	equal("range", t.succeeds(value("a/").WithRange(t.key("b"))), true)
	equal("range with another", t.succeeds(value("a/").WithRange(t.key("c"))), false)
	none := t.key("none/")
	equal("empty range", t.succeeds(clientv3.Compare(clientv3.CreateRevision(none), "=", 0).WithPrefix()), true)
	equal("value of an empty range", t.succeeds(value("none/").WithPrefix()), false)
}

func txnBranches(t *test) {
	t.put("a", "1", "old", "x")
	run := func(holding int) *clientv3.TxnResponse {
		return must(t.Txn(t.ctx).
			If(clientv3.Compare(clientv3.Version(t.key("a")), "=", holding)).
			Then(
				clientv3.OpPut(t.key("a"), "2", clientv3.WithPrevKV()),
				clientv3.OpPut(t.key("b"), "3"),
				clientv3.OpGet(t.prefix, clientv3.WithPrefix()),
				clientv3.OpDelete(t.key("o"), clientv3.WithPrefix(), clientv3.WithPrevKV()),
				clientv3.OpGet(t.prefix, clientv3.WithPrefix(), clientv3.WithCountOnly()),
			).
			Else(clientv3.OpGet(t.key("a"))).
			Commit())
	}
	failed := run(7)
	equal("succeeded", failed.Succeeded, false)
	equal("responses", len(failed.Responses), 1)
	equal("value", string(failed.Responses[0].GetResponseRange().Kvs[0].Value), "1")
	equal("nothing was put", t.get("b"), "")

	response := run(1)
	revision := response.Header.Revision
	equal("succeeded", response.Succeeded, true)
	equal("responses", len(response.Responses), 5)
	equal("previous", string(response.Responses[0].GetResponsePut().PrevKv.Value), "1")
	equal("revision of a put", response.Responses[1].GetResponsePut().Header.Revision, revision)
	seen := response.Responses[2].GetResponseRange()
	equal("seen within", t.names(seen.Kvs), "a b old")
	equal("value seen within", string(seen.Kvs[0].Value), "2")
	equal("deleted", response.Responses[3].GetResponseDeleteRange().Deleted, 1)
	equal("what was deleted", t.names(response.Responses[3].GetResponseDeleteRange().PrevKvs), "old")
	equal("count after the delete", response.Responses[4].GetResponseRange().Count, 2)
	for _, kv := range must(t.Get(t.ctx, t.prefix, clientv3.WithPrefix())).Kvs {
		equal("revision of "+string(kv.Key), kv.ModRevision, revision)
	}
}

func txnNested(t *test) {
	t.put("a", "1")
	inner := clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.Value(t.key("a")), "=", "1")},
		[]clientv3.Op{
			clientv3.OpPut(t.key("inner"), "yes"),
			clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut(t.key("innermost"), "yes")}, nil),
		},
		[]clientv3.Op{clientv3.OpPut(t.key("inner"), "no")},
	)
	// All compares see the state from before the transaction.
	response := must(t.Txn(t.ctx).Then(clientv3.OpPut(t.key("a"), "2"), inner).Commit())
	equal("responses", len(response.Responses), 2)
	nested := response.Responses[1].GetResponseTxn()
	equal("nested succeeded", nested.Succeeded, true)
	equal("nested responses", len(nested.Responses), 2)
	equal("innermost", nested.Responses[1].GetResponseTxn().Succeeded, true)
	equal("values", t.get("a")+t.get("inner")+t.get("innermost"), "2yesyes")
	for _, kv := range must(t.Get(t.ctx, t.prefix, clientv3.WithPrefix())).Kvs {
		equal("revision of "+string(kv.Key), kv.ModRevision, response.Header.Revision)
	}
	again := must(t.Txn(t.ctx).Then(inner).Commit())
	equal("nested succeeded again", again.Responses[0].GetResponseTxn().Succeeded, false)
	equal("value", t.get("inner"), "no")
}

func txnRefusals(t *test) {
	first := clientv3.OpPut(t.key("first"), "x")
	a, missing := t.key("a"), t.key("missing")
	for _, c := range []struct {
		what string
		ops  []clientv3.Op
		want error
	}{
		{"a key put twice", []clientv3.Op{clientv3.OpPut(a, "1"), clientv3.OpPut(a, "2")}, rpctypes.ErrDuplicateKey},
		{"a key put and deleted", []clientv3.Op{
			clientv3.OpPut(a, "1"), clientv3.OpDelete(t.prefix, clientv3.WithPrefix()),
		}, rpctypes.ErrDuplicateKey},
		{"a key put twice, once nested", []clientv3.Op{
			clientv3.OpPut(a, "1"), clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut(a, "2")}, nil),
		}, rpctypes.ErrDuplicateKey},
		{"an empty key", []clientv3.Op{clientv3.OpPut("", "1")}, rpctypes.ErrEmptyKey},
		{"an unknown lease", []clientv3.Op{
			clientv3.OpPut(a, "1", clientv3.WithLease(unknownLease)),
		}, rpctypes.ErrLeaseNotFound},
		{"no value to keep", []clientv3.Op{
			clientv3.OpPut(missing, "", clientv3.WithIgnoreValue()),
		}, rpctypes.ErrKeyNotFound},
		{"a future revision", []clientv3.Op{
			clientv3.OpGet(a, clientv3.WithRev(1<<50)),
		}, rpctypes.ErrFutureRev},
	} {
		_, err := t.Txn(t.ctx).Then(append([]clientv3.Op{first}, c.ops...)...).Commit()
		refused(c.what, err, c.want)
	}
	_, err := t.Txn(t.ctx).If(clientv3.Compare(clientv3.Version(""), "=", 0)).Commit()
	refused("a compare without a key", err, rpctypes.ErrEmptyKey)
	equal("nothing was put", must(t.Get(t.ctx, t.prefix, clientv3.WithPrefix())).Count, 0)

	_, err = pb.NewKVClient(t.ActiveConnection()).Txn(t.ctx, &pb.TxnRequest{Success: []*pb.RequestOp{{}}})
	equal("an operation that is none", rpctypes.ErrorDesc(err), rpctypes.ErrorDesc(rpctypes.ErrGRPCKeyNotFound))
	// The other branch may put the same key.
	must(t.Txn(t.ctx).Then(first).Else(first).Commit())
}

func txnSize(t *test) {
	puts := func(count int) (ops []clientv3.Op) {
		for i := range count {
			ops = append(ops, clientv3.OpPut(t.key(fmt.Sprint(i)), "x"))
		}
		return ops
	}
	response := must(t.Txn(t.ctx).Then(puts(128)...).Commit())
	equal("responses", len(response.Responses), 128)
	_, err := t.Txn(t.ctx).Then(puts(129)...).Commit()
	refused("129 operations", err, rpctypes.ErrTooManyOps)
	_, err = t.Txn(t.ctx).Else(puts(129)...).Commit()
	refused("129 operations that would not run", err, rpctypes.ErrTooManyOps)
}

func txnExistence(t *test) {
	t.put("a", "1")
	equal("exists", t.succeeds(clientv3util.KeyExists(t.key("a"))), true)
	equal("is missing", t.succeeds(clientv3util.KeyMissing(t.key("a"))), false)
	equal("does not exist", t.succeeds(clientv3util.KeyExists(t.key("b"))), false)
	equal("is missing indeed", t.succeeds(clientv3util.KeyMissing(t.key("b"))), true)
}
