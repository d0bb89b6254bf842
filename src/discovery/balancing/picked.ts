import type { Instance, InstanceSource } from '../instance.js';
import type { Ejection } from './ejection.js';
import type { Member } from './member.js';
import { type BalancingEvent, tellBalancing } from './tell-balancing.js';

/** An instance to be called now. Until it is told how the call ended, it counts as one in flight. */
export class Picked implements Disposable {
  /** Who is to be called. */
  readonly instance: Instance;
  readonly #member: Member;
  readonly #ejection: Ejection | undefined;
  readonly #source: InstanceSource;
  readonly #isTrial: boolean;
  #isOver = false;

  constructor(member: Member, ejection: Ejection | undefined, source: InstanceSource) {
    this.instance = member.instance;
    this.#member = member;
    this.#ejection = ejection;
    this.#source = source;
    this.#isTrial = ejection?.picked(member) ?? false;
    member.inFlight += 1;
  }

  /** The call succeeded or, with an error, failed. What is told first counts. */
  done(error?: unknown): void {
    if (!this.#end(error === undefined ? 'succeeded' : 'failed', error)) return;
    if (error === undefined) this.#ejection?.succeeded(this.#member, this.#isTrial);
    else this.#ejection?.failed(this.#member, this.#isTrial, error);
  }

  /** The call ended, if that was not told; it says nothing of the instance. */
  [Symbol.dispose](): void {
    this.#end('abandoned');
  }

  #end(how: BalancingEvent, error?: unknown): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#member.inFlight -= 1;
    tellBalancing(this.#source, how, this.instance, error);
    return true;
  }
}
