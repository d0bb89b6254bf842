import { expect } from 'vitest';
import type {
  Consumer,
  Coordinator,
  HoldLostError,
  Operation,
  Queue,
  QueueOptions,
  Store,
  Txn,
} from '../../src/index.js';
import type { TestEtcd } from './etcd.js';
import { override } from './override.js';

/** How a wait is limited that is to end. */
export const patience = { timeout: 60_000 };

/** What a consumer told of a job. */
export type Told = [event: string, value: number, why?: unknown];

/** The numbers from 0 on, so many. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Hears what becomes of jobs. */
export function listen(consumer: Consumer<number>): Told[] {
  const told: Told[] = [];
  consumer.on('done', ({ job }) => told.push(['done', job.value]));
  consumer.on('failed', ({ job, error }) => {
    told.push(['failed', job.value, error && (error as Error).message]);
  });
  consumer.on('lost', ({ job, error }) => {
    told.push(['lost', job.value, (error as HoldLostError).reason]);
  });
  return told;
}

/** All steps of a transaction, those of nested ones too. */
function stepsOf({ success = [] }: Txn): Operation[] {
  return success.flatMap((step) => ('txn' in step ? stepsOf(step.txn) : [step]));
}

/** How many jobs a transaction claims. */
export function claims(txn: Txn): number {
  return stepsOf(txn).filter((step) => 'put' in step && step.put.key.toString().includes('!c/'))
    .length;
}

/** How many it ends: it deletes their records, with what is beside them. */
export function ends(txn: Txn): number {
  return stepsOf(txn).filter(
    (step) => 'delete' in step && step.delete.key.toString().includes('/ready/') && step.delete.end,
  ).length;
}

/** A queue of a process of its own, and how many jobs each of its transactions claims, or ends. */
export interface CountedQueue {
  readonly coordinator: Coordinator;
  readonly queue: Queue<number>;
  readonly claimed: number[];
  readonly ended: number[];
}

/** Opens one. @param before - what each transaction waits for */
export async function counted(
  etcd: TestEtcd,
  options: QueueOptions<number> = {},
  before: (txn: Txn) => Promise<unknown> | undefined = () => undefined,
): Promise<CountedQueue> {
  const [claimed, ended]: [number[], number[]] = [[], []];
  const commit =
    (store: Store): Store['commit'] =>
    async (txn, how) => {
      if (claims(txn) > 0) claimed.push(claims(txn));
      if (ends(txn) > 0) ended.push(ends(txn));
      await before(txn);
      return await store.commit(txn, how);
    };
  const decorate = (store: Store): Store => override(store, { commit: commit(store) });
  const coordinator = await etcd.connect({}, decorate);
  const queue = coordinator.queue<number>(etcd.name('queue'), options);
  return { coordinator, queue, claimed, ended };
}

/** Resolves when a queue is drained, and then it has no keys of jobs. */
export async function nothingIsLeft(etcd: TestEtcd, queue: Queue<number>): Promise<void> {
  await queue.drained(patience);
  expect(await etcd.count(`queue/${queue.name}/ready/`)).toBe(0);
}
