import type { Owner } from '../core/session/session.js';
import { CoordinationError } from '../core/store/errors.js';

/** A job was cancelled (`queue.cancel`): what who waits for it is told, and the `cause` of what its handler is told. */
export class JobCancelledError extends CoordinationError {
  /** Which job. */
  readonly id: string;
  /** Why. */
  readonly reason: string;
  /** Who cancelled it; `undefined` if that is not said. */
  readonly by: Owner | undefined;

  constructor(id: string, reason: string, by: Owner | undefined) {
    super('ERR_JOB_CANCELLED', `job ${id} is cancelled: ${reason}`);
    this.id = id;
    this.reason = reason;
    this.by = by;
  }
}
