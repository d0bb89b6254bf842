import { deferred } from '../core/time/deferred.js';

/** Gives the result of a job, or throws why there is none. */
export type Outcome = () => unknown;

/** Who waits for the end of a job: what was told late, of before he looked, is not that. */
export class Waiter {
  readonly #end = deferred<Outcome>();
  /** At which revision it was first looked how the job is. */
  #lookedAt: bigint | undefined;
  /** What was told last before that. */
  #told: { readonly revision: bigint; readonly outcome: Outcome } | undefined;

  /** Settles when the job has ended. */
  get end(): Promise<Outcome> {
    return this.#end.promise;
  }

  /** It was told that the job ended so at a revision. */
  tell(revision: bigint, outcome: Outcome): void {
    if (this.#lookedAt === undefined) this.#told = { revision, outcome };
    else if (revision > this.#lookedAt) this.#end.resolve(outcome);
  }

  /** At this revision the job was there, and had ended so if it had. */
  look(revision: bigint, outcome: Outcome | undefined): void {
    this.#lookedAt ??= revision;
    if (outcome) this.#end.resolve(outcome);
    else if (this.#told) this.tell(this.#told.revision, this.#told.outcome);
  }

  /** The job is there no more: it ended as was told last, or nobody knows how. */
  miss(error: unknown): void {
    if (this.#told) this.#end.resolve(this.#told.outcome);
    else this.#end.reject(error);
  }

  /** What becomes of the job cannot be known. */
  fail(error: unknown): void {
    this.#end.reject(error);
  }
}
