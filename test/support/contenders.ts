import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { built } from './built.js';

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

/** Has processes add to one counter, by reading and then writing it; from when all are ready until `enough` resolves. */
export async function runContenders(
  task: ContenderTask,
  processes: number,
  enough: () => Promise<unknown>,
): Promise<ContenderReport> {
  const script = built('test/support/contender-process.ts');
  const children: ChildProcess[] = Array.from({ length: processes }, () =>
    fork(script, [JSON.stringify(task)]),
  );
  try {
    const answers = async (): Promise<ContenderReport[]> => {
      const messages = await Promise.all(children.map((child) => once(child, 'message')));
      return messages.map(([message]) => message as ContenderReport);
    };
    await answers();
    for (const child of children) child.send('start');
    await enough();
    const reports = answers();
    for (const child of children) child.send('stop');
    const all = await reports;
    return {
      increments: all.reduce((sum, { increments }) => sum + increments, 0),
      tokensOutOfOrder: all.reduce((sum, { tokensOutOfOrder }) => sum + tokensOutOfOrder, 0),
    };
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}
