import { status as Status } from '@grpc/grpc-js';
import type { Endpoint } from './endpoint.js';
import type { IsAbandoned } from './lookout.js';
import { StatusError } from './transport/status-error.js';

/** How an attempt fails that is not waited for any more. */
export const abandoned: StatusError = new StatusError(
  Status.CANCELLED,
  'given up: another endpoint, or this one later, was found to be well',
);

interface Attempt {
  readonly endpoint: Endpoint;
  readonly since: number;
  readonly reject: (error: StatusError) => void;
}

/** What is waited for, at which endpoint. */
export class InFlight {
  readonly #attempts = new Set<Attempt>();

  /** The outcome of `work`, unless it is abandoned before: then rejects with `abandoned`. The work itself goes on. */
  waitFor<T>(endpoint: Endpoint, since: number, work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const attempt = { endpoint, since, reject };
      this.#attempts.add(attempt);
      const settle = async (): Promise<void> => {
        try {
          resolve(await work);
        } catch (error) {
          reject(error);
        }
        this.#attempts.delete(attempt);
      };
      void settle();
    });
  }

  /** Nobody waits for these any more. */
  abandon(isAbandoned: IsAbandoned): void {
    for (const { endpoint, since, reject } of this.#attempts) {
      if (isAbandoned(endpoint, since)) reject(abandoned);
    }
  }
}
