import type { LossReason } from '../store/errors.js';

/** What leases have in common that end together. Looking at any of it checks their deadlines. */
export interface Fate {
  /** Aborts at their end, with `SessionLostError` or `ClosedError`. */
  readonly signal: AbortSignal;
  /** Why they ended; `undefined` while they live. */
  readonly ended: LossReason | undefined;
  /** Milliseconds until the first deadline; 0 after the end. */
  remaining(): number;
  /** Tells `callback` of the end, before anybody else; at once if it has come. The function returned takes it back. */
  onEnd(callback: (reason: LossReason) => void): () => void;
  /** Ends them all: what depends on any of them is told before this returns. */
  lose(reason: LossReason, cause?: unknown): void;
  /** A lease was renewed; or, with `error`, got no answer. */
  heard(error?: unknown): void;
  /** A lease has its first key. */
  occupied(): void;
  /** A lease has no key any more. */
  vacated(): void;
}
