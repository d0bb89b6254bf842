import type { Coordinator } from '../coordinator.js';
import { abortable } from '../core/time/signals.js';
import { type ConnectionFlags, connectionOptions, open, viewOf } from './connection-options.js';
import { Interrupts } from './interrupts.js';
import { type HoldFlags, sessionOptions } from './lock-options.js';

/** Connects as the command line says, and does something there, which an interrupt ends. @throws as `connect`, and as `work` */
export async function atPlace<T>(
  flags: ConnectionFlags & Partial<Pick<HoldFlags, 'ttl' | 'label'>>,
  work: (place: Coordinator, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  connectionOptions(flags);
  const { ttl = 15_000 } = flags;
  const session = sessionOptions({ ...flags, ttl });
  const { signal } = new Interrupts();
  const coordinator = await open(flags, { session, signal });
  try {
    return await abortable(work(viewOf(coordinator, flags), signal), signal);
  } finally {
    await coordinator.close(0);
  }
}
