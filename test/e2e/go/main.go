// Command go-client proves that etcd's own Go client works on a server: client/v3 with its packages
// concurrency, namespace, leasing, ordering, mirror and kubernetes. It takes the server's URL and prints a line
// per check, "ok <name>" or "FAIL <name>: <why>"; with -list it prints only the names, with -auth it checks what users
// may do, for which nobody else may use the server; with -election it is a candidate, and with -service it registers
// and follows a service, as its standard input says. It needs a server of one
// member that others may use at the same time: no check relies on revisions that it did not make itself.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// A check that takes longer waits for something that does not come.
const checkLimit = 20 * time.Second

type check struct {
	name string
	run  func(t *test)
}

func allChecks() []check {
	return slices.Concat(
		putChecks(), rangeChecks(), txnChecks(), watchChecks(), replayChecks(), leaseChecks(),
		sessionChecks(), electionChecks(), stmChecks(), wrapperChecks(), clusterChecks(), compactionChecks(),
	)
}

func main() {
	list := flag.Bool("list", false, "print the names of the checks and do nothing else")
	only := flag.String("only", "", "run only the checks whose name contains this")
	auth := flag.Bool("auth", false, "run the checks of users, which need a server of their own")
	election := flag.String("election", "", "take part in the election of this name")
	service := flag.String("service", "", "register and follow the service of this name")
	layout := flag.String("layout", "go", "how that is kept: go or go-kit")
	flag.Parse()
	checks := allChecks()
	if *auth {
		checks = authChecks()
	}
	if *list {
		for _, c := range checks {
			fmt.Println(c.name)
		}
		return
	}
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: go-client [-list] [-auth] [-only <text>] [-election <name>] [-service <name> [-layout go-kit]] <endpoint>")
		os.Exit(2)
	}
	run := func() error { return runAll(flag.Arg(0), *only, checks) }
	if *election != "" {
		run = func() error { return candidate(flag.Arg(0), *election) }
	}
	if *service != "" {
		run = func() error { return discovery(flag.Arg(0), *layout, *service) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runAll(endpoint, only string, checks []check) error {
	client, err := connect(endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	version, err := serverVersion(client, endpoint)
	if err != nil {
		return err
	}
	failures := 0
	for _, c := range checks {
		if !strings.Contains(c.name, only) {
			continue
		}
		t := newTest(client, endpoint, version)
		if err := t.attempt(c.run); err != nil {
			failures++
			fmt.Printf("FAIL %s: %s\n", c.name, strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("ok", c.name)
		}
	}
	if failures > 0 {
		return fmt.Errorf("%d checks failed", failures)
	}
	return nil
}

func connect(endpoint string) (*clientv3.Client, error) {
	return clientv3.New(configOf(endpoint, "", ""))
}

func configOf(endpoint, user, password string) clientv3.Config {
	return clientv3.Config{
		Endpoints:   []string{endpoint},
		Username:    user,
		Password:    password,
		DialTimeout: 5 * time.Second,
		// Refusals are what many checks ask for: the client would log each.
		Logger: zap.NewNop(),
	}
}

// serverVersion gives 3.4 as 304, so that versions can be compared.
func serverVersion(client *clientv3.Client, endpoint string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	status, err := client.Status(ctx, endpoint)
	if err != nil {
		return 0, fmt.Errorf("no etcd at %s: %w", endpoint, err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(status.Version, "%d.%d.", &major, &minor); err != nil {
		return 0, fmt.Errorf("the server says that its version is %q: %w", status.Version, err)
	}
	return major*100 + minor, nil
}
