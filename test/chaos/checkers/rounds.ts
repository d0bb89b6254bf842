import type { Entry } from '../history.js';
import { PARTIES } from '../workloads/barriers.js';
import { Checker } from './checker.js';

/** Microseconds for which somebody who failed, or was killed, may be one of a round all the same. */
const LINGER = 15_000_000;
/** Of so many who came last it is known who was there. */
const KEPT = 1_000;

/** Folder of the barrier, number of the round, and what the key is. */
const ROUND = /^((?:cyclic|double)-barrier\/[^/]+)\/(\d+)\/(parties|round)/;

interface Wait {
  readonly from: number;
  readonly to: number;
}

/** Those who said that they went on with a round. */
interface Passed {
  readonly t: number;
  readonly indexes: Set<number>;
}

/** Which round was over when. */
interface Place {
  readonly barrier: string;
  readonly folder: string;
  readonly generation: number;
  readonly revision: number;
  readonly t: number;
}

/**
 * Barriers. By etcd's history a round is over once, either tripped, with as many parties as it waits for, all of whom were
 * there when the last of them came, or broken. By what parties saw, nobody goes on before as many have come, nor with a round
 * that he came too late for; one that broke lets nobody pass; and who has left a double barrier finds none of his round inside.
 */
export class Rounds extends Checker {
  readonly name = 'rounds';
  readonly #waiting = new Map<string, Wait>();
  #failed: Wait[] = [];
  readonly #passed = new Map<number, Passed>();
  readonly #broken = new Map<number, Entry>();
  readonly #entered: Entry[] = [];
  readonly #looked: Entry[] = [];
  /** Who went on, of those rounds that are over: by barrier. */
  readonly #rounds = new Map<string, Map<number, readonly number[] | undefined>>();
  /** Tokens by keys. */
  readonly #parties = new Map<string, number>();
  /** Who was there when somebody came, by round and token. */
  readonly #present = new Map<string, readonly number[]>();

  see(entry: Entry): void {
    const { f, e, lock } = entry;
    if (f === 'log') this.#logged(entry);
    else if (f === 'fault' && entry.kind === 'kill-worker' && e === 'info') this.#killed(entry);
    else if (f === 'await') this.#awaited(entry);
    else if (lock !== 'stage' || e !== 'ok') return;
    else if (f === 'enter') this.#entered.push(entry);
    else if (f === 'look') this.#looked.push(entry);
  }

  override end(): void {
    const circle = this.#of('cyclic-barrier/circle');
    for (const [generation, { t }] of this.#passed) {
      if (!circle.get(generation)) {
        this.violation(
          t,
          `round ${generation} of circle was passed, and is not tripped in the log`,
        );
      }
    }
    for (const [generation, { t, p, i }] of this.#broken) {
      if (circle.get(generation)) {
        this.violation(t, `round ${generation} of circle was broken to ${p}:${i}, and is tripped`);
      }
    }
    const rounds = new Map<number, readonly number[]>();
    for (const tripped of this.#of('double-barrier/stage').values()) {
      if (tripped) for (const token of tripped) rounds.set(token, tripped);
    }
    for (const { t, p, i, token = 0 } of this.#entered) {
      if (!rounds.has(token)) {
        this.violation(
          t,
          `${p}:${i} entered stage with token ${token}, of no round that is tripped`,
        );
      }
    }
    for (const { t, p, i, token = 0, tokens = [] } of this.#looked) {
      const others = rounds.get(token)?.filter((other) => tokens.includes(other)) ?? [];
      if (others.length === 0) continue;
      const inside = others.map((other) => `token ${other}`).join();
      this.violation(t, `${p}:${i} has left stage with token ${token}, and inside were ${inside}`);
    }
  }

  #awaited(entry: Entry): void {
    const { t, e, p, i, error = '' } = entry;
    const id = `${p}:${i}`;
    if (e === 'invoke') {
      this.#waiting.set(id, { from: t, to: Infinity });
      return;
    }
    const wait = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (e === 'ok') this.#went(entry, wait?.from ?? t);
    else if (wait) this.#failed.push({ ...wait, to: t });
    const [, broken] = /round (\d+) is broken/.exec(error) ?? [];
    if (!broken) return;
    this.#broken.set(Number(broken), entry);
    this.count('parties told of a break');
  }

  #went({ t, p, i, generation = 0, index = -1 }: Entry, from: number): void {
    const what = `${p}:${i} went on with round ${generation} of circle as ${index}`;
    const first = this.#passed.get(generation);
    const passed = first ?? { t, indexes: new Set() };
    this.#passed.set(generation, passed);
    this.count('parties that went on');
    if (from > passed.t) this.violation(t, `${what}, having come when others had gone on`);
    if (index < 0 || index >= PARTIES || passed.indexes.has(index)) {
      this.violation(t, `${what}, after ${[...passed.indexes].join()}`);
    }
    passed.indexes.add(index);
    if (first) return;
    this.#failed = this.#failed.filter(({ to }) => t - to < LINGER);
    const came = 1 + this.#waiting.size + this.#failed.length;
    if (came < PARTIES) this.violation(t, `${what}, when ${came} at most had come`);
  }

  #killed({ t, target }: Entry): void {
    for (const [id, wait] of this.#waiting) {
      if (!id.startsWith(`${target}:`)) continue;
      this.#waiting.delete(id);
      this.#failed.push({ ...wait, to: t });
    }
  }

  #logged({ t, changes = [] }: Entry): void {
    for (const [revision, type, key, value, , create] of changes) {
      const [, barrier = '', number = '', kind] = ROUND.exec(key) ?? [];
      const folder = `${barrier}/${number}/`;
      if (kind === 'parties') {
        if (type === 'put') this.#came(key, create, folder);
        else this.#parties.delete(key);
      } else if (kind === 'round' && type === 'put') {
        const { tripped, broken } = JSON.parse(value) as Record<string, string[] | undefined>;
        const place = { barrier, folder, generation: Number(number), revision, t };
        if (tripped ?? broken) this.#over(place, tripped?.map(Number));
      }
    }
  }

  #came(key: string, token: number, folder: string): void {
    this.#parties.set(key, token);
    const there = [...this.#parties].filter(([party]) => party.startsWith(folder));
    const tokens = there.map(([, each]) => each);
    // One process may come to two barriers in one step.
    this.#present.set(`${folder}${token}`, tokens);
    const [oldest = ''] = this.#present.keys();
    if (this.#present.size > KEPT) this.#present.delete(oldest);
  }

  /** @param tripped - who goes on; nobody where it is broken */
  #over(
    { t, revision, barrier, folder, generation }: Place,
    tripped: readonly number[] | undefined,
  ): void {
    const what = `round ${generation} of ${barrier} at revision ${revision}`;
    const rounds = this.#of(barrier);
    if (rounds.has(generation)) this.violation(t, `${what} was over before`);
    rounds.set(generation, tripped);
    this.count(`${barrier}: ${tripped ? 'tripped' : 'broken'}`);
    if (!tripped) return;
    const last = Math.max(...tripped);
    const present = this.#present.get(`${folder}${last}`);
    const there = new Set(present?.filter((token) => tripped.includes(token)));
    if (tripped.length === PARTIES && there.size === PARTIES) return;
    const who = tripped.map((token) => `token ${token}`).join();
    const found = [...there].join() || 'nobody';
    this.violation(t, `${what} tripped with ${who}, and when ${last} came there were ${found}`);
  }

  #of(barrier: string): Map<number, readonly number[] | undefined> {
    const rounds = this.#rounds.get(barrier) ?? new Map<number, readonly number[] | undefined>();
    this.#rounds.set(barrier, rounds);
    return rounds;
  }
}
