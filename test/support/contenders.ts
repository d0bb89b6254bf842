import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** What each process is told to do. */
export interface ContenderTask {
  readonly endpoint: string;
  readonly name: string;
  /** Whether it takes the lock for each increment. */
  readonly locked: boolean;
}

/** What one process, or all of them together, did. */
export interface ContenderReport {
  increments: number;
  /** Sections that found the token of a later holder, or their own. */
  tokensOutOfOrder: number;
}

/** Has processes add to one counter, by reading and then writing it, for some seconds. */
export async function runContenders(
  task: ContenderTask,
  processes: number,
  seconds: number,
): Promise<ContenderReport> {
  const script = fileURLToPath(new URL('contender-process.ts', import.meta.url));
  const children: ChildProcess[] = Array.from({ length: processes }, () =>
    fork(script, [JSON.stringify(task)], { execArgv: ['--import', 'tsx'] }),
  );
  try {
    const reports = children.map(async (child) => {
      const [report] = (await once(child, 'message')) as [ContenderReport];
      return report;
    });
    await delay(seconds * 1_000);
    for (const child of children) child.send('stop');
    const all = await Promise.all(reports);
    return {
      increments: all.reduce((sum, { increments }) => sum + increments, 0),
      tokensOutOfOrder: all.reduce((sum, { tokensOutOfOrder }) => sum + tokensOutOfOrder, 0),
    };
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}
