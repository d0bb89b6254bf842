import { CoordinationError } from '../core/store/errors.js';
import type { Failure } from './job-record.js';

/** A job came to nothing: it was given up, or nothing is known of it any more. */
export class JobFailedError extends CoordinationError {
  /** Which job. */
  readonly id: string;
  /** Whether it is among the dead letters, or there is no trace of it: it was deleted, its result is kept no longer, or who did it kept none. */
  readonly outcome: 'dead' | 'unknown';
  /** Why. */
  readonly reason: string;
  /** The last attempts that failed. */
  readonly history: readonly Failure[];

  constructor(
    id: string,
    outcome: JobFailedError['outcome'],
    reason: string,
    history: readonly Failure[],
  ) {
    super('ERR_JOB_FAILED', `job ${id} failed: ${reason}`);
    this.id = id;
    this.outcome = outcome;
    this.reason = reason;
    this.history = history;
  }
}
