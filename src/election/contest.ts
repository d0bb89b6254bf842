import type { Hold } from '../core/line/hold.js';
import type { KeyRange } from '../core/store/keys.js';
import type { KeyValue } from '../core/store/store.js';
import type { WaitOptions } from '../core/time/signals.js';
import type { ElectionEntry, ElectionState } from './roll.js';
import type { Term } from './term.js';

/** Who wants to know how a candidate fares. */
export interface ContestListener {
  /** It stands, and somebody else leads. */
  readonly waiting: () => void;
  /** It led, and lost the term. */
  readonly lost: (term: Hold) => void;
}

/** How an election is kept in etcd. */
export interface Contest {
  /** Where all keys are. */
  readonly all: KeyRange;
  /** Where the key of who leads is. */
  readonly terms: KeyRange;
  /** What the leader with a key in `terms` has as a candidate, in keys of their own. */
  candidacyOf(term: string): readonly string[];
  /** Who leads, by the keys in `terms`. */
  leaderAmong(kvs: readonly KeyValue[]): ElectionEntry | undefined;
  /** Who leads and who stands, by all keys. */
  stateOf(kvs: readonly KeyValue[]): ElectionState;
  /** Stands, and waits to be elected. */
  campaign(value: string, wait: WaitOptions, listener: ContestListener): Promise<Term>;
  /** Leads if nobody leads or stands; writes nothing otherwise. */
  tryCampaign(
    value: string,
    wait: WaitOptions,
    listener: ContestListener,
  ): Promise<Term | undefined>;
}
