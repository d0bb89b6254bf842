import type { Lease } from '../session/lease.js';
import type { Session } from '../session/session.js';
import { type WaitOptions, waitScope } from '../time/signals.js';
import type { Place } from './place.js';

/**
 * Runs `work` for a new place, made by `make`, within the limits of `wait`; gives the place up if that fails, by `giveUp`. A wait
 * in vain is told to be for `what`.
 */
export async function contend<P extends Pick<Place, 'withdraw'>, T>(
  session: Session,
  what: string,
  wait: WaitOptions,
  make: (lease: Lease) => P,
  work: (place: P, signal: AbortSignal) => Promise<T>,
  giveUp: (place: P, error: unknown) => void = withdraw,
): Promise<T> {
  const { clock } = session;
  const since = clock.now();
  let lease = session.freeLease;
  while (!lease) {
    await makeRoom(session, what, wait, since);
    lease = session.freeLease;
  }
  const scope = waitScope(wait, lease.signal, clock, what, since);
  try {
    scope.signal.throwIfAborted();
    const place = make(lease);
    try {
      return await work(place, scope.signal);
    } catch (error) {
      giveUp(place, error);
      throw error;
    }
  } finally {
    scope.dispose();
  }
}

function withdraw(place: Pick<Place, 'withdraw'>): void {
  place.withdraw();
}

async function makeRoom(
  session: Session,
  what: string,
  wait: WaitOptions,
  since: number,
): Promise<void> {
  const scope = waitScope(wait, session.closing, session.clock, what, since);
  try {
    await session.makeRoom(scope.signal);
  } finally {
    scope.dispose();
  }
}
