import type { Entry } from '../history.js';
import { Checker } from './checker.js';

/**
 * Sequences: no number is given twice; they grow for each process, and where they are taken one by one for all.
 */
export class Numbers extends Checker {
  readonly name = 'numbers';
  readonly #given = new Map<string, Map<number, string>>();
  readonly #newest = new Map<string, number>();
  readonly #floors = new Map<string, number>();

  see({ t, f, e, p, i, key = '', after = 0 }: Entry): void {
    if (f !== 'number') return;
    const id = `${p}:${i}`;
    const whose = key === 'blocks' ? `${key} of ${p}` : key;
    const newest = this.#newest.get(whose) ?? 0;
    if (e === 'invoke') {
      this.#floors.set(id, newest);
      return;
    }
    const floor = this.#floors.get(id) ?? 0;
    this.#floors.delete(id);
    if (e !== 'ok') return;
    this.count(`of ${key}`);
    const given = this.#given.get(key) ?? new Map<number, string>();
    this.#given.set(key, given);
    const other = given.get(after);
    if (other) this.violation(t, `${id} was given ${after} of ${key}, as ${other} was`);
    given.set(after, id);
    if (after <= floor) {
      this.violation(t, `${id} was given ${after} of ${key}, and asked when ${floor} was given`);
    }
    this.#newest.set(whose, Math.max(newest, after));
  }
}
