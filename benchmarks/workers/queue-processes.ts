import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClaimCounts, QueueConsumerTask } from './queue-consumer.js';
import { openJobs } from './queue-jobs.js';
import { uniqueName } from './sessions.js';
import { valuesOf } from './work-queue.js';

const group = 500;
/** Milliseconds after which all have told what they did: of the last jobs many processes learn late that others have them. */
const rest = 500;

/** What to measure. */
export interface QueueProcessesTask {
  readonly endpoint: string;
  readonly processes: number;
  /** Jobs that each has at once. */
  readonly concurrency: number;
  /** Milliseconds for which a handler waits for something else; 0: it ends at once. */
  readonly handling: number;
  /** Jobs that each process has done before the clock starts: new processes are slow, and those of a user live long. */
  readonly warmUp: number;
  /** Jobs that are there then. */
  readonly jobs: number;
  /** Jobs that are put afterwards, each when the last one was done and nobody has anything to do. */
  readonly single: number;
}

/** What was found. */
export interface QueueProcessesReport {
  readonly perSecond: number;
  /** Of all claims, from 0 to 1, while there was enough for everybody; nothing where no claims are told. */
  readonly wasted?: number;
  /** The same, of the jobs that came one by one. */
  readonly wastedSingle?: number;
}

/** Lets processes consume one queue, each on a connection of its own. */
export async function queueProcesses(task: QueueProcessesTask): Promise<QueueProcessesReport> {
  const { endpoint, processes, concurrency, handling, single } = task;
  const early = task.warmUp * processes;
  const jobs = early + task.jobs;
  const broker = await openJobs(endpoint);
  const name = uniqueName();
  const queue = broker.queue(name);
  const values = valuesOf(jobs);
  for (let i = 0; i < jobs; i += group) await queue.putMany(values.slice(i, i + group));
  await using team = await Team.start(processes, { endpoint, name, concurrency, handling });

  team.consume();
  await team.handled(early);
  const [started, before] = [performance.now(), team.counts.handled];
  await team.handled(jobs);
  const seconds = (performance.now() - started) / 1_000;
  await sleep(rest);
  const drained = team.counts;
  for (let i = 1; i <= single; i += 1) {
    await queue.put('single');
    await team.handled(jobs + i);
  }
  await sleep(rest);
  await broker.close();
  return {
    perSecond: (drained.handled - before) / seconds,
    ...wasteOf('wasted', drained.won, drained.lost),
    ...wasteOf('wastedSingle', team.counts.won - drained.won, team.counts.lost - drained.lost),
  };
}

function wasteOf<Name extends string>(
  name: Name,
  won: number,
  lost: number,
): { [N in Name]?: number } {
  const waste: { [N in Name]?: number } = {};
  if (won + lost > 0) waste[name] = lost / (won + lost);
  return waste;
}

/** Processes that consume a queue, and what they told so far. */
class Team implements AsyncDisposable {
  readonly #members: readonly ChildProcess[];
  readonly #told = new Map<ChildProcess, ClaimCounts>();
  #changed = (): void => {};

  private constructor(members: readonly ChildProcess[]) {
    this.#members = members;
    for (const member of members) {
      member.on('message', (counts: ClaimCounts) => {
        this.#told.set(member, counts);
        this.#changed();
      });
    }
  }

  /** Starts so many; resolves when all are connected. */
  static async start(processes: number, task: QueueConsumerTask): Promise<Team> {
    const members = Array.from({ length: processes }, () =>
      fork(process.argv[1] as string, ['queueConsumer', JSON.stringify(task)], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      }),
    );
    await Promise.all(members.map((member) => once(member, 'message')));
    return new Team(members);
  }

  get counts(): ClaimCounts {
    const all = { handled: 0, won: 0, lost: 0 };
    for (const { handled, won, lost } of this.#told.values()) {
      all.handled += handled;
      all.won += won;
      all.lost += lost;
    }
    return all;
  }

  consume(): void {
    for (const member of this.#members) member.send('consume');
  }

  /** Resolves when so many jobs are done. */
  handled(jobs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#changed = () => {
        if (this.counts.handled >= jobs) resolve();
      };
      this.#changed();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exits = this.#members.map((member) => once(member, 'exit'));
    for (const member of this.#members) member.disconnect();
    await Promise.all(exits);
  }
}
