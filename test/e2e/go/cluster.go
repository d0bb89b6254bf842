package main

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func clusterChecks() []check {
	return []check{
		{"the list of members", clusterMembers},
		{"the status of the member", clusterStatus},
		{"no alarm", clusterAlarms},
		{"the health that gRPC asks for", clusterHealth},
		{"calls that end at their deadline", clusterDeadline},
		{"calls of a service that is not there", clusterUnknown},
	}
}

func clusterMembers(t *test) {
	response := must(t.MemberList(t.ctx))
	equal("members", len(response.Members), 1)
	member := response.Members[0]
	equal("member", member.ID, response.Header.MemberId)
	holds("it has a name", member.Name != "")
	holds("it has a URL for clients", len(member.ClientURLs) > 0)
	equal("is a learner", member.IsLearner, false)

	own := t.client()
	done(own.Sync(t.ctx))
	equal("endpoints of a client that synchronised", own.Endpoints(), member.ClientURLs)
	must(own.Put(t.ctx, t.key("a"), "1"))
	equal("value", t.get("a"), "1")
}

func clusterStatus(t *test) {
	response := must(t.Status(t.ctx, t.endpoint))
	member := response.Header.MemberId
	equal("leader", response.Leader, member)
	equal("is a learner", response.IsLearner, false)
	equal("term", response.RaftTerm, response.Header.RaftTerm)
	holds("it has an index", response.RaftIndex > 0)
	holds("it has applied", response.RaftAppliedIndex > 0 && response.RaftAppliedIndex <= response.RaftIndex)
	holds("it has a size", response.DbSize > 0)
	holds("a part of it is in use", response.DbSizeInUse > 0 && response.DbSizeInUse <= response.DbSize)
	equal("errors", len(response.Errors), 0)
	t.put("a", "1")
	after := must(t.Status(t.ctx, t.endpoint))
	holds("a put advances the revision", after.Header.Revision > response.Header.Revision)
	holds("a put advances the index", after.RaftIndex > response.RaftIndex)
}

func clusterAlarms(t *test) {
	equal("alarms", len(must(t.AlarmList(t.ctx)).Alarms), 0)
}

func clusterHealth(t *test) {
	health := grpc_health_v1.NewHealthClient(t.ActiveConnection())
	response := must(health.Check(t.ctx, &grpc_health_v1.HealthCheckRequest{}))
	equal("status", response.Status, grpc_health_v1.HealthCheckResponse_SERVING)
	stream := must(health.Watch(t.ctx, &grpc_health_v1.HealthCheckRequest{}))
	equal("status", must(stream.Recv()).Status, grpc_health_v1.HealthCheckResponse_SERVING)
	_, err := health.Check(t.ctx, &grpc_health_v1.HealthCheckRequest{Service: "nobody"})
	equal("status of an unknown service", status.Code(err), codes.NotFound)
}

func clusterDeadline(t *test) {
	ctx, cancel := context.WithTimeout(t.ctx, 1)
	defer cancel()
	_, err := t.Put(ctx, t.key("a"), "1")
	equal("deadline", errors.Is(err, context.DeadlineExceeded), true)
	ctx, cancel = context.WithCancel(t.ctx)
	cancel()
	_, err = t.Get(ctx, t.key("a"))
	equal("cancelled", errors.Is(err, context.Canceled), true)
	// As `etcdctl endpoint health` asks.
	got := must(t.Get(clientv3.WithRequireLeader(t.ctx), "health"))
	holds("a read of the newest state is answered", got.Header.Revision > 0)
}

func clusterUnknown(t *test) {
	err := t.ActiveConnection().Invoke(t.ctx, "/nobody.Nothing/None",
		&grpc_health_v1.HealthCheckRequest{}, &grpc_health_v1.HealthCheckResponse{})
	equal("code", status.Code(err), codes.Unimplemented)
}
