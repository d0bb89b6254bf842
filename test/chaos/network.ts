import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { FaultProxy } from '../../src/embed/index.js';
import { freePorts } from '../../src/embed/process/ports.js';

const run = promisify(execFile);

/** Who can be cut off from whom: a member by its place in the cluster, or all clients. */
type Node = number | 'clients';

/** Packets from one to another. */
export interface Way {
  readonly from: Node;
  readonly to: Node;
}

/** Where a member listens and how others reach it. */
interface Place {
  /** The `etcd` to run. */
  readonly binary: string;
  /** For the harness: no fault ever gets between. */
  readonly control: string;
  readonly client: string;
  readonly peer: string;
  /** The URL that it tells other members. */
  readonly advertisedPeer: string;
  /** In front of its clients. */
  readonly proxy: FaultProxy;
}

/** The network between the members and to their clients. */
export interface Network {
  readonly kind: 'netns' | 'proxy';
  readonly places: readonly Place[];
  /** Tells under which ID each member speaks to the others. */
  identify(ids: readonly bigint[]): void;
  /** Has packets on these ways get lost, besides those that do already. */
  drop(ways: readonly Way[]): Promise<void>;
  /** Has a share of the packets to a member get lost; where there are no packets, all it gets is late as if some had been. */
  lose(member: number, share: number): Promise<void>;
  /** Has what clients send and get, and where it can be done what members do, take so long, in milliseconds. */
  delay(latency: number, members: readonly number[]): void;
  /** Nothing is in the way any more. */
  heal(): Promise<void>;
  close(): Promise<void>;
}

const url = (host: string, port: number | undefined): string => `http://${host}:${port}`;

/**
 * Tells the members that dial one member apart, as a network would by their addresses: by what each connection
 * says first. What members send one another passes a proxy for each pair.
 */
class PeerGate {
  readonly #server: Server;
  readonly #target: string;
  readonly #proxies = new Map<string, Promise<FaultProxy>>();
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, target: string) {
    this.#server = server;
    this.#target = target;
    server.on('connection', (socket) => void this.#accept(socket));
    server.unref();
  }

  static async start(target: string): Promise<PeerGate> {
    const server = createServer({ noDelay: true });
    server.listen({ host: '127.0.0.1', port: 0 });
    await once(server, 'listening');
    return new PeerGate(server, target);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** What passes from a member, by its ID in hexadecimal. */
  proxyOf(id: string): Promise<FaultProxy> {
    const proxy = this.#proxies.get(id) ?? FaultProxy.start(this.#target);
    this.#proxies.set(id, proxy);
    return proxy;
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    for (const proxy of this.#proxies.values()) await (await proxy).close();
  }

  async #accept(socket: Socket): Promise<void> {
    this.#keep(socket);
    try {
      const [first] = (await once(socket, 'data')) as [Buffer];
      socket.pause();
      const [, id = 'nobody'] = /x-server-from: ([0-9a-f]+)/i.exec(first.toString('latin1')) ?? [];
      const [host, port] = (await this.proxyOf(id)).endpoint.split(':');
      const onward = connect({ host: host as string, port: Number(port), noDelay: true });
      this.#keep(onward);
      onward.on('close', () => socket.destroy());
      socket.on('close', () => onward.destroy());
      onward.write(first);
      socket.pipe(onward);
      onward.pipe(socket);
    } catch {
      socket.destroy();
    }
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
  }
}

/** Milliseconds after which TCP sends again, twice. */
const RETRANSMISSION = 600;

/** Proxies between all: needs nothing of the machine. */
export async function proxyNetwork(binary: string, members: number): Promise<Network> {
  const ports = await freePorts(3 * members);
  const gates: PeerGate[] = [];
  const places: Place[] = [];
  for (let i = 0; i < members; i += 1) {
    const [control, client, peer] = ports.slice(3 * i).map((port) => url('127.0.0.1', port)) as [
      string,
      string,
      string,
    ];
    const gate = await PeerGate.start(peer);
    gates.push(gate);
    const advertisedPeer = url('127.0.0.1', gate.port);
    const proxy = await FaultProxy.start(client);
    places.push({ binary, control, client, peer, advertisedPeer, proxy });
  }
  let ids: string[] = [];
  const pair = (from: number, to: number): Promise<FaultProxy> =>
    (gates[to] as PeerGate).proxyOf(ids[from] ?? 'nobody');
  const dropped = new Set<string>();
  const isDropped = (from: Node, to: Node): boolean => dropped.has(`${from}>${to}`);
  const all = Array.from({ length: members }, (_, i) => i);
  /** Has a proxy from one that dials to one that listens do as told. */
  const apply = (proxy: FaultProxy, dials: Node, listens: number): void => {
    const there = isDropped(dials, listens);
    const back = isDropped(listens, dials);
    if (there && back) proxy.blackhole();
    else if (there) proxy.blackhole('to-server');
    else if (back) proxy.blackhole('to-client');
  };
  const delay: Network['delay'] = (latency, slow) => {
    for (const to of slow) {
      places[to]?.proxy.delay(latency / 2);
      for (const from of all) {
        if (from !== to) void pair(from, to).then((proxy) => proxy.delay(latency / 2));
      }
    }
  };
  return {
    kind: 'proxy',
    places,
    identify(found) {
      ids = found.map((id) => id.toString(16));
    },
    async drop(ways) {
      for (const { from, to } of ways) dropped.add(`${from}>${to}`);
      for (const to of all) {
        apply((places[to] as Place).proxy, 'clients', to);
        for (const from of all) if (from !== to) apply(await pair(from, to), from, to);
      }
    },
    lose: async (member, share) => delay(RETRANSMISSION * share, [member]),
    delay,
    async heal() {
      dropped.clear();
      for (const to of all) {
        places[to]?.proxy.heal();
        for (const from of all) if (from !== to) (await pair(from, to)).heal();
      }
    },
    async close() {
      for (const { proxy } of places) await proxy.close();
      for (const gate of gates) await gate.close();
    },
  };
}

const CONTROL_PORT = 2399;
const CLIENT_PORT = 2379;
const PEER_PORT = 2380;
const HUB = '10.99.34.1';
const address = (member: number): string => `10.99.34.${11 + member}`;
const namespace = (member: number): string => `m${member + 1}`;

/**
 * What sets a namespace up in which `namespaceNetwork` works, and runs the rest of its arguments there: the
 * namespaces within and their names are seen by nobody else, and go with the last process that is inside.
 */
export const ENTER: readonly string[] = [
  'unshare',
  '--net',
  '--mount',
  '--propagation',
  'private',
  'sh',
  '-c',
  'mkdir -p /run/netns && mount -t tmpfs none /run/netns && ip link set lo up && exec "$@"',
  'inside',
];

/** Whether this machine lets us have namespaces with packet filters. */
export function hasNamespaces(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const [command = '', ...args] = ENTER;
  const trial = 'ip netns add trial && ip netns exec trial iptables -w -A INPUT -j DROP';
  try {
    execFileSync(command, [...args, 'sh', '-c', trial], { stdio: 'ignore', timeout: 10_000 });
    return true;
  } catch {
    return false;
  }
}

/** A host for each member on a network of its own, with packet filters; clients still pass a proxy, which can be slow. */
export async function namespaceNetwork(
  binary: string,
  members: number,
  directory: string,
): Promise<Network> {
  await run('sh', [
    '-c',
    `ip link add hub type bridge && ip addr add ${HUB}/24 dev hub && ip link set hub up`,
  ]);
  const all = Array.from({ length: members }, (_, i) => i);
  const places: Place[] = [];
  for (const i of all) {
    const name = namespace(i);
    const inside = `ip netns exec ${name} ip`;
    const steps = [
      `ip netns add ${name}`,
      `ip link add ${name} type veth peer name eth0 netns ${name}`,
      `ip link set ${name} master hub up`,
      `${inside} addr add ${address(i)}/24 dev eth0`,
      `${inside} link set eth0 up`,
      `${inside} link set lo up`,
    ];
    await run('sh', ['-ec', steps.join('\n')]);
    const wrapper = join(directory, `etcd-${name}`);
    await writeFile(wrapper, `#!/bin/sh\nexec ip netns exec ${name} ${binary} "$@"\n`);
    await chmod(wrapper, 0o755);
    const peer = url(address(i), PEER_PORT);
    const client = url(address(i), CLIENT_PORT);
    places.push({
      binary: wrapper,
      control: url(address(i), CONTROL_PORT),
      client,
      peer,
      advertisedPeer: peer,
      proxy: await FaultProxy.start(client),
    });
  }
  const filter = (member: number, rule: string): Promise<unknown> =>
    run('ip', ['netns', 'exec', namespace(member), 'iptables', '-w', ...rule.split(' ')]);
  return {
    kind: 'netns',
    places,
    identify() {},
    async drop(ways) {
      for (const { from, to } of ways) {
        if (to === 'clients') {
          const rule = `-A OUTPUT -d ${HUB} -p tcp --sport ${CLIENT_PORT} -j DROP`;
          await filter(from as number, rule);
        } else if (from === 'clients') {
          await filter(to, `-A INPUT -s ${HUB} -p tcp --dport ${CLIENT_PORT} -j DROP`);
        } else await filter(to, `-A INPUT -s ${address(from)} -j DROP`);
      }
    },
    async lose(member, share) {
      // To a port that the harness does not use: peers' and clients' alike.
      const rule = `-p tcp --match multiport --ports ${CLIENT_PORT},${PEER_PORT}`;
      const chance = `--match statistic --mode random --probability ${share.toFixed(2)}`;
      await filter(member, `-A INPUT ${rule} ${chance} -j DROP`);
    },
    delay(latency, slow) {
      for (const member of slow) places[member]?.proxy.delay(latency / 2);
    },
    async heal() {
      for (const member of all) {
        places[member]?.proxy.heal();
        await filter(member, '-F');
      }
    },
    async close() {
      for (const { proxy } of places) await proxy.close();
    },
  };
}
