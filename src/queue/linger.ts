import type { Session } from '../core/session/session.js';
import { onAbort } from '../core/time/signals.js';

/** Milliseconds. */
const longEnough = 5_000;

/** Calls `rest` after a while, in which what was used last may be used again, or as the session closes. What it returns takes that back. */
export function linger({ clock, closing }: Session, rest: () => void): () => void {
  const undo: (() => void)[] = [];
  const stop = (): void => {
    for (const each of undo) each();
  };
  const over = (): void => {
    stop();
    rest();
  };
  undo.push(clock.after(longEnough, over));
  undo.push(onAbort(closing, over));
  return stop;
}
