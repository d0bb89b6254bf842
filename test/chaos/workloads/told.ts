import {
  type Consumer,
  isCoordinationError,
  type Job,
  UnavailableError,
} from '../../../src/index.js';

/** What became of a job. */
export type End = 'done' | 'dead' | 'returned';

/** An end that its handler has begun by itself. */
export interface Hand {
  readonly how: End;
  readonly end: Promise<void>;
}

interface Telling {
  readonly event: 'done' | 'failed' | 'lost';
  readonly error?: unknown;
}

/** What consumers tell of jobs that they are to end. */
export class Told {
  readonly #waiting = new Map<Job<string>, (telling: Telling) => void>();

  /** Listens to this one. */
  by(consumer: Consumer<string>): Consumer<string> {
    consumer.on('done', ({ job }) => this.#tell(job, { event: 'done' }));
    consumer.on('failed', ({ job, error }) => this.#tell(job, { event: 'failed', error }));
    consumer.on('lost', ({ job, error }) => this.#tell(job, { event: 'lost', error }));
    return consumer;
  }

  /** What came of a job, once its consumer has told. @throws where it was not ended, or nobody knows. */
  async endOf(job: Job<string>, hand?: Hand): Promise<End> {
    const telling = new Promise<Telling>((resolve) => this.#waiting.set(job, resolve));
    const byHand = await hand?.end.then(
      () => hand.how,
      (reason: unknown) => ({ reason }),
    );
    const { event, error } = await telling;
    if (typeof byHand === 'string') return byHand;
    if (event === 'done') return 'done';
    const reason = byHand?.reason;
    // It may have been ended all the same: that it is gone, or was given back, says nothing then.
    if (reason instanceof UnavailableError && reason.outcome === 'unknown') throw reason;
    if (event === 'failed') return job.isLastAttempt ? 'dead' : 'returned';
    throw isCoordinationError(error) ? error : job.signal.reason;
  }

  #tell(job: Job<string>, telling: Telling): void {
    this.#waiting.get(job)?.(telling);
    this.#waiting.delete(job);
  }
}
