import type { Session } from '../session/session.js';
import type { KeyRange } from '../store/keys.js';
import type { KeyValue } from '../store/store.js';
import { type WaitOptions, waitScope } from '../time/signals.js';
import { type Traces, traced } from '../trace.js';
import { KeyedState } from './keyed-state.js';
import { Watching } from './watching.js';

/** What is waited for: what errors and traces call it, and where it shows. */
export type UntilSpec = Traces['wait'] & { readonly range: KeyRange };

/**
 * Waits until the keys of a range are as `reached` wants them: it is asked about each state of the range, one after the other,
 * and gives anything but `undefined` when it is satisfied. Goes on through outages; of states that etcd has forgotten
 * meanwhile it is asked about the last.
 *
 * @throws WaitTimeoutError, or the reason of `wait.signal`; ClosedError if the session is closed; what `reached` throws;
 * RefusedError if the range may not be read.
 */
export function until<T>(
  session: Session,
  { range, ...trace }: UntilSpec,
  reached: (keys: readonly KeyValue[]) => T | undefined,
  wait: WaitOptions,
): Promise<T> {
  const { store, closing, clock } = session;
  const look = async (): Promise<T> => {
    const scope = waitScope(wait, closing, clock, `${trace.recipe} ${trace.name}`);
    try {
      scope.signal.throwIfAborted();
      const state = new KeyedState();
      const watching = new Watching(store, range, { initial: true, signal: scope.signal }, clock);
      for await (const batch of watching.revisions()) {
        const found = reached(state.apply(batch));
        if (found !== undefined) return found;
      }
      throw scope.signal.reason;
    } finally {
      scope.dispose();
    }
  };
  return traced('wait', () => trace, look);
}
