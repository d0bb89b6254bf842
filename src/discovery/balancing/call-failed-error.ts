import { inspect } from 'node:util';
import { CoordinationError } from '../../core/store/errors.js';
import type { Instance } from '../instance.js';

/** What one instance made of a call. */
export interface InstanceFailure {
  readonly instance: Instance;
  /** What was thrown; a `WaitTimeoutError` if there was no answer in time. */
  readonly error: unknown;
}

/** No instance answered a call as it should. The `cause` is why it was not tried again; the last error, if it had no more attempts. */
export class CallFailedError extends CoordinationError {
  /** What each attempt got, in order. */
  readonly failures: readonly InstanceFailure[];

  constructor(failures: readonly InstanceFailure[], cause: unknown) {
    const said = failures.map(({ instance, error }) => `${instance.address}: ${textOf(error)}`);
    super('ERR_CALL_FAILED', `no instance answered (${said.join('; ')})`, { cause });
    this.failures = failures;
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : inspect(error, { depth: 0 });
}
