import { type Codec, json } from '../core/codec.js';
import type { Owner, Session } from '../core/session/session.js';
import type { BreakReason } from '../core/store/errors.js';
import { keyId, prefixEnd, prefixRange } from '../core/store/keys.js';
import type { Compare, KeyValue, Operation, Txn, TxnReply } from '../core/store/store.js';
import { persist } from '../core/time/persist.js';

/** What the key of a round has: that it is open, or what became of it. */
export interface RoundRecord {
  readonly count: number;
  /** Who goes on, in the order of arrival: the create revisions of their keys. */
  readonly tripped?: readonly string[];
  /** Why nobody does, and because of whom. */
  readonly broken?: { readonly reason: BreakReason; readonly owner?: Owner };
}

/** What became of a round. */
export type Ending = Omit<RoundRecord, 'count'>;

/** A round at one revision. */
export interface RoundState {
  /** `undefined` where the round is forgotten, or was never opened. */
  readonly record: RoundRecord | undefined;
  /** How many have joined, gone or not; counted by some only. */
  readonly joined: number;
  /** Who is there. */
  readonly parties: readonly KeyValue[];
}

/** The same without a list of who is there, as seen by one who waits. */
export interface Attendance extends Pick<RoundState, 'record' | 'joined'> {
  readonly revision: bigint;
  /** How many are there. */
  readonly present: number;
  /** Whether he is one of them. */
  readonly isIn: boolean;
}

const codec: Codec<RoundRecord> = json();

/**
 * One use of a barrier, as keys: one that says what became of it, and after it - in the order of keys - none but those of later
 * rounds. All comes down to that key: it is open, or it is over, and then the next one is open.
 */
export class Round {
  readonly generation: number;
  readonly count: number;
  /** Where parties put their keys. */
  readonly parties: string;
  readonly #all: string;
  readonly #folder: string;
  /** The key that says what became of it. */
  readonly key: string;
  /** Written by whoever joins: so its version counts them, and who waits is told of none. */
  readonly #arrivals: string;

  /** @param all - the folder of the barrier */
  constructor(all: string, count: number, generation: number) {
    this.generation = generation;
    this.count = count;
    this.#all = all;
    this.#folder = `${all}${String(generation).padStart(12, '0')}/`;
    this.key = `${this.#folder}round`;
    this.#arrivals = `${this.#folder}arrivals`;
    this.parties = `${this.#folder}parties/`;
  }

  /** The round of which this is a key. */
  static of(all: string, count: number, key: Buffer): Round {
    return new Round(all, count, Number.parseInt(keyId(key).slice(keyId(all).length), 10));
  }

  get next(): Round {
    return new Round(this.#all, this.count, this.generation + 1);
  }

  /** Holds while the round is neither tripped nor broken, and waits for as many as we say. */
  get isOpen(): Compare {
    return { key: this.key, target: 'value', to: this.#open };
  }

  /** Holds while fewer have joined than are waited for, gone or not: `arrival` counts them. */
  get hasRoom(): Compare {
    return { key: this.#arrivals, target: 'version', is: '<', to: BigInt(this.count) };
  }

  /** Counts one who joins. */
  get arrival(): Operation {
    return { put: { key: this.#arrivals, value: '' } };
  }

  /** Who is there, oldest first, and what became of it: for `stateIn`. */
  get attendance(): Operation[] {
    const oldestFirst = { sortBy: 'create', keysOnly: true } as const;
    return [
      { range: { key: this.key } },
      { range: { key: this.#arrivals } },
      { range: { ...prefixRange(this.parties), ...oldestFirst } },
    ];
  }

  /** How many are there, and whether a key of theirs is: for `attendanceIn`. */
  look(own: string): Operation[] {
    return [
      { range: { key: this.key } },
      { range: { key: this.#arrivals } },
      { range: { ...prefixRange(this.parties), countOnly: true } },
      { range: { key: own, keysOnly: true } },
    ];
  }

  /** What was found by `look`. */
  attendanceIn({ revision, replies }: TxnReply, token: bigint): Attendance {
    const [round, arrivals, parties, own] = replies;
    const [kv] = round?.kvs ?? [];
    return {
      revision,
      record: kv && this.recordIn(kv),
      joined: Number(arrivals?.kvs[0]?.version ?? 0n),
      present: parties?.count ?? 0,
      isIn: own?.kvs[0]?.createRevision === token,
    };
  }

  /** What the key says. */
  recordIn({ value }: KeyValue): RoundRecord {
    return codec.decode(value);
  }

  /** Opens it if there is none, nor a later one. */
  get opening(): Txn {
    const later = { key: this.key, end: prefixEnd(this.#all) };
    return { compare: [{ ...later, target: 'create', to: 0n }], success: [this.#beginning] };
  }

  /** Ends it on conditions, if that is still to be done; opens the next one, and forgets the earlier ones once nobody is in them. */
  end(ending: Ending, conditions: readonly Compare[] = [], others: readonly Operation[] = []): Txn {
    const value = codec.encode({ count: this.count, ...ending });
    const earlier = { key: this.#all, end: this.#folder };
    return {
      compare: [this.isOpen, ...conditions],
      success: [
        { put: { key: this.key, value } },
        { delete: { key: this.#arrivals } },
        this.next.#beginning,
        // The keys of parties hang on leases, those of rounds do not.
        {
          txn: {
            compare: [{ ...earlier, target: 'lease', to: 0n }],
            success: [{ delete: earlier }],
          },
        },
        ...others,
      ],
    };
  }

  /** What it is like, by keys of the barrier. */
  stateIn(keys: readonly KeyValue[]): RoundState {
    const folder = keyId(this.parties);
    const find = (name: string): KeyValue | undefined =>
      keys.find(({ key }) => keyId(key) === keyId(name));
    const round = find(this.key);
    return {
      record: round && this.recordIn(round),
      joined: Number(find(this.#arrivals)?.version ?? 0n),
      parties: keys.filter(({ key }) => keyId(key).startsWith(folder)),
    };
  }

  get #beginning(): Operation {
    return { put: { key: this.key, value: this.#open } };
  }

  get #open(): string {
    return JSON.stringify({ count: this.count });
  }
}

/** Whether a round is tripped or broken. */
export function isOver({ tripped, broken }: RoundRecord): boolean {
  return (tripped ?? broken) !== undefined;
}

/** Opens or ends a round, which takes effect once, whoever does it: until there is an answer. */
export async function commitTurn(
  { store, clock }: Session,
  txn: Txn,
  signal: AbortSignal,
): Promise<void> {
  await persist((limit) => store.commit(txn, { ...limit, idempotent: true }), signal, clock);
}
