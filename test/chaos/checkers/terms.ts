import type { Entry } from '../history.js';
import { Checker, Pauses } from './checker.js';
import { type Mark, markIn } from './line.js';

const LOCK = 'office';
const TERMS = `election/${LOCK}/terms/`;
/** Microseconds within which everybody is told of a leader, whatever fails. */
const NOTICE = 20_000_000;

/** Who leads from a revision on. */
interface State {
  readonly revision: number;
  /** 0 in a vacancy. */
  readonly token: number;
  readonly value: string | null;
  /** When it was logged. */
  readonly t: number;
}

interface Observer {
  readonly begun: number;
  readonly told: Entry[];
  /** Which state is to be told next. */
  position: number | undefined;
  /** The revision of what it told last as it happened. */
  last: number;
}

/**
 * Terms, in the order of etcd: one at a time, with tokens that grow; what is written under the guard of one has no effect before
 * it nor after it. Whoever watches is told of every leader, every value and every vacancy, in order and at its revision, but for
 * what was compacted.
 */
export class Terms extends Checker {
  readonly name = 'terms';
  /** The keys of terms that are there. */
  readonly #terms = new Map<string, { readonly token: number; readonly value: string | null }>();
  readonly #states: State[] = [{ revision: 0, token: 0, value: null, t: 0 }];
  readonly #observers = new Map<string, Observer>();
  readonly #pauses = new Pauses();
  #revision = 0;
  #compacted = 0;
  #highest = 0;

  see(entry: Entry): void {
    this.#pauses.see(entry);
    const { f, p, lock } = entry;
    if (f === 'log') this.#logged(entry);
    else if (f === 'fault' && entry.kind === 'compacted') {
      this.#compacted = Math.max(this.#compacted, entry.rev ?? 0);
    } else if (f === 'begin') this.#begun(entry);
    else if (f === 'died' || (f === 'fault' && entry.kind === 'kill-worker')) {
      this.#observers.delete(entry.target ?? '');
    } else if (lock === LOCK && f === 'told') {
      this.#observers.get(p)?.told.push(entry);
      this.#compare(p);
    } else if (lock === LOCK && f === 'untold') this.#ended(entry);
  }

  override end(): void {
    for (const [p, { told }] of this.#observers) {
      const [rest] = told;
      if (rest) this.violation(rest.t, `${p} was told of token ${rest.token}, not in the log`);
    }
  }

  #logged(entry: Entry): void {
    const { t, changes = [] } = entry;
    for (const [i, change] of changes.entries()) {
      const [revision, type, key, value, , create] = change;
      const mark = markIn(LOCK, change, entry);
      if (mark) this.#marked(mark);
      else if (key.startsWith(TERMS)) {
        if (type === 'put') this.#terms.set(key, { token: create, value: valueIn(value) });
        else this.#terms.delete(key);
      }
      // What happens in one step is looked at when it is complete.
      if (changes[i + 1]?.[0] !== revision) this.#changed(t, revision);
      this.#revision = revision;
    }
    for (const p of this.#observers.keys()) this.#compare(p);
  }

  #changed(t: number, revision: number): void {
    const [first, ...others] = this.#terms.values();
    if (others.length > 0) {
      const tokens = [...this.#terms.values()].map(({ token }) => `token ${token}`).join();
      this.violation(t, `at revision ${revision} there were several terms: ${tokens}`);
    }
    const { token, value } = first ?? { token: 0, value: null };
    const last = this.#states.at(-1) as State;
    if (last.token === token && last.value === value) return;
    if (token > this.#highest) this.count('terms');
    else if (token > 0 && token < this.#highest) {
      this.violation(t, `at revision ${revision} token ${token} came after ${this.#highest}`);
    }
    if (token === 0) this.count('vacancies');
    this.#highest = Math.max(this.#highest, token);
    this.#states.push({ revision, token, value, t });
  }

  #marked({ t, revision, token, by }: Mark): void {
    this.count('marks');
    const tokens = [...this.#terms.values()].map((term) => term.token);
    if (tokens.includes(token)) return;
    const now = tokens.length > 0 ? `in the term of token ${tokens.join()}` : 'while nobody led';
    this.violation(t, `${by} of token ${token} made a mark at revision ${revision}, ${now}`);
  }

  /** Compares what somebody was told with what the log has by now. */
  #compare(p: string): void {
    const observer = this.#observers.get(p);
    while ((observer?.told[0]?.rev ?? Infinity) <= this.#revision) {
      this.#told(observer as Observer, observer?.told.shift() as Entry);
    }
  }

  #told(observer: Observer, { t, p, rev = 0, token = 0, value = null, missed }: Entry): void {
    const { position, last } = observer;
    const what = `${p} was told of token ${token} (${value}) as of revision ${rev}`;
    this.count('changes told');
    const now = this.#states.findLastIndex(({ revision }) => revision <= rev);
    const state = this.#states[now] as State;
    if (state.token !== token || state.value !== value) {
      this.violation(t, `${what}, when it was token ${state.token} (${state.value})`);
    }
    if (position !== undefined && missed) {
      this.count('gaps told');
      if (this.#compacted < last) this.violation(t, `${what} after a gap, and nothing was missing`);
    } else if (position !== undefined && (position !== now || state.revision !== rev)) {
      const due = this.#states[position];
      this.violation(t, `${what}; next was token ${due?.token} at revision ${due?.revision}`);
    }
    // What was read to make a gap good may be newer than what the watch itself has come to, which may find another.
    if (position !== undefined && !missed) observer.last = rev;
    observer.position = now + 1;
  }

  #begun({ t, p }: Entry): void {
    this.#observers.set(p, { begun: t, told: [], position: undefined, last: 0 });
  }

  /** What is long past must have been told. */
  #ended({ t, p }: Entry): void {
    const observer = this.#observers.get(p);
    const { begun = 0, position = 0, told = [] } = observer ?? {};
    const due = told.length > 0 ? undefined : this.#states[position];
    if (!due) return;
    const since = Math.max(due.t, begun);
    const late = (t - since) / 1_000;
    if (t - since - this.#pauses.within(p, since, t) > NOTICE) {
      this.violation(t, `${p} was not told of token ${due.token} within ${late} ms`);
    }
  }
}

/** What a leader said, by what a key of a term has. */
function valueIn(text: string): string | null {
  return (JSON.parse(text) as { readonly value?: string }).value ?? null;
}
