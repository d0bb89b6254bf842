package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-kit/kit/sd"
	"github.com/go-kit/kit/sd/etcdv3"
	"github.com/go-kit/log"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

// discovery registers and follows a service as its standard input says: "go" as etcd's own packages do, "go-kit" as go-kit does.
// It prints "ready", and then the addresses, sorted, whenever they change.
func discovery(endpoint, layout, name string) error {
	if layout == "go-kit" {
		return kitDiscovery(endpoint, name)
	}
	return etcdDiscovery(endpoint, name)
}

func etcdDiscovery(endpoint, name string) error {
	client, err := connect(endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := context.Background()
	manager, err := endpoints.NewManager(client, name)
	if err != nil {
		return err
	}
	updates, err := manager.NewWatchChannel(ctx)
	if err != nil {
		return err
	}
	go func() {
		known := map[string]string{}
		for batch := range updates {
			for _, update := range batch {
				if update.Op == endpoints.Delete {
					delete(known, update.Key)
					continue
				}
				metadata, _ := json.Marshal(update.Endpoint.Metadata)
				known[update.Key] = update.Endpoint.Addr + " " + string(metadata)
			}
			sayAll(known)
		}
		fmt.Println("the watch has ended")
	}()
	fmt.Println("ready")
	return eachCommand(func(command, id, address string) error {
		key := name + "/" + id
		if command == "deregister" {
			return manager.DeleteEndpoint(ctx, key)
		}
		lease, err := client.Grant(ctx, candidateTTL)
		if err != nil {
			return err
		}
		added := endpoints.Endpoint{Addr: address, Metadata: map[string]any{"by": "Go"}}
		if err := manager.AddEndpoint(ctx, key, added, clientv3.WithLease(lease.ID)); err != nil {
			return err
		}
		answers, err := client.KeepAlive(ctx, lease.ID)
		go func() {
			for range answers {
			}
		}()
		return err
	})
}

// A client for each: go-kit's registrar closes the watch of an instancer with the same client.
func kitDiscovery(endpoint, name string) error {
	ctx, prefix := context.Background(), name+"/"
	client, err := etcdv3.NewClient(ctx, []string{endpoint}, etcdv3.ClientOptions{})
	if err != nil {
		return err
	}
	instancer, err := etcdv3.NewInstancer(client, prefix, log.NewNopLogger())
	if err != nil {
		return err
	}
	events := make(chan sd.Event)
	go instancer.Register(events)
	go func() {
		for event := range events {
			fmt.Println("sees " + strings.Join(event.Instances, ", "))
		}
	}()
	fmt.Println("ready")
	registrars := map[string]*etcdv3.Registrar{}
	return eachCommand(func(command, id, address string) error {
		if command == "deregister" {
			registrars[id].Deregister()
			return nil
		}
		client, err := etcdv3.NewClient(ctx, []string{endpoint}, etcdv3.ClientOptions{})
		if err != nil {
			return err
		}
		service := etcdv3.Service{
			Key: prefix + id, Value: address, TTL: etcdv3.NewTTLOption(time.Second, candidateTTL*time.Second),
		}
		registrars[id] = etcdv3.NewRegistrar(client, service, log.NewNopLogger())
		registrars[id].Register()
		return nil
	})
}

func eachCommand(run func(command, id, address string) error) error {
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		words := append(strings.Fields(input.Text()), "", "")
		if err := run(words[0], words[1], words[2]); err != nil {
			return err
		}
	}
	return nil
}

func sayAll(known map[string]string) {
	all := make([]string, 0, len(known))
	for _, value := range known {
		all = append(all, value)
	}
	slices.Sort(all)
	fmt.Println("sees " + strings.Join(all, ", "))
}
