import { Mutex } from '../../src/index.js';
import { openSessions, uniqueName } from './sessions.js';

const warmUp = 50;
const proposals = 'etcd_server_proposals_committed_total';

/** What to measure. */
export interface RpcsTask {
  readonly endpoint: string;
  readonly pairs: number;
}

/** What etcd counted while so many pairs ran. */
export interface RpcsReport {
  /** Messages that clients sent, but for those that are about the lease. */
  readonly requests: number;
  readonly leaseMessages: number;
  readonly raftEntries: number;
  /** By gRPC method. */
  readonly received: Readonly<Record<string, number>>;
}

type Counters = ReadonlyMap<string, number>;

/** Has etcd count what it receives and writes for a lock that nobody else wants. */
export async function rpcs({ endpoint, pairs }: RpcsTask): Promise<RpcsReport> {
  const sessions = await openSessions(endpoint, 1);
  const [session] = sessions.all;
  if (!session) throw new Error('no session');
  const mutex = new Mutex(session, uniqueName());
  const run = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i += 1) await (await mutex.acquire()).release();
  };
  await run(warmUp);
  const before = await readCounters(endpoint);
  await run(pairs);
  const after = await readCounters(endpoint);
  await sessions.close();
  return difference(before, after);
}

function difference(before: Counters, after: Counters): RpcsReport {
  const received: Record<string, number> = {};
  for (const [method, count] of after) {
    const more = count - (before.get(method) ?? 0);
    if (more > 0) received[method] = more;
  }
  const { [proposals]: raftEntries = 0, ...methods } = received;
  const all = Object.entries(methods);
  const sum = (entries: typeof all): number => entries.reduce((total, [, more]) => total + more, 0);
  const lease = all.filter(([method]) => method.startsWith('Lease'));
  const leaseMessages = sum(lease);
  return { requests: sum(all) - leaseMessages, leaseMessages, raftEntries, received: methods };
}

/** Messages received by gRPC method (a unary call is one, and so is what is sent on a watch), and raft entries. */
async function readCounters(endpoint: string): Promise<Counters> {
  const text = await (await fetch(`${endpoint}/metrics`)).text();
  const counters = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, method, count] =
      /^grpc_server_msg_received_total\{.*grpc_method="(\w+)".*\} (\S+)$/.exec(line) ?? [];
    if (method) counters.set(method, (counters.get(method) ?? 0) + Number(count));
    if (line.startsWith(`${proposals} `)) {
      counters.set(proposals, Number(line.slice(proposals.length)));
    }
  }
  if (!counters.has(proposals)) throw new Error(`etcd does not count ${proposals}`);
  return counters;
}
