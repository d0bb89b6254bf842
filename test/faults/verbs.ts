import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Coordinator,
  compare,
  type Hold,
  HoldLostError,
  op,
  prefixRange,
  SessionLostError,
  type Store,
} from '../../src/index.js';
import { waitFor } from '../../src/testing/index.js';
import { Log } from './log.js';
import { fateOf, Writes } from './writes.js';

/** What a client does under a fault. */
export const verbNames = [
  'read',
  'put',
  'txn',
  'stm',
  'watch',
  'session',
  'mutex wait',
  'mutex hold',
] as const;
export type VerbName = (typeof verbNames)[number];

/** What the verbs of one episode share. */
export interface Scene {
  /** The client under test. */
  readonly coordinator: Coordinator;
  /** Under it they keep their keys. */
  readonly prefix: string;
  /** Limit for each call, in milliseconds. */
  readonly timeout: number;
  /** Has the verbs end. */
  readonly stop: AbortSignal;
}

/** A verb that is being done over and over. */
export interface Running {
  readonly log: Log;
  /** Resolves when it has stopped. */
  readonly done: Promise<unknown>;
  /** Once all have stopped: what contradicts what etcd has. */
  readonly check: (store: Store) => Promise<string[]>;
}

/** Between two calls, in milliseconds. */
const pace = 20;

/** Does all verbs at the same time. */
export function runAll(scene: Scene): Record<VerbName, Running> {
  const counter = new Counter(scene);
  const puts = new Writes(`${scene.prefix}put/`);
  return {
    read: read(scene, counter),
    put: put(scene, puts),
    txn: counter.run(),
    stm: stm(scene),
    watch: watch(scene, puts.prefix),
    session: session(scene),
    'mutex wait': mutexWait(scene),
    'mutex hold': mutexHold(scene),
  };
}

async function repeat(stop: AbortSignal, step: () => Promise<unknown>): Promise<void> {
  while (!stop.aborted) {
    await step();
    await sleep(pace);
  }
}

const nothing = async (): Promise<string[]> => [];

function put({ coordinator, timeout, stop }: Scene, writes: Writes): Running {
  const log = new Log(timeout);
  const step = async (): Promise<void> => {
    const key = writes.next();
    const written = await log.run(
      () => coordinator.client.put(key, 'x', { timeout }),
      (error) => writes.settle(key, fateOf(error)),
    );
    if (written) writes.settle(key, written);
  };
  return { log, done: repeat(stop, step), check: (store) => writes.check(store) };
}

/** A key that one client alone counts up, by comparing and setting. */
class Counter {
  readonly key: string;
  /** What the last acknowledged write wrote. */
  acknowledged = 0;
  /** What the last write that was begun writes. */
  begun = 0;
  readonly #scene: Scene;
  readonly #wrong: string[] = [];
  #tries = 0;
  /** Values that may have been written, or may yet be. */
  readonly #open = new Set<string>();

  constructor(scene: Scene) {
    this.#scene = scene;
    this.key = `${scene.prefix}counter`;
  }

  run(): Running {
    const log = new Log(this.#scene.timeout);
    return {
      log,
      done: repeat(this.#scene.stop, () => this.#step(log)),
      check: (store) => this.#check(store),
    };
  }

  async #step(log: Log): Promise<void> {
    const { coordinator, timeout } = this.#scene;
    this.#tries += 1;
    const now = this.acknowledged;
    const value = `${now + 1} by ${this.#tries}`;
    this.begun = now + 1;
    const outcome = await log.run(
      () =>
        coordinator.client
          .txn()
          .if(compare(this.key).version('=', BigInt(now)))
          .success(op.put(this.key, value))
          .failure(op.get(this.key))
          .commit({ timeout }),
      (error) => {
        if (fateOf(error) === 'applied') this.acknowledged = now + 1;
        else if (fateOf(error) === 'unknown') this.#open.add(value);
      },
    );
    if (outcome === undefined) return;
    if (outcome.succeeded) {
      this.acknowledged = now + 1;
      return;
    }
    const [found] = outcome.failure;
    const seen = found?.value.toString() ?? '';
    if (!this.#open.has(seen)) this.#wrong.push(`"${value}" failed: the key has "${seen}"`);
    this.acknowledged = Number(found?.version ?? 0);
  }

  async #check(store: Store): Promise<string[]> {
    const { kvs } = await store.read({ key: this.key });
    const [kv] = kvs;
    const version = Number(kv?.version ?? 0);
    const text = kv?.value.toString() ?? '';
    const surplus = version - this.acknowledged;
    if (surplus < 0) this.#wrong.push(`${-surplus} acknowledged writes are lost`);
    if (surplus > 0 && !this.#open.has(text)) this.#wrong.push(`${surplus} writes too many`);
    if (kv && Number.parseInt(text, 10) !== version) {
      this.#wrong.push(`"${text}" is version ${version}`);
    }
    return this.#wrong;
  }
}

function read({ coordinator, timeout, stop }: Scene, counter: Counter): Running {
  const log = new Log(timeout);
  const wrong: string[] = [];
  const step = async (): Promise<void> => {
    const least = counter.acknowledged;
    let answered = false;
    const kv = await log.run(async () => {
      const found = await coordinator.client.get(counter.key, { timeout });
      answered = true;
      return found;
    });
    const version = Number(kv?.version ?? 0);
    if (!answered || (version >= least && version <= counter.begun)) return;
    wrong.push(`read ${version}, after ${least} was acknowledged and ${counter.begun} begun`);
  };
  return { log, done: repeat(stop, step), check: async () => wrong };
}

function stm({ coordinator, prefix, timeout, stop }: Scene): Running {
  const log = new Log(timeout);
  const key = `${prefix}stm`;
  const given: number[] = [];
  let applied = 0;
  let unknown = 0;
  const add = (): Promise<number> =>
    coordinator.client.stm(
      async (tx) => {
        const sum = Number((await tx.get(key)) ?? 0) + 1;
        tx.put(key, String(sum));
        return sum;
      },
      { timeout },
    );
  const step = async (): Promise<void> => {
    const sum = await log.run(add, (error) => {
      const fate = fateOf(error);
      if (fate === 'applied') applied += 1;
      if (fate === 'unknown') unknown += 1;
    });
    if (sum !== undefined) given.push(sum);
  };
  const check = async (store: Store): Promise<string[]> => {
    const { kvs } = await store.read({ key });
    const [sum, version] = [Number(kvs[0]?.value ?? 0), Number(kvs[0]?.version ?? 0)];
    const least = given.length + applied;
    const wrong: string[] = [];
    if (sum !== version) wrong.push(`${sum} is version ${version}`);
    if (sum < least) wrong.push(`${least - sum} acknowledged additions are lost`);
    if (sum > least + unknown) wrong.push(`${sum - least - unknown} additions too many`);
    if (given.some((n, i) => n <= (given[i - 1] ?? 0))) wrong.push('the same sum was given twice');
    return wrong;
  };
  return { log, done: repeat(stop, step), check };
}

function watch({ coordinator, stop }: Scene, prefix: string): Running {
  const log = new Log(Number.POSITIVE_INFINITY);
  const told: { key: string; revision: bigint; resync: boolean }[] = [];
  const watching = coordinator.client.watch(prefixRange(prefix), { initial: true });
  const follow = async (): Promise<void> => {
    try {
      for await (const { kv, origin } of watching) {
        log.succeeded();
        const resync = origin === 'resync';
        told.push({ key: kv.key.toString(), revision: kv.modRevision, resync });
      }
    } catch (error) {
      log.failed(error);
    }
  };
  const check = async (store: Store): Promise<string[]> => {
    const { kvs } = await store.read(prefixRange(prefix));
    const all = kvs.map(({ key }) => key.toString());
    const wrong: string[] = [];
    const isTold = (): boolean => new Set(told.map(({ key }) => key)).size >= all.length;
    await waitFor(isTold, { timeout: 5_000 }).catch(() => {});
    watching.close();
    const times = new Map<string, number>();
    for (const { key } of told) times.set(key, (times.get(key) ?? 0) + 1);
    const missing = all.filter((key) => !times.has(key));
    const twice = [...times].filter(([, n]) => n > 1).map(([key]) => key);
    if (missing.length > 0) wrong.push(`not told of ${missing.join(' ')}`);
    if (twice.length > 0) wrong.push(`told more than once of ${twice.join(' ')}`);
    const late = told.filter(({ revision }, i) => revision < (told[i - 1]?.revision ?? 0n));
    if (late.length > 0) wrong.push(`out of order: ${late.map(({ key }) => key).join(' ')}`);
    return wrong;
  };
  void follow();
  return { log, done: stopped(stop), check };
}

function stopped(stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    stop.addEventListener('abort', () => resolve(), { once: true });
  });
}

function session({ coordinator, stop }: Scene): Running {
  const log = new Log(Number.POSITIVE_INFINITY);
  const { session: own } = coordinator;
  own.on('lost', ({ reason }) => log.failed(new SessionLostError(reason)));
  own.on('reopened', () => log.succeeded());
  let before = 0;
  const look = async (): Promise<void> => {
    // A renewal is what makes it longer.
    const remaining = own.remaining();
    if (remaining > before) log.succeeded();
    before = remaining;
  };
  return { log, done: repeat(stop, look), check: nothing };
}

/** Three contenders that pass a lock around: one of them always waits. */
function mutexWait({ coordinator, prefix, timeout, stop }: Scene): Running {
  const log = new Log(timeout);
  const wrong: string[] = [];
  const mutex = coordinator.mutex(`${prefix}wait`);
  let last = 0n;
  let holder: Hold | undefined;
  const step = async (): Promise<void> => {
    const hold = await log.run(() => mutex.acquire({ timeout }));
    if (!hold) return;
    if (hold.token <= last) wrong.push(`token ${hold.token} was given after ${last}`);
    if (holder && !holder.lost) wrong.push(`${hold.token} was given while ${last} is held`);
    last = hold.token;
    holder = hold;
    await sleep(pace);
    if (holder === hold) holder = undefined;
    await hold.release().catch((error: unknown) => log.failed(error));
  };
  const contend = (): Promise<void> => repeat(stop, step);
  const done = Promise.all([contend(), contend(), contend()]);
  return { log, done, check: async () => wrong };
}

/** Holds a lock from beginning to end, writes under its guard, and takes it again when it is lost. */
function mutexHold({ coordinator, prefix, timeout, stop }: Scene): Running {
  const log = new Log(timeout);
  const writes = new Writes(`${prefix}hold/`);
  const mutex = coordinator.mutex(`${prefix}hold`);
  let hold: Hold | undefined;
  const step = async (): Promise<void> => {
    hold ??= await log.run(() => mutex.acquire({ timeout }));
    const held = hold;
    if (!held) return;
    const key = writes.next();
    const reply = await log.run(
      () => held.txn().put(key, String(held.token)).commit({ timeout }),
      (error) => {
        writes.settle(key, fateOf(error));
        if (error instanceof HoldLostError) hold = undefined;
      },
    );
    if (reply) writes.settle(key, reply);
  };
  const done = repeat(stop, step).then(async () => void (await hold?.release().catch(() => {})));
  return { log, done, check: (store) => writes.check(store) };
}
