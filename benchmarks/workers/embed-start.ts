import { start } from '../../src/embed/index.js';
import { Etcd3Store } from '../../src/index.js';
import { startInMemory } from '../environment.js';

/** What to measure, in a process that has done nothing before. */
export interface EmbedStartTask {
  /** What is started, and how it is reached: over a connection, or in-process through `store()`. */
  readonly what: 'etcd' | 'in-process' | 'store';
  /** The real etcd. */
  readonly binary: string;
}

/** Milliseconds from before the call of `start`. */
export interface EmbedStartReport {
  readonly started: number;
  /** Until the first put was answered. */
  readonly answered: number;
}

/** Starts an etcd and writes one key. */
export async function embedStart({ what, binary }: EmbedStartTask): Promise<EmbedStartReport> {
  const before = performance.now();
  await using etcd = what === 'etcd' ? await startInMemory(binary) : await start();
  const started = performance.now() - before;
  const store =
    what === 'store' && etcd.engine === 'in-process'
      ? etcd.store()
      : new Etcd3Store({ endpoints: etcd.endpoints });
  await store.commit({ success: [{ put: { key: 'first', value: 'put' } }] });
  const answered = performance.now() - before;
  store.close();
  return { started, answered };
}
