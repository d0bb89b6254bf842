import type { Codec } from '../core/codec.js';
import type { Clock } from '../core/time/clock.js';
import type { QueueKeys } from './queue-keys.js';
import type { BackoffPolicy, Exhausted } from './queue-options.js';
import type { Turns } from './turns.js';

/** A job that was given up, and deleted, so that what is in order with it goes on. */
export interface Skipped {
  readonly id: string;
  /** What it was in order with. */
  readonly orderKey: string;
  /** Why its last attempt failed. */
  readonly reason: string;
}

/** What jobs are made with. */
export interface JobMaker<T> {
  readonly name: string;
  readonly keys: QueueKeys;
  readonly codec: Codec<T>;
  readonly attempts: number;
  readonly backoff: BackoffPolicy;
  readonly onExhausted: Exhausted;
  /** Is told of a job that was given up for good. */
  readonly onSkipped: (event: Skipped) => void;
  readonly clock: Clock;
  /** Whose effects have to do with those of others waits for them. */
  readonly turns: Turns;
  readonly maxBytes: number;
  /** Bytes that a result may have; `undefined` where none is kept. */
  readonly maxResultBytes: number | undefined;
}
