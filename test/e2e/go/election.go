package main

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func electionChecks() []check {
	return []check{
		{"an election has one leader after the other", electionLeaders},
		{"an election is observed", electionObserved},
		{"an election is resumed", electionResumed},
	}
}

func (t *test) leader(election *concurrency.Election) string {
	response, err := election.Leader(t.ctx)
	if errors.Is(err, concurrency.ErrElectionNoLeader) {
		return "nobody"
	}
	return string(must(response, err).Kvs[0].Value)
}

func electionLeaders(t *test) {
	first := concurrency.NewElection(t.session(), t.key("e"))
	second := concurrency.NewElection(must(concurrency.NewSession(t.client())), t.key("e"))
	equal("leader", t.leader(first), "nobody")
	done(first.Campaign(t.ctx, "one"))
	equal("leader", t.leader(second), "one")
	elected := make(chan error, 1)
	go func() { elected <- second.Campaign(t.ctx, "two") }()
	t.waiters("e", 2)
	done(first.Proclaim(t.ctx, "one again"))
	equal("leader", t.leader(second), "one again")
	done(first.Resign(t.ctx))
	done(receive(t, "the second elected", elected))
	equal("leader", t.leader(first), "two")
	equal("proclaimed by one who resigned", first.Proclaim(t.ctx, "no"), concurrency.ErrElectionNotLeader)

	third := concurrency.NewElection(t.session(), t.key("e"))
	ctx, cancel := context.WithCancel(t.ctx)
	go func() { elected <- third.Campaign(ctx, "three") }()
	t.waiters("e", 2)
	cancel()
	equal("campaign given up", errors.Is(receive(t, "the end", elected), context.Canceled), true)
	t.waiters("e", 1)
	done(second.Resign(t.ctx))
	equal("leader", t.leader(third), "nobody")
}

func electionObserved(t *test) {
	observer := concurrency.NewElection(t.session(), t.key("e"))
	seen := observer.Observe(t.ctx)
	observed := func() string {
		return string(receive(t, "a leader", (<-chan *clientv3.GetResponse)(seen)).Kvs[0].Value)
	}
	first := concurrency.NewElection(t.session(), t.key("e"))
	second := concurrency.NewElection(t.session(), t.key("e"))
	done(first.Campaign(t.ctx, "one"))
	equal("observed", observed(), "one")
	done(first.Proclaim(t.ctx, "one again"))
	equal("observed", observed(), "one again")
	elected := make(chan error, 1)
	go func() { elected <- second.Campaign(t.ctx, "two") }()
	t.waiters("e", 2)
	done(first.Resign(t.ctx))
	done(receive(t, "the second elected", elected))
	equal("observed", observed(), "two")
	done(second.Resign(t.ctx))
	done(first.Campaign(t.ctx, "one once more"))
	equal("observed", observed(), "one once more")
}

func electionResumed(t *test) {
	session := t.session()
	first := concurrency.NewElection(session, t.key("e"))
	done(first.Campaign(t.ctx, "one"))
	resumed := concurrency.ResumeElection(session, t.key("e"), first.Key(), first.Rev())
	done(resumed.Proclaim(t.ctx, "resumed"))
	equal("leader", t.leader(first), "resumed")
	done(resumed.Resign(t.ctx))
	equal("leader", t.leader(first), "nobody")
}
