package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func watchChecks() []check {
	return []check{
		{"watch a key live", watchLive},
		{"watch a prefix, a range and everything from a key on", watchRanges},
		{"watch gives a transaction at once", watchTxn},
		{"watch with filters", watchFilters},
		{"watch with previous pairs", watchPrevious},
		{"watch on request tells how far it is", watchProgress},
		{"watches share a stream", watchMany},
		{"watch ends where it is cancelled", watchCancel},
		{"watch of an empty range is refused", watchEmptyRange},
	}
}

// watching gives a watch that the server has created.
func (t *test) watching(key string, options ...clientv3.OpOption) clientv3.WatchChan {
	channel := t.Watch(t.ctx, key, append(options, clientv3.WithCreatedNotify())...)
	created := receive(t, "the creation of a watch", channel)
	done(created.Err())
	holds("the first response tells that the watch was created", created.Created)
	holds("it has a revision", created.Header.Revision > 0)
	equal("events with the creation", len(created.Events), 0)
	return channel
}

// events receives that many events, and describes them without the prefix of this check.
func (t *test) events(channel clientv3.WatchChan, count int) string {
	var events []string
	for len(events) < count {
		response := receive(t, fmt.Sprintf("%d events, after %q", count, events), channel)
		done(response.Err())
		for _, event := range response.Events {
			events = append(events, t.describe(event))
		}
	}
	return strings.Join(events, ", ")
}

func (t *test) describe(event *clientv3.Event) string {
	text := fmt.Sprint(event.Type, " ", strings.TrimPrefix(string(event.Kv.Key), t.prefix))
	if len(event.Kv.Value) > 0 {
		text += "=" + string(event.Kv.Value)
	}
	if event.PrevKv != nil {
		text += " was " + string(event.PrevKv.Value)
	}
	return text
}

func watchLive(t *test) {
	channel := t.watching(t.key("a"))
	r := t.put("a", "1", "b", "not watched", "a", "2")
	deleted := must(t.Delete(t.ctx, t.key("a"))).Header.Revision
	again := t.put("a", "3")[0]
	for _, want := range []struct {
		event   string
		at      int64
		created int64
		version int64
	}{
		{"PUT a=1", r[0], r[0], 1},
		{"PUT a=2", r[2], r[0], 2},
		{"DELETE a", deleted, 0, 0},
		{"PUT a=3", again, again, 1},
	} {
		response := receive(t, want.event, channel)
		equal("events in a response", len(response.Events), 1)
		event := response.Events[0]
		equal("event", t.describe(event), want.event)
		equal("revision of the response", response.Header.Revision, want.at)
		equal("mod revision", event.Kv.ModRevision, want.at)
		equal("create revision", event.Kv.CreateRevision, want.created)
		equal("version", event.Kv.Version, want.version)
		equal("is a creation", event.IsCreate(), want.at == want.created)
	}
}

func watchRanges(t *test) {
	prefix := t.watching(t.key("b"), clientv3.WithPrefix())
	within := t.watching(t.key("a"), clientv3.WithRange(t.key("b/2")))
	all := t.watching(t.key("b/1"), clientv3.WithFromKey())
	t.put("a", "1", "b", "2", "b/1", "3", "b/2", "4")
	must(t.Delete(t.ctx, t.prefix, clientv3.WithPrefix()))
	t.put("a", "end", "b", "end")
	equal("prefix", t.events(prefix, 7),
		"PUT b=2, PUT b/1=3, PUT b/2=4, DELETE b, DELETE b/1, DELETE b/2, PUT b=end")
	equal("range", t.events(within, 8),
		"PUT a=1, PUT b=2, PUT b/1=3, DELETE a, DELETE b, DELETE b/1, PUT a=end, PUT b=end")
	var mine []string
	for len(mine) < 4 {
		for _, event := range receive(t, "events from a key on", all).Events {
			if strings.HasPrefix(string(event.Kv.Key), t.prefix) {
				mine = append(mine, t.describe(event))
			}
		}
	}
	equal("from a key on", strings.Join(mine, ", "), "PUT b/1=3, PUT b/2=4, DELETE b/1, DELETE b/2")
}

func watchTxn(t *test) {
	t.put("old/2", "x", "old/1", "x")
	channel := t.watching(t.prefix, clientv3.WithPrefix())
	response := must(t.Txn(t.ctx).Then(
		clientv3.OpPut(t.key("c"), "1"),
		clientv3.OpPut(t.key("a"), "2"),
		clientv3.OpDelete(t.key("old/"), clientv3.WithPrefix()),
		clientv3.OpPut(t.key("b"), "3"),
	).Commit())
	got := receive(t, "the events of a transaction", channel)
	var events []string
	for _, event := range got.Events {
		equal("mod revision", event.Kv.ModRevision, response.Header.Revision)
		events = append(events, t.describe(event))
	}
	equal("events", strings.Join(events, ", "), "PUT c=1, PUT a=2, DELETE old/1, DELETE old/2, PUT b=3")
}

func watchFilters(t *test) {
	deletes := t.watching(t.prefix, clientv3.WithPrefix(), clientv3.WithFilterPut())
	puts := t.watching(t.prefix, clientv3.WithPrefix(), clientv3.WithFilterDelete())
	t.put("a", "1", "b", "2")
	must(t.Delete(t.ctx, t.prefix, clientv3.WithPrefix()))
	t.put("a", "3")
	must(t.Delete(t.ctx, t.key("a")))
	equal("deletes", t.events(deletes, 3), "DELETE a, DELETE b, DELETE a")
	equal("puts", t.events(puts, 3), "PUT a=1, PUT b=2, PUT a=3")
}

func watchPrevious(t *test) {
	t.put("a", "before")
	channel := t.watching(t.prefix, clientv3.WithPrefix(), clientv3.WithPrevKV())
	t.put("a", "1", "b", "2", "a", "3")
	must(t.Delete(t.ctx, t.prefix, clientv3.WithPrefix()))
	t.put("a", "4")
	equal("events", t.events(channel, 6), "PUT a=1 was before, PUT b=2, PUT a=3 was 1, "+
		"DELETE a was 3, DELETE b was 2, PUT a=4")
}

func watchProgress(t *test) {
	channel := t.watching(t.key("a"))
	revision := t.put("a", "1", "other", "2")[1]
	equal("event", t.events(channel, 1), "PUT a=1")
	// A server may leave a request without an answer while a watch of the stream lags.
	for {
		done(t.RequestProgress(t.ctx))
		select {
		case response := <-channel:
			done(response.Err())
			holds("a response without events tells of progress", response.IsProgressNotify())
			if response.Header.Revision >= revision {
				return
			}
		case <-time.After(100 * time.Millisecond):
		case <-t.ctx.Done():
			fail("no progress was told")
		}
	}
}

func watchMany(t *test) {
	const count = 100
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	var channels []clientv3.WatchChan
	for i := range count {
		channels = append(channels, t.Watch(ctx, t.key(fmt.Sprint(i)), clientv3.WithCreatedNotify()))
	}
	for _, channel := range channels {
		holds("created", receive(t, "the creation of a watch", channel).Created)
	}
	for i := range count {
		t.put(fmt.Sprint(i), fmt.Sprint("value ", i))
	}
	for i, channel := range channels {
		equal("event", t.events(channel, 1), fmt.Sprintf("PUT %d=value %d", i, i))
	}
}

func watchCancel(t *test) {
	ctx, cancel := context.WithCancel(t.ctx)
	ended := t.Watch(ctx, t.key("a"), clientv3.WithCreatedNotify())
	going := t.watching(t.key("a"))
	receive(t, "the creation of a watch", ended)
	cancel()
	closed(t, "the cancelled watch", ended)
	t.put("a", "1")
	equal("the other", t.events(going, 1), "PUT a=1")

	own := t.client()
	channel := own.Watch(t.ctx, t.key("a"), clientv3.WithCreatedNotify())
	receive(t, "the creation of a watch", channel)
	done(own.Close())
	closed(t, "the watch of a closed client", channel)
	t.put("a", "2")
	equal("the other", t.events(going, 1), "PUT a=2")
}

func watchEmptyRange(t *test) {
	const reason = "mvcc: watcher range is empty"
	request := &pb.WatchCreateRequest{Key: []byte(t.key("b")), RangeEnd: []byte(t.key("a"))}
	stream := must(pb.NewWatchClient(t.ActiveConnection()).Watch(t.ctx))
	done(stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: request}}))
	raw := must(stream.Recv())
	equal("created", raw.Created, true)
	equal("cancelled", raw.Canceled, true)
	equal("watch", raw.WatchId, clientv3.InvalidWatchID)
	equal("reason", raw.CancelReason, reason)

	response := receive(t, "a refusal", t.Watch(t.ctx, t.key("b"), clientv3.WithRange(t.key("a"))))
	equal("cancelled", response.Canceled, true)
	equal("error", fmt.Sprint(response.Err()), reason)
	channel := t.watching(t.key("a"))
	t.put("a", "1")
	equal("another watch", t.events(channel, 1), "PUT a=1")
}
