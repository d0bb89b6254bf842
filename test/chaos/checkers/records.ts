import type { Change } from '../history.js';

/** The queue of which the log tells all: its jobs are ended by nothing but that their records go. */
export const BATCHES = 'batches';

const RECORD = new RegExp(`^queue/${BATCHES}/(?:ready|delayed)/[^!]+$`);
const CLAIM = new RegExp(`^(queue/${BATCHES}/ready/[^!]+)!c/`);
const DEAD = new RegExp(`^queue/${BATCHES}/dead/`);

/** The end of a job. */
export interface End {
  readonly value: string;
  readonly rev: number;
  /** The token of who had it then; 0 if nobody had. */
  readonly by: number;
  readonly how: 'done' | 'dead';
}

/** By revision and value: what a step does with a job is told by several changes, which have both in common. */
export type Ends = Map<string, End>;

/** Is told of a job that is given to somebody while another has it. */
type OnTwo = (value: string, tokens: readonly number[]) => void;

export function isRecord(key: string): boolean {
  return RECORD.test(key);
}

export function isClaim(key: string): boolean {
  return CLAIM.test(key);
}

/** What was put, as a record has it: after its header. */
export function valueIn(record: string): string {
  return JSON.parse(record.slice(record.indexOf('\n') + 1)) as string;
}

/** What an end is called among others. */
function endOf(rev: number, value: string): string {
  return `${rev} ${value}`;
}

/** What etcd's own log tells of jobs: one whose record goes, and is not written anew by the same step, has come to its end. */
export class Records {
  readonly #values = new Map<string, string>();
  /** Who has the job of a record. */
  readonly #claims = new Map<string, { readonly key: string; readonly token: number }>();

  /** Which jobs came to their end. Changes of one revision are to come together, as etcd tells them. */
  see(changes: readonly Change[], onTwo: OnTwo): Ends {
    const ends: Ends = new Map();
    for (const change of changes) {
      const key = change[2];
      const record = CLAIM.exec(key)?.[1];
      if (record !== undefined) this.#claim(record, change, onTwo);
      else if (RECORD.test(key) || DEAD.test(key)) this.#record(change, ends);
    }
    return ends;
  }

  #claim(record: string, [token, type, key]: Change, onTwo: OnTwo): void {
    const before = this.#claims.get(record);
    if (type === 'put') {
      if (before) onTwo(this.#values.get(record) ?? '', [before.token, token]);
      this.#claims.set(record, { key, token });
    } else if (before?.key === key) this.#claims.delete(record);
  }

  #record([rev, type, key, text]: Change, ends: Ends): void {
    if (type === 'delete') {
      const value = this.#values.get(key);
      this.#values.delete(key);
      // What goes with a record goes after it.
      const by = this.#claims.get(key)?.token ?? 0;
      if (value !== undefined) ends.set(endOf(rev, value), { value, rev, by, how: 'done' });
      return;
    }
    const value = valueIn(text);
    const id = endOf(rev, value);
    const end = ends.get(id);
    if (DEAD.test(key)) ends.set(id, { value, rev, by: end?.by ?? 0, how: 'dead' });
    else {
      this.#values.set(key, value);
      ends.delete(id);
    }
  }
}
