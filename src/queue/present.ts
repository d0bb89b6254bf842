import { hasAny } from '../core/has-any.js';
import { abortable } from '../core/time/signals.js';
import { type Choice, type Choices, type Claimant, takenOf } from './claimant.js';
import type { Front } from './front.js';
import type { Ready } from './ready.js';
import { giveAllBack, type Taken } from './steps.js';

/** The jobs that may be taken now: for those who do not wait for others. */
export class Present {
  readonly #front: Front;
  readonly #claimant: Claimant;
  readonly #track: (claim: Promise<unknown>) => void;

  /** @param track - is told of claims of which some may have to go back, though nobody waits for them any more */
  constructor(front: Front, claimant: Claimant, track: (claim: Promise<unknown>) => void) {
    this.#front = front;
    this.#claimant = claimant;
    this.#track = track;
  }

  /** Claims jobs if there are such that may be. @throws the reason of `signal`, RefusedError; or what ended a watch. */
  async take(most: number, signal: AbortSignal): Promise<readonly Taken[]> {
    const front = this.#front;
    // Where jobs are known that may be claimed, what is before them is left out.
    let isAll = front.claimable().next().done === true;
    for (let isMore = await front.refresh(signal); ; ) {
      const taken = await this.#takeKnown(most, signal);
      if (taken.length > 0 || (!isMore && isAll)) return taken;
      isAll ||= !isMore;
      isMore = await (isMore ? front.advance(signal) : front.refresh(signal));
    }
  }

  /** The same where those will do that were known a moment ago: gives none where that fails. */
  async takeSoon(most: number, signal: AbortSignal): Promise<readonly Taken[]> {
    try {
      if (this.#front.isOld) await this.#front.glance(signal);
      return await this.#takeKnown(most, signal);
    } catch {
      signal.throwIfAborted();
      return [];
    }
  }

  /** Claims the first of those that are known. */
  async #takeKnown(most: number, signal: AbortSignal): Promise<readonly Taken[]> {
    const jobs = this.#front.claimable();
    for (let some = this.#some(jobs, most); some; some = this.#some(jobs, most)) {
      const taken = await this.#claim(some, signal);
      if (taken.length > 0) return taken;
    }
    return [];
  }

  /** The next jobs of these, as many as go in one step. */
  #some(jobs: Iterator<Ready>, most: number): Choices | undefined {
    const choices: Choice[] = [];
    const limit = Math.min(most, this.#claimant.together);
    while (choices.length < limit) {
      const { value, done } = jobs.next();
      if (done) break;
      choices.push(this.#claimant.choose(value));
    }
    return hasAny(choices) ? choices : undefined;
  }

  /** Claims jobs; what comes after `signal` has aborted is given back: it was not tried. */
  async #claim(choices: Choices, signal: AbortSignal): Promise<Taken[]> {
    const claim = this.#claimant.claim(choices);
    try {
      const results = await abortable(claim, signal);
      const taken = takenOf(results);
      const failed = results.find((result) => result.status === 'rejected');
      if (taken.length === 0 && failed) throw failed.reason;
      return taken;
    } catch (error) {
      this.#track(claim.then((late) => giveAllBack(takenOf(late))));
      throw error;
    }
  }
}
