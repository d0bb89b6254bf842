import type { Entry } from '../history.js';
import { Checker } from './checker.js';

/**
 * A store that refuses older tokens: what it accepts has tokens that never decrease, and each write follows from the
 * one before it, so that no acknowledged update is lost. The same without tokens is the control: that updates get lost
 * there shows what the tokens are good for.
 */
export class FencedStore extends Checker {
  readonly name = 'fenced store';
  readonly #last: Record<string, { value: string; token: number }> = {};
  readonly #signalled = new Map<string, boolean>();

  see({ t, f, e, p, kind = '', token = 0, base, op = '', value, accepted, lost }: Entry): void {
    if (f === 'vault' && e === 'invoke') this.#signalled.set(value ?? '', lost !== null);
    if (f !== 'verdict') return;
    const signalled = this.#signalled.get(op);
    this.#signalled.delete(op);
    const last = (this.#last[kind] ??= { value: '', token: 0 });
    const fenced = kind === 'fenced';
    if (!accepted) {
      this.count('stale writes refused');
      this.count(`stale writes ${signalled ? 'after' : 'before'} the loss was signalled`);
      return;
    }
    this.count(`${kind} updates`);
    if (token < last.token) {
      this.count(`${kind} stale writes accepted`);
      if (fenced) {
        this.violation(t, `${p} accepted ${op} with token ${token} after ${last.token}`);
      }
    }
    if (base !== last.value) {
      this.count(`${kind} updates lost`);
      if (fenced) this.violation(t, `${op} follows from ${base}, and so undoes ${last.value}`);
    }
    last.value = op;
    last.token = Math.max(token, last.token);
  }
}
