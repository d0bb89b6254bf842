import { randomUUID } from 'node:crypto';
import { makeStore } from '../../src/container.js';
import { Session, type Store } from '../../src/index.js';

/** Sessions of this process, and how to end them. */
export interface Sessions {
  readonly all: readonly Session[];
  close(): Promise<void>;
}

/** Opens sessions on one connection for all, or on one for each. */
export async function openSessions(
  endpoint: string,
  count: number,
  connections: 'shared' | 'own' = 'shared',
  batching = true,
): Promise<Sessions> {
  const open = (): Store => makeStore({ endpoints: [endpoint], batching });
  const stores = Array.from({ length: connections === 'own' ? count : 1 }, open);
  const all: Session[] = [];
  for (let i = 0; i < count; i += 1) {
    all.push(await Session.open(stores[i % stores.length] as Store));
  }
  return {
    all,
    async close() {
      await Promise.all(all.map((session) => session.close(0)));
      for (const store of stores) store.close();
    },
  };
}

/** A name that no other run uses. */
export function uniqueName(): string {
  return `bench-${randomUUID()}`;
}

/** What `work` took, in microseconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) * 1_000;
}
