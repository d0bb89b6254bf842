import type { Lease } from '../session/lease.js';
import { type Data, keyId } from '../store/keys.js';
import type { Compare, KeyValue, RangeRequest, Store, TxnReply } from '../store/store.js';
import type { Lane, LineSpec } from './line-spec.js';
import { Place } from './place.js';
import { listed, View } from './view.js';

/** A place in one line, or in several at once. */
export class Contender extends Place {
  /** How much of a line's capacity it takes. */
  readonly weight: number;
  readonly #lanes: readonly Lane[];
  /** Those that were put, whatever is left of them. */
  readonly #joined: readonly [string, ...string[]];

  constructor(lease: Lease, store: Store, { lanes, weight = 1 }: LineSpec, value: Data) {
    super(lease, store, lanes.flatMap(foldersOf), value);
    this.#lanes = lanes;
    this.#joined = this.keys;
    this.weight = weight;
  }

  /** The keys with which one of the lines was joined. */
  keysIn(lane: Lane): readonly [string, ...string[]] {
    if (this.#lanes.length === 1) return this.#joined;
    const first = this.#lanes.slice(0, this.#lanes.indexOf(lane)).flatMap(foldersOf).length;
    return this.#joined.slice(first, first + foldersOf(lane).length) as [string, ...string[]];
  }

  /**
   * Puts our keys, and reads who was there before in the same transaction: a view of each line; `undefined` where that answer was
   * lost.
   */
  async join(signal: AbortSignal): Promise<View[] | undefined> {
    const reads = this.#reads();
    const { reply, ours } = await this.put([], reads, signal);
    if (reply.succeeded) {
      this.token = reply.revision;
      return this.#viewsOf(reply, reads);
    }
    // An earlier attempt was applied, and somebody deleted the key since.
    if (!ours) throw await this.lostPlace(signal);
    this.token = ours.createRevision;
    return undefined;
  }

  /**
   * Puts our keys if we are let in at once.
   *
   * @returns what is known of each line then; `undefined` if it was not our turn
   */
  async tryJoin(signal: AbortSignal): Promise<View[] | undefined> {
    for (let isSure = false; !isSure; ) {
      const open = await this.#whileOpen(signal);
      if (!open) break;
      const { reply, ours } = await this.put(open, [], signal);
      this.token = reply.succeeded ? reply.revision : (ours?.createRevision ?? 0n);
      if (this.token > 0n) return this.#lanes.map((lane) => firstView(lane, reply.revision));
      // Others came, but may have left room for us.
      isSure = this.#lanes.every(({ capacity }) => !capacity);
    }
    if (this.unanswered) this.withdraw();
    else this.giveBackKeys();
    return undefined;
  }

  /**
   * Reads who is before us, together with the proof that our keys are still ours.
   *
   * @throws HoldLostError if they are not, `SessionLostError` if the lease is gone.
   */
  async look(signal: AbortSignal): Promise<View[]> {
    const sent = this.lease.clock.now();
    const success = this.#reads(this.token);
    const reply = await this.commit({ compare: this.isOurs, success }, signal);
    this.seenAt = sent;
    if (!reply.succeeded) throw await this.lostPlace(signal);
    return this.#viewsOf(reply, success);
  }

  /** Conditions on which we are let in; none if we are not now. */
  async #whileOpen(signal: AbortSignal): Promise<Compare[] | undefined> {
    if (this.#lanes.every(({ capacity }) => !capacity)) return this.#lanes.map(isEmpty);
    const success = this.#reads();
    const reply = await this.commit({ success }, signal);
    if (!this.#viewsOf(reply, success).every((view) => view.lets(this.weight))) return undefined;
    // Whoever leaves meanwhile does no harm.
    const since = { target: 'mod', is: '<', to: reply.revision + 1n } as const;
    return this.#lanes.flatMap(({ rivals, capacity }) => [
      { ...rivals, ...since },
      ...(capacity ? [{ ...capacity.range, ...since }] : []),
    ]);
  }

  #reads(token?: bigint): readonly Read[] {
    const [lane, ...others] = this.#lanes as [Lane, ...Lane[]];
    const reads = readsOf(lane, token);
    return others.length === 0 ? reads : this.#lanes.flatMap((each) => readsOf(each, token));
  }

  #viewsOf({ revision, replies }: TxnReply, reads: readonly Read[]): View[] {
    let i = 0;
    const next = (): readonly KeyValue[] => replies[i++]?.kvs ?? [];
    return this.#lanes.map(({ barring, capacity, weigh = one }) => {
      const { limit = 0 } = (reads[i] as Read).range;
      const rivals = next();
      const [first] = rivals;
      const older = rivals.map(({ key }) => keyId(key));
      const bars = barring
        ? next()
            .filter((kv) => this.token === 0n || this.token >= barring.from(kv))
            .map(({ key }) => keyId(key))
        : [];
      if (capacity) capacity.now = Number(next()[0]?.value ?? capacity.now);
      return new View({
        revision,
        ahead: new Map([...older, ...bars].map((id) => [id, weigh(id)])),
        nearest: first && { id: keyId(first.key), token: first.createRevision },
        complete: older.length < limit,
        capacity: capacity?.now ?? 1,
      });
    });
  }
}

interface Read {
  readonly range: RangeRequest;
}

const one = (): number => 1;

function isEmpty({ rivals }: Lane): Compare {
  return { ...rivals, target: 'create', to: 0n };
}

/** What is known of a line by who was let in at once. */
function firstView({ capacity }: Lane, revision: bigint): View {
  // Those who are in already, where there is room for more, are not listed.
  const complete = capacity === undefined;
  return new View({ revision, ahead: new Map(), nearest: undefined, complete, capacity: 1 });
}

/** Where a contender puts a key each. */
export function foldersOf({ folder, also }: Lane): string[] {
  return also === undefined ? [folder] : [folder, also];
}

/** What those read who join a lane, which is the same for all of them until its capacity changes. */
const joining = new WeakMap<Lane, { readonly limit: number; readonly reads: readonly Read[] }>();

/** In the order in which `#viewsOf` takes their answers. */
function readsOf(lane: Lane, token: bigint | undefined): readonly Read[] {
  const limit = (lane.capacity?.now ?? 1) + listed;
  if (token !== undefined) return newReads(lane, limit, token);
  let known = joining.get(lane);
  if (known?.limit !== limit) {
    known = { limit, reads: newReads(lane, limit, token) };
    joining.set(lane, known);
  }
  return known.reads;
}

function newReads({ rivals, barring, capacity }: Lane, limit: number, token?: bigint): Read[] {
  const newest = {
    ...rivals,
    sortBy: 'create',
    order: 'descending',
    limit,
    keysOnly: true,
  } as const;
  const range = token === undefined ? newest : { ...newest, maxCreateRevision: token - 1n };
  const reads: Read[] = [{ range }];
  if (barring) reads.push({ range: barring.range });
  if (capacity) reads.push({ range: capacity.range });
  return reads;
}
