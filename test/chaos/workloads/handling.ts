import type { Job, Queue, QueueOptions, Store } from '../../../src/index.js';
import { under } from './context.js';

/** Milliseconds that a handler may be silent. */
export const VISIBILITY = 2_000;

/** How queues are, whose jobs are worked on one by one or together. */
export const OPTIONS: QueueOptions<string> = {
  visibility: VISIBILITY,
  attempts: 12,
  backoff: (attempt: number): number => (attempt % 2 === 0 ? 200 : 0),
};

/** Takes a job away, so that somebody else gets it; whoever ends it all the same does not know that yet. */
export async function withdraw(
  store: Store,
  queue: Queue<string>,
  { id }: Job<string>,
): Promise<void> {
  const claims = under(`queue/${queue.name}/ready/${id}!c/`);
  await store.commit({ success: [{ delete: claims }] }).catch(() => {});
}
