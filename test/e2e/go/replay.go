package main

import (
	"fmt"
	"strings"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func replayChecks() []check {
	return []check{
		{"watch from a past revision on", watchPast},
		{"watch from a future revision on", watchFuture},
		{"watch replays a long history in order", watchHistory},
		{"watch passes from the past to the present without a gap", watchOverlap},
		{"watch cuts what is large into fragments", watchFragments},
	}
}

func watchPast(t *test) {
	r := t.put("a", "1", "b", "2", "a", "3")
	must(t.Delete(t.ctx, t.key("b")))
	all := t.watching(t.prefix, clientv3.WithPrefix(), clientv3.WithRev(r[0]), clientv3.WithPrevKV())
	equal("all", t.events(all, 4), "PUT a=1, PUT b=2, PUT a=3 was 1, DELETE b was 2")
	late := t.watching(t.prefix, clientv3.WithPrefix(), clientv3.WithRev(r[2]))
	equal("the end", t.events(late, 2), "PUT a=3, DELETE b")
	one := t.watching(t.key("a"), clientv3.WithRev(r[1]), clientv3.WithFilterDelete())
	equal("one key", t.events(one, 1), "PUT a=3")
	t.put("a", "4")
	for _, channel := range []clientv3.WatchChan{late, one} {
		equal("live", t.events(channel, 1), "PUT a=4")
	}
	equal("live, with the previous pair", t.events(all, 1), "PUT a=4 was 3")
}

func watchFuture(t *test) {
	current := t.put("a", "0")[0]
	wanted := current + 3
	channel := t.watching(t.key("a"), clientv3.WithRev(wanted))
	want := ""
	for i := 1; want == ""; i++ {
		// Others may advance the revision too.
		if t.put("a", fmt.Sprint(i))[0] >= wanted {
			want = fmt.Sprint("PUT a=", i)
		}
	}
	equal("the first event", t.events(channel, 1), want)
}

// manyPuts puts that many values, each at a revision of its own, and gives the first of the revisions.
func (t *test) manyPuts(count int) int64 {
	first := t.put("start", "")[0]
	var group sync.WaitGroup
	errors := make(chan error, count)
	for worker := range 16 {
		group.Go(func() {
			for i := worker; i < count; i += 16 {
				_, err := t.Put(t.ctx, t.key(fmt.Sprintf("%04d", i)), fmt.Sprint(i))
				errors <- err
			}
		})
	}
	group.Wait()
	close(errors)
	for err := range errors {
		done(err)
	}
	return first
}

func watchHistory(t *test) {
	const count = 1500
	first := t.manyPuts(count)
	channel := t.watching(t.prefix, clientv3.WithPrefix(), clientv3.WithRev(first+1))
	seen := map[string]bool{}
	revision := first
	for len(seen) < count {
		response := receive(t, "history", channel)
		done(response.Err())
		for _, event := range response.Events {
			holds("events come in the order of their revisions", event.Kv.ModRevision > revision)
			revision = event.Kv.ModRevision
			holds("the response is not older than its events", response.Header.Revision >= revision)
			holds("no event comes twice", !seen[string(event.Kv.Key)])
			seen[string(event.Kv.Key)] = true
		}
	}
}

func watchOverlap(t *test) {
	const count = 400
	first := t.put("n", "first")[0]
	started := make(chan clientv3.WatchChan, 1)
	for i := range count {
		t.put("n", fmt.Sprint(i))
		if i == count/2 {
			go func() {
				started <- t.Watch(t.ctx, t.key("n"), clientv3.WithRev(first+1))
			}()
		}
	}
	events := t.events(receive(t, "a watch", started), count)
	for i, event := range strings.Split(events, ", ") {
		equal("event", event, fmt.Sprint("PUT n=", i))
	}
}

func watchFragments(t *test) {
	value := strings.Repeat("v", 1<<20)
	first := t.put("a", value, "b", value, "c", value)[0]
	request := &pb.WatchCreateRequest{
		Key:           []byte(t.prefix),
		RangeEnd:      []byte(clientv3.GetPrefixRangeEnd(t.prefix)),
		StartRevision: first,
		Fragment:      true,
	}
	// The client puts fragments together again: only without it can they be seen.
	stream := must(pb.NewWatchClient(t.ActiveConnection()).Watch(t.ctx))
	done(stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: request}}))
	holds("created", must(stream.Recv()).Created)
	fragments := []bool{}
	for events := 0; events < 3; {
		response := must(stream.Recv())
		events += len(response.Events)
		fragments = append(fragments, response.Fragment)
	}
	holds("there are several parts", len(fragments) > 1)
	for i, fragment := range fragments {
		equal("is a fragment that others follow", fragment, i < len(fragments)-1)
	}

	channel := t.Watch(t.ctx, t.prefix, clientv3.WithPrefix(), clientv3.WithRev(first), clientv3.WithFragment())
	response := receive(t, "the parts put together", channel)
	equal("events", len(response.Events), 3)
	for i, event := range response.Events {
		equal("key", string(event.Kv.Key), t.key([]string{"a", "b", "c"}[i]))
		holds("the value is whole", string(event.Kv.Value) == value)
	}
}
