import type { Entry } from '../history.js';
import { Checker } from './checker.js';

const LOCK = 'mutex/list/';

/**
 * Lists written under the guard of a lock: by etcd's own history each version is the one before with one element
 * more, was written by whoever held the lock at that very revision, and every acknowledged element is there once.
 */
export class GuardedList extends Checker {
  readonly name = 'guarded list';
  readonly #lists = new Map<string, readonly string[]>();
  readonly #acknowledged = new Map<string, { value: string; t: number }[]>();
  readonly #appends = new Map<string, string>();
  /** Who is in the line, by key. */
  readonly #line = new Map<string, number>();
  #token = 0;

  see(entry: Entry): void {
    const { f, e, p, i, t, key = '', value } = entry;
    if (f === 'append') {
      const operation = `${p}:${i}`;
      if (e === 'invoke') this.#appends.set(operation, value ?? '');
      else {
        const element = this.#appends.get(operation) ?? '';
        this.#appends.delete(operation);
        this.count(`appends ${e}`);
        if (e !== 'ok') return;
        const list = this.#acknowledged.get(key) ?? [];
        list.push({ value: element, t });
        this.#acknowledged.set(key, list);
      }
    } else if (f === 'log') {
      for (const [revision, type, changed, text, , create] of entry.changes ?? []) {
        if (changed.startsWith(LOCK)) {
          if (type === 'put') this.#line.set(changed, create);
          else this.#line.delete(changed);
        } else if (changed.startsWith('list/') && type === 'put') {
          this.#written(t, revision, changed, text);
        }
      }
    }
  }

  override end(): void {
    for (const [key, elements] of this.#acknowledged) {
      const found = new Map<string, number>();
      for (const element of this.#lists.get(key) ?? []) {
        found.set(element, (found.get(element) ?? 0) + 1);
      }
      for (const { value, t } of elements) {
        const times = found.get(value) ?? 0;
        if (times !== 1) this.violation(t, `${value}, acknowledged, is in ${key} ${times} times`);
      }
    }
  }

  #written(t: number, revision: number, key: string, text: string): void {
    const [token = '', elements = ''] = text.split('|');
    const list = elements.split(',');
    const before = this.#lists.get(key) ?? [];
    this.#lists.set(key, list);
    const what = `at revision ${revision} ${list.at(-1)} of token ${token} was written to ${key}`;
    const follows = list.length === before.length + 1 && before.every((one, n) => one === list[n]);
    if (!follows) {
      const lost = before.filter((one) => !list.includes(one));
      this.violation(
        t,
        `${what}, which is not what was there before with one more; lost: ${lost.join()}`,
      );
    }
    if (Number(token) < this.#token) this.violation(t, `${what} after token ${this.#token}`);
    this.#token = Math.max(this.#token, Number(token));
    const holder = Math.min(...this.#line.values());
    if (holder !== Number(token)) this.violation(t, `${what}, while the holder was ${holder}`);
  }
}
