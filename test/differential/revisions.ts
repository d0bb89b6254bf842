import type { Calls } from '../support/raw-client.js';
import { mayRevive } from './lethal.js';
import type { RevisionAt, Template } from './operations.js';
import type { Outcome } from './side.js';

/** The revisions that requests of a sequence may refer to, as far as replies told of them. */
export class Revisions {
  /** The revision of the last change that was heard of. */
  now = 1;
  compacted = -1;
  #start = 1;
  readonly #puts = new Map<string, number>();
  /** Revisions that etcd does not survive to be compacted to. */
  readonly #lethal = new Set<number>();

  /** A sequence begins. */
  begin(): void {
    this.#puts.clear();
    this.#start = this.now;
  }

  /** Remembers what both said. */
  note(name: keyof Calls, outcome: Outcome, request: Template = {}): void {
    if (!('reply' in outcome)) return;
    const { header } = outcome.reply as { header?: { revision: number } };
    const revision = header?.revision ?? 0;
    // Several reads may be under way, but none of them changes anything.
    this.now = Math.max(this.now, revision);
    if (name === 'KV.Txn' && mayRevive(request)) this.#lethal.add(revision);
    if (name === 'KV.Put') this.#puts.set(request['key'] as string, revision);
    if (name === 'KV.Compact') this.compacted = this.at(request['revision'] as RevisionAt);
  }

  at({ at, of = '', plus }: RevisionAt): number {
    const bases = {
      zero: 0,
      now: this.now,
      compacted: this.compacted,
      start: this.#start,
      put: this.#puts.get(of) ?? 0,
    };
    return bases[at] + plus;
  }

  /** Whether history may be compacted to this revision. */
  mayBeCompacted(revision: number): boolean {
    return !this.#lethal.has(revision);
  }
}
