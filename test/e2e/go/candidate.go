package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"go.etcd.io/etcd/client/v3/concurrency"
)

// The shortest that etcd grants with its usual settings, for a leader that is killed.
const candidateTTL = 2

// candidate takes part in an election as its standard input says, one command a line, and prints what came of each.
func candidate(endpoint, name string) error {
	client, err := connect(endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	session, err := concurrency.NewSession(client, concurrency.WithTTL(candidateTTL))
	if err != nil {
		return err
	}
	election := concurrency.NewElection(session, name)
	ctx := context.Background()
	fmt.Println("ready")
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		command, value, _ := strings.Cut(input.Text(), " ")
		switch command {
		case "campaign":
			go func() { tell("elected "+value, election.Campaign(ctx, value)) }()
		case "proclaim":
			tell("proclaimed "+value, election.Proclaim(ctx, value))
		case "resign":
			tell("resigned", election.Resign(ctx))
		case "leader":
			response, err := election.Leader(ctx)
			if errors.Is(err, concurrency.ErrElectionNoLeader) {
				fmt.Println("nobody leads")
				continue
			}
			tell("", err)
			fmt.Printf("leader %s %s\n", response.Kvs[0].Key, response.Kvs[0].Value)
		case "observe":
			go func() {
				for response := range election.Observe(ctx) {
					fmt.Printf("sees %s\n", response.Kvs[0].Value)
				}
			}()
		}
	}
	return session.Close()
}

func tell(what string, err error) {
	if err != nil {
		what = "failed: " + err.Error()
	}
	if what != "" {
		fmt.Println(what)
	}
}
