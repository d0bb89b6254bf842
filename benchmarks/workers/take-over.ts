import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { makeStore } from '../../src/container.js';
import { Election, Session } from '../../src/index.js';
import { openSessions, uniqueName } from './sessions.js';

/** How long a leader is missed: long enough to be killed in peace. */
const ttl = 5_000;

/** What to measure. */
export interface TakeOverTask {
  readonly endpoint: string;
  readonly rounds: number;
}

/** Every sample: from the removal of the dead leader's key, as a watch of ours tells it, to the next leader, in microseconds. */
export interface TakeOverReport {
  readonly takeOvers: number[];
}

/** Kills leaders, each a process of its own. */
export async function takeOver({ endpoint, rounds }: TakeOverTask): Promise<TakeOverReport> {
  const sessions = await openSessions(endpoint, 1);
  const [session] = sessions.all as [Session];
  const takeOvers: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const name = uniqueName();
    const leader = fork(process.argv[1] as string, [
      'electionLeader',
      JSON.stringify({ endpoint, name }),
    ]);
    const [key] = (await once(leader, 'message')) as [string];
    takeOvers.push(await killOnce(session, name, key, leader));
  }
  await sessions.close();
  return { takeOvers };
}

/** Leads until it is killed. */
export async function electionLeader(task: {
  readonly endpoint: string;
  readonly name: string;
}): Promise<never> {
  const store = makeStore({ endpoints: [task.endpoint] });
  const session = await Session.open(store, { ttl });
  const term = await new Election(session, task.name).campaign('');
  process.send?.(term.key);
  return new Promise(() => {});
}

async function killOnce(
  session: Session,
  name: string,
  key: string,
  leader: ChildProcess,
): Promise<number> {
  const { store } = session;
  const removed = new Promise<number>((resolve, reject) => {
    const listener = { events: () => resolve(performance.now()), gap: () => {}, closed: reject };
    store.watch({ key }, listener, { only: 'delete' });
  });
  const elected = new Election(session, name).campaign('').then(async (term) => {
    const at = performance.now();
    await term.resign();
    return at;
  });
  leader.kill('SIGKILL');
  return ((await elected) - (await removed)) * 1_000;
}
