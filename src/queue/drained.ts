import type { Session } from '../core/session/session.js';
import { keyId, prefixRange } from '../core/store/keys.js';
import type { KeyValue } from '../core/store/store.js';
import { persist } from '../core/time/persist.js';
import { type WaitOptions, waitScope } from '../core/time/signals.js';
import { until } from '../core/watch/until.js';
import { sketchesIn } from './listing.js';
import type { QueueParts } from './queue-parts.js';

/** So many keys are looked at, the last of which is waited for. */
const ahead = 1_000;

/**
 * Waits until no job is unfinished: for the end of one after the other, of those a page further on each time.
 *
 * @throws WaitTimeoutError, or the reason of `wait.signal`; ClosedError if the session is closed.
 */
export async function drained<T>(parts: QueueParts<T>, wait: WaitOptions): Promise<void> {
  const { session, name } = parts;
  const scope = waitScope(wait, session.closing, session.clock, `queue ${name}`);
  try {
    for (;;) {
      scope.signal.throwIfAborted();
      const key = await unfinished(parts, session, scope.signal);
      if (key === undefined) return;
      const what = { recipe: 'queue', verb: 'drained', name, range: { key } };
      const { signal } = scope;
      await until(session, what, (kvs) => kvs.length === 0 || undefined, { signal });
    }
  } finally {
    scope.dispose();
  }
}

/** The record of a job that is not finished, of which there are none, or not many before it. */
async function unfinished<T>(
  { keys }: QueueParts<T>,
  { store, clock }: Session,
  signal: AbortSignal,
): Promise<string | undefined> {
  const folders = [keys.ready, keys.delayed];
  const success = folders.map((folder) => ({
    range: { ...prefixRange(folder), keysOnly: true, limit: ahead },
  }));
  const { replies } = await persist((limit) => store.commit({ success }, limit), signal, clock);
  for (const [i, folder] of folders.entries()) {
    const { kvs = [], count = 0 } = replies[i] ?? {};
    const last = sketchesIn(folder, kvs).at(-1);
    if (last) return keyId(last.key);
    // Nothing but what is left of jobs that have ended: it goes, or is deleted.
    if (kvs.length < count) return keyId((kvs.at(-1) as KeyValue).key);
  }
  return undefined;
}
