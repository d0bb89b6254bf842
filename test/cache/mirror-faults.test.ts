import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { prefixRange } from '../../src/core/store/keys.js';
import type { Coordinator, Mirror, MirrorStep, Operation, Store } from '../../src/index.js';
import { waitFor } from '../../src/testing/wait-for.js';
import { compact, useEtcd } from '../support/etcd.js';
import { noAnswer, override } from '../support/override.js';
import { randomFrom } from '../support/random.js';

/** How often something goes wrong: a long run has some hundreds. */
const rounds = Number(process.env['MIRROR_ROUNDS'] ?? 12);
const etcd = useEtcd();

type State = ReadonlyMap<string, number>;

/** Changes keys at random, and knows what there was at each revision. */
class Writer {
  readonly states: { readonly revision: bigint; readonly at: number; readonly state: State }[] = [];
  readonly #prefix: string;
  readonly #random: () => number;
  #state: State = new Map();
  #count = 0;

  constructor(prefix: string, random: () => number) {
    this.#prefix = prefix;
    this.#random = random;
    etcd.defer(() => etcd.admin.commit({ success: [{ delete: prefixRange(prefix) }] }));
  }

  /** One transaction after the other, each of several keys. */
  async write(times: number): Promise<bigint> {
    let last = 0n;
    for (let i = 0; i < times; i += 1) {
      const names = Array.from(
        { length: 1 + this.#random() * 3 },
        () => `${this.#prefix}${Math.floor(this.#random() * 30)}`,
      );
      const state = new Map(this.#state);
      const success = [...new Set(names)].map((key): Operation => {
        this.#count += 1;
        if (this.#random() < 0.6) {
          state.set(key, this.#count);
          return { put: { key, value: String(this.#count) } };
        }
        state.delete(key);
        return { delete: { key } };
      });
      const { revision } = await etcd.admin.commit({ success });
      this.#state = state;
      this.states.push({ revision, at: performance.now(), state });
      last = revision;
    }
    return last;
  }

  /** What there was at a revision. */
  at(revision: bigint): State {
    return this.states.findLast((each) => each.revision <= revision)?.state ?? new Map();
  }

  /** The last revision that was there before some time. */
  before(time: number): bigint {
    return this.states.findLast(({ at }) => at <= time)?.revision ?? 0n;
  }
}

const shown = (mirror: Mirror<number>): State =>
  new Map([...mirror].map(({ key, value }) => [key, value]));
const textOf = (state: State): string =>
  [...state]
    .map(([key, value]) => `${key}=${value}`)
    .toSorted()
    .join(' ');

/** Writes down every state that a mirror shows, and that a loop over it comes to. */
class Observer {
  readonly seen: { readonly by: string; readonly revision: bigint; readonly state: State }[] = [];
  readonly errors: unknown[] = [];
  readonly origins: string[] = [];
  readonly mirror: Mirror<number>;

  constructor(mirror: Mirror<number>, pause: number) {
    this.mirror = mirror;
    mirror.on('error', (error) => this.errors.push(error));
    for (const event of ['added', 'changed', 'removed', 'synced'] as const) {
      mirror.on(event, () =>
        this.seen.push({ by: event, revision: mirror.revision, state: shown(mirror) }),
      );
    }
    void this.#loop(pause);
  }

  async #loop(pause: number): Promise<void> {
    const state = new Map<string, number>();
    try {
      for await (const step of this.mirror.watch()) {
        this.#apply(step, state);
        this.seen.push({ by: 'loop', revision: step.revision, state: new Map(state) });
        if (pause > 0) await delay(pause);
      }
    } catch (error) {
      if (this.mirror.state !== 'closed') this.errors.push(error);
    }
  }

  #apply({ changes, origin }: MirrorStep<number>, state: Map<string, number>): void {
    if (origin) this.origins.push(origin);
    for (const { key, entry, previous } of changes) {
      if (state.get(key) !== previous?.value) this.errors.push(`${key} was ${state.get(key)}`);
      if (entry) state.set(key, entry.value);
      else state.delete(key);
    }
  }
}

/** Every third read gets no answer, before or after it was made. */
const losing =
  (random: () => number) =>
  (store: Store): Store =>
    override(store, {
      read: async (...args) => {
        if (random() < 0.2) throw noAnswer();
        const reply = await store.read(...args);
        if (random() < 0.2) throw noAnswer();
        return reply;
      },
    });

/** Everything that is shown is a state that there was, and nothing is older than its mirror says. */
async function mirrorsEqualTheStore(
  coordinator: Coordinator,
  trouble: (round: number, writer: Writer) => Promise<void>,
  random: () => number,
): Promise<readonly Observer[]> {
  const prefix = `${etcd.name()}/`;
  const writer = new Writer(prefix, random);
  await writer.write(10);
  const range = prefixRange(prefix);
  const observers = [0, 15].map(
    (pause) => new Observer(coordinator.mirror<number>(range, { staleAfter: 600 }), pause),
  );
  await Promise.all(observers.map(({ mirror }) => mirror.ready()));
  let behind = 0;
  const sample = setInterval(() => {
    for (const { mirror } of observers) {
      const promised = writer.before(performance.now() - mirror.staleness);
      if (mirror.revision < promised) behind += 1;
    }
  }, 3);
  try {
    for (let round = 0; round < rounds; round += 1) {
      await writer.write(3);
      await trouble(round, writer);
      const revision = await writer.write(2);
      for (const { mirror } of observers) {
        await mirror.waitForRevision(revision, { timeout: 20_000 });
        expect(textOf(shown(mirror))).toBe(textOf(writer.at(revision)));
      }
      const { kvs } = await etcd.admin.read(range);
      expect(kvs.map(({ key }) => key.toString())).toEqual(observers[0]?.mirror.keys());
    }
    await waitFor(() => observers.every(({ mirror }) => mirror.state === 'current'));
  } finally {
    clearInterval(sample);
  }
  expect(behind).toBe(0);
  for (const { seen, errors } of observers) {
    const wrong = seen.filter(
      ({ revision, state }) => textOf(writer.at(revision)) !== textOf(state),
    );
    expect(wrong).toEqual([]);
    expect(errors).toEqual([]);
    expect(seen.length).toBeGreaterThan(rounds);
  }
  return observers;
}

it('equals the store at every revision while connections are cut, fall silent, and history is compacted', {
  timeout: 60_000 + rounds * 4_000,
}, async () => {
  const proxy = await etcd.startProxy();
  const coordinator = await etcd.connect({ endpoints: [proxy.endpoint], attemptTimeout: 300 });
  const trouble = async (round: number, writer: Writer): Promise<void> => {
    if (round % 6 === 5) proxy.blackhole();
    else proxy.cut();
    await writer.write(3);
    if (round % 3 === 0) await compact(etcd.endpoint, etcd.admin);
    if (round % 6 === 5) await delay(700);
    proxy.heal();
  };
  const observers = await mirrorsEqualTheStore(coordinator, trouble, randomFrom(7));
  await proxy.close();
  for (const { mirror } of observers) {
    await waitFor(() => mirror.state === 'stale');
    expect(mirror.size).toBeGreaterThan(0);
  }
});

it('equals the store at every revision while many reads get no answer', async () => {
  const random = randomFrom(11);
  const coordinator = await etcd.connect({}, losing(random));
  await mirrorsEqualTheStore(
    coordinator,
    async (_, writer) => void (await writer.write(5)),
    random,
  );
});

it('is told of what has changed when etcd has forgotten how', async () => {
  const prefix = `${etcd.name()}/`;
  const [proxy, lines]: [Awaited<ReturnType<typeof etcd.startProxy>>, string[]] = [
    await etcd.startProxy(),
    [],
  ];
  etcd.defer(() => etcd.admin.commit({ success: [{ delete: prefixRange(prefix) }] }));
  const write = (success: readonly Operation[]): Promise<unknown> => etcd.admin.commit({ success });
  const put = (name: string, value: number): Operation => ({
    put: { key: prefix + name, value: String(value) },
  });
  await write([put('same', 1), put('gone', 1), put('changed', 1), put('again', 1)]);
  const coordinator = await etcd.connect({ endpoints: [proxy.endpoint], attemptTimeout: 300 });
  const mirror = coordinator.mirror<number>(prefixRange(prefix));
  await mirror.ready();
  const name = (key: string): string => key.slice(prefix.length);
  mirror
    .on('added', ({ key, value }) => lines.push(`added ${name(key)} ${value}`))
    .on('changed', ({ key, value }, { value: before }) =>
      lines.push(`changed ${name(key)} ${before} ${value}`),
    )
    .on('removed', ({ key, value }) => lines.push(`removed ${name(key)} ${value}`))
    .on('synced', () => lines.push('synced'));
  proxy.blackhole();
  proxy.cut();
  const remove = ['gone', 'again'].map((key): Operation => ({ delete: { key: prefix + key } }));
  await write(remove);
  await write([put('changed', 2), put('again', 2), put('new', 1)]);
  await write([put('changed', 3)]);
  await compact(etcd.endpoint, etcd.admin);
  proxy.heal();
  await waitFor(() => lines.includes('synced'), { timeout: 20_000 });
  expect(lines.slice(0, -1).toSorted()).toEqual([
    'added new 1',
    'changed again 1 2',
    'changed changed 1 3',
    'removed gone 1',
  ]);
  expect(lines.at(-1)).toBe('synced');
});
