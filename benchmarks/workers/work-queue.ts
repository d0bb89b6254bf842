import { openJobs } from './queue-jobs.js';

/** What every queue that is measured can do. */
export interface WorkQueue {
  /** Resolves when the job is kept. */
  put(value: string): Promise<unknown>;
  putMany(values: readonly string[]): Promise<unknown>;
  /** Hands jobs to the handler, so many at once. One is done when the handler has returned. */
  consume(handler: Handler, options: { readonly concurrency: number }): Consumer;
}

/** Is given the value of a job. */
type Handler = (value: string) => Promise<void>;

/** Takes jobs until it is closed; that resolves when all that it took are done, and known to be. */
interface Consumer {
  close(): Promise<unknown>;
}

/** What keeps queues, and a connection to it. */
export interface Broker {
  queue(name: string): WorkQueue | Promise<WorkQueue>;
  /** The plainest write that it has: what waits are measured by. */
  write(value: string): Promise<unknown>;
  close(): Promise<unknown>;
}

/** Which queues are measured: ours on an etcd, or those of an adapter of `benchmarks/peers`. */
export interface Where {
  readonly endpoint: string;
  /** URL of the module. */
  readonly adapter?: string | undefined;
}

/** What such a module exports. */
interface Adapter {
  readonly open: (endpoint: string) => Promise<Broker>;
}

/** Connects. */
export async function openBroker({ endpoint, adapter }: Where): Promise<Broker> {
  if (adapter === undefined) return await openJobs(endpoint);
  const { open } = (await import(adapter)) as Adapter;
  return await open(endpoint);
}

/** So many values of 100 bytes, each another. */
export function valuesOf(count: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i).padStart(100, '0'));
}
