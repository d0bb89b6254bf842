import { entryOf, type LineEntry } from '../core/line/line.js';
import { fieldsIn } from '../core/line/ticket.js';
import { type KeyRange, prefixRange } from '../core/store/keys.js';
import type { Compare, KeyValue, Operation } from '../core/store/store.js';

/** Somebody who leads, or stands for it. */
export interface ElectionEntry extends LineEntry {
  /** By which a term is transferred to them: their own choice, or the last part of their key. */
  readonly id: string;
  /** Larger ones come first. */
  readonly priority: number;
  /** What they have to say. */
  readonly value: string;
}

/** Who leads and who stands. */
export interface ElectionState {
  /** `undefined` in a vacancy. */
  readonly leader: ElectionEntry | undefined;
  /** In the order in which they would lead. */
  readonly candidates: readonly ElectionEntry[];
}

/** What a candidate's key says, besides who put it. */
export type Papers = Partial<Pick<ElectionEntry, 'id' | 'priority' | 'value'>>;

/** Where an election keeps its keys. */
export interface ElectionFolders {
  readonly all: KeyRange;
  /** A key for each who stands or leads; ends with a slash. */
  readonly candidates: string;
  /** At most one key, of who leads, with the name of its candidate's; ends with a slash. */
  readonly terms: string;
}

/** The folders of an election in `folder`. */
export function foldersIn(folder: string): ElectionFolders {
  return {
    all: prefixRange(folder),
    candidates: `${folder}candidates/`,
    terms: `${folder}terms/`,
  };
}

/** Who stands and who leads, kept up to date by what a watch tells. */
export class Roll {
  readonly #folders: ElectionFolders;
  readonly #terms = new Map<string, KeyValue>();
  readonly #candidates = new Map<string, KeyValue>();
  #ranked: readonly KeyValue[] | undefined;

  constructor(folders: ElectionFolders, kvs: readonly KeyValue[] = []) {
    this.#folders = folders;
    for (const kv of kvs) this.apply('put', kv);
  }

  /** The key of the term, while somebody leads. */
  get term(): KeyValue | undefined {
    const [term] = this.#terms.values();
    return term;
  }

  /** The key of a candidate, by its last part. */
  candidate(name: string): KeyValue | undefined {
    return this.#candidates.get(name);
  }

  /** Those who stand and do not lead, in the order in which they would: by priority, then by age. */
  get ranked(): readonly KeyValue[] {
    this.#ranked ??= this.#rank();
    return this.#ranked;
  }

  apply(type: 'put' | 'delete', kv: KeyValue): void {
    const key = kv.key.toString();
    const isTerm = key.startsWith(this.#folders.terms);
    const keys = isTerm ? this.#terms : this.#candidates;
    if (type === 'put') keys.set(lastPartOf(key), kv);
    else keys.delete(lastPartOf(key));
    this.#ranked = undefined;
  }

  #rank(): readonly KeyValue[] {
    const priorityOf = new Map<KeyValue, number>();
    for (const [name, kv] of this.#candidates) {
      // What has no lease was put by no candidate: appointed, it would lead for ever.
      if (kv.lease > 0n && !this.#terms.has(name)) priorityOf.set(kv, electionEntryOf(kv).priority);
    }
    return [...priorityOf.keys()].toSorted(
      (a, b) =>
        (priorityOf.get(b) ?? 0) - (priorityOf.get(a) ?? 0) ||
        Number(a.createRevision - b.createRevision),
    );
  }
}

/** The condition that nobody leads. */
export function isVacant({ terms }: ElectionFolders): Compare {
  return { ...prefixRange(terms), target: 'create', to: 0n };
}

/** The condition that nobody has come to stand after a revision. */
export function nobodyCame({ candidates }: ElectionFolders, since: bigint): Compare {
  return { ...prefixRange(candidates), target: 'mod', is: '<', to: since + 1n };
}

/** Has the first of these candidates lead who still stands; does something else if none does. */
export function appoint(
  folders: ElectionFolders,
  [heir, ...others]: readonly KeyValue[],
  otherwise: Operation[] = [],
): Operation[] {
  if (!heir) return otherwise;
  const { key, createRevision, value, lease } = heir;
  const put = { key: folders.terms + lastPartOf(key.toString()), value, lease };
  return [
    {
      txn: {
        compare: [{ key, target: 'create', to: createRevision }],
        success: [{ put }],
        failure: appoint(folders, others, otherwise),
      },
    },
  ];
}

/** What the key of a candidate or leader tells. Whatever somebody else may have put there has no priority. */
export function electionEntryOf(kv: KeyValue): ElectionEntry {
  const { id, priority, value } = fieldsIn(kv.value);
  const entry = entryOf(kv);
  return {
    ...entry,
    id: typeof id === 'string' ? id : lastPartOf(entry.key),
    priority: typeof priority === 'number' ? priority : 0,
    value: typeof value === 'string' ? value : '',
  };
}

/** The part of a key behind its last slash. */
export function lastPartOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1);
}
