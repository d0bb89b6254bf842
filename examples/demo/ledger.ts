import { createHistogram, type Histogram } from 'node:perf_hooks';
import type { Kind, Outcome, Section } from './messages.js';

/** What was done to a holder, and what came of it. */
export interface Fault {
  readonly signal: 'SIGKILL' | 'SIGSTOP';
  /** Which kind of section it hit, between its read and its write. */
  readonly kind: Kind;
  readonly worker: string;
  /** The token of the hold it hit. */
  readonly token: bigint;
  /** When. */
  readonly at: number;
  /** Whether etcd named this very hold as the holder just before. */
  readonly aimed: boolean;
}

/** Increments of one counter by what became of them. */
export type Tally = Record<Outcome, number>;

/** What has happened so far. */
export class Ledger {
  readonly sections: Section[] = [];
  readonly faults: Fault[] = [];
  readonly tallies: Record<Kind, Tally> = { guarded: tally(), plain: tally() };

  /** Takes a section down. */
  add(section: Section): void {
    this.sections.push(section);
    this.tallies[section.kind][section.outcome] += 1;
  }

  /** How long was waited for the lock while no fault was in the way, in microseconds. */
  calmWaits(): Histogram {
    const waits = createHistogram();
    for (const { since, waited } of this.sections) {
      const disturbed = this.faults.some(({ at }) => since - waited < at && at < since);
      if (!disturbed) waits.record(Math.max(1, Math.round(waited * 1_000)));
    }
    return waits;
  }

  /** The section in which a hold was used, once it has been reported. */
  sectionOf(token: bigint): Section | undefined {
    return this.sections.findLast((section) => section.token === token);
  }

  /** The first section under a later hold than `token`, as far as reported. */
  nextAfter(token: bigint): Section | undefined {
    let next: Section | undefined;
    for (const section of this.#latest()) {
      if (section.token > token && (!next || section.token < next.token)) next = section;
      // Reports of different workers overtake one another, but not by much.
      else if (section.token < token - 1_000n) break;
    }
    return next;
  }

  /** Milliseconds from a fault until somebody else had the lock; `undefined` if nobody has it yet. */
  recovery({ token, at }: Fault): number | undefined {
    const next = this.nextAfter(token);
    return next && next.since - at;
  }

  /** How many increments of a kind others have made, and seen acknowledged, since a hold. */
  acknowledgedAfter(token: bigint, kind: Kind): number {
    let count = 0;
    for (const section of this.#latest()) {
      if (section.token < token) break;
      if (section.kind === kind && section.outcome === 'acknowledged') count += 1;
    }
    return count;
  }

  *#latest(): Generator<Section> {
    for (let n = this.sections.length - 1; n >= 0; n -= 1) yield this.sections[n] as Section;
  }
}

function tally(): Tally {
  return { acknowledged: 0, refused: 0, unknown: 0, 'not-applied': 0 };
}
