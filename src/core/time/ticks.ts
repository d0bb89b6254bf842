import { Cron } from 'croner';
import { ArgumentError } from '../store/errors.js';
import { nonEmpty } from '../validate.js';

/** The times that a cron expression names, in milliseconds since 1970. */
export class Ticks {
  readonly #cron: Cron;

  /** @throws ArgumentError unless `expression` names times in `timeZone`, and the same for whoever reads it. */
  constructor(expression: string, timeZone: string) {
    const cron = parsed(nonEmpty('cron', expression), nonEmpty('timeZone', timeZone));
    if (cron.nextRun(new Date(0)) === null) {
      throw new ArgumentError('cron', 'an expression for times that there are', expression);
    }
    this.#cron = cron;
  }

  /** The first after a time. */
  after(time: number): number {
    return this.#cron.nextRun(new Date(time))?.getTime() ?? Number.POSITIVE_INFINITY;
  }

  /** Of those after `from` and up to `until`, the first of the last `most`; `undefined` if there is none. */
  firstOfLast(most: number, from: number, until: number): number | undefined {
    const first = this.after(from);
    if (most === 0 || first > until) return undefined;
    let next = first;
    for (let i = 0; i < most && next <= until; i += 1) next = this.after(next);
    if (next > until) return first;
    return this.#cron
      .previousRuns(most, new Date(until + 1))
      .at(-1)
      ?.getTime();
  }
}

function parsed(expression: string, timeZone: string): Cron {
  try {
    Intl.DateTimeFormat('en', { timeZone });
  } catch {
    throw new ArgumentError('timeZone', 'the name of a time zone, such as Europe/Berlin', timeZone);
  }
  // A question mark stands for the time at which a process started, and a date for one tick.
  if (!/\?|^\d+-\d+-\d/.test(expression)) {
    try {
      return new Cron(expression, { timezone: timeZone, mode: '5-or-6-parts' });
    } catch {
      // Said below.
    }
  }
  throw new ArgumentError('cron', 'a cron expression of five or six fields', expression);
}
