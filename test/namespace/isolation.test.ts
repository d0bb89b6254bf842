import { expect, inject, it } from 'vitest';
import { makeStore } from '../../src/container.js';
import { keyId } from '../../src/core/store/keys.js';
import { abortable } from '../../src/core/time/signals.js';
import { type Coordinator, connect, Namespace, type Store } from '../../src/index.js';
import { compact, useEtcd } from '../support/etcd.js';
import { override } from '../support/override.js';
import { randomFrom } from '../support/random.js';
import { type Recipe, recipes } from './support/acts.js';
import { bytes, Hostile } from './support/hostile.js';
import { Twin } from './support/twin.js';

const etcd = useEtcd();

/** How many operations: fewer where each is slower, and all that is ours the same; `npm run soak` has more of them. */
const usual = inject('engine') === 'in-process' ? 10_000 : 2_000;
const operations = Number(process.env['NAMESPACE_OPERATIONS'] ?? usual);
const seed = Number(process.env['NAMESPACE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** The first ends where the second begins but for its last bytes; the third has no end. */
const prefixes = ['a\xff', 'b\0\xff', '\xff\xff\xff\xff'];
/** What is outside: the prefixes themselves, what they begin with, what is next to them, and where recipes are. */
const walls = [
  '\0',
  '\0\0',
  'a',
  'a\xfe\xff',
  'b',
  'b\0',
  'b\0\xfe\xff',
  'b\x01',
  'c',
  '\xfe\xff',
  'k'.repeat(4_096),

  '\xff',
  '\xff\xff',
  '\xff\xff\xff',
  '\xff\xff\xff\xfe',
  '\xff\xff\xff\xfe\xff',
  'r1',
  'r1/',
  'r2',
  'r2/x/y/',
  'r20',

  'mutex/a/1',
  'counter/a/value',
  'value/a/value',
  'gate/a/raised',
  'stm/a',
  'held/a/x',
  ...prefixes,
];
/** Keys that are used inside of each. */
const keys = [
  'a',
  'a/',
  'a/b',
  'a\0',
  '\0',
  '\0\0',
  '\x01',
  '\xff',
  '\xff\xff\xff\xff\xff\xff\xff\xff',
  '\xc3\x28',
  '\x80',
  '/',

  'k'.repeat(4_096),
  '\xff'.repeat(4_096),
  'mutex/a/1',
  '.etcd-recipes/once/1',
  ...prefixes,
  'a\xffa',
  'b\0',
  'b',
];
const names = [
  'a',
  'a/b',
  '%2F',
  'r1/',
  '\u00ff\u00ff',
  'caf\u00e9 \u{1f600}',
  'n'.repeat(1_000),
  '\0',
];

const nest = (store: Store, ...parts: readonly string[]): Store =>
  parts.reduce((outer, part) => new Namespace(outer, bytes(part)), store);
/** Through a store in between, of which the outer one does not know that it is a namespace. */
const stack = (store: Store, ...parts: readonly string[]): Store =>
  parts.reduce<Store>((outer, part) => new Namespace(override(outer, {}), bytes(part)), store);

/** Marks of commits that are applied once are of the whole etcd, and go within a minute. */
const isMark = (id: string): boolean => id.startsWith('.etcd-recipes/once/');
const isInside = (id: string): boolean =>
  [...prefixes, 'r1/', 'r2/x/y/'].some((prefix) => id.startsWith(prefix) && id !== prefix);

/** All that is outside, revisions and all. */
async function outside(store: Store): Promise<unknown> {
  const { kvs } = await store.read({ key: '\0', end: '\0' });
  return kvs
    .filter(({ key }) => !(isInside(keyId(key)) || isMark(keyId(key))))
    .map(({ key, ...rest }) => ({ key: keyId(key), rest }));
}

async function result(
  recipe: Recipe,
  place: Coordinator,
  name: string,
  number: number,
): Promise<unknown> {
  try {
    return await abortable(recipe({ place, name, number }), AbortSignal.timeout(60_000));
  } catch (error) {
    return [String(error)];
  }
}

it(`tenants of one etcd never meet, and what they do is as on an etcd of their own: ${operations} operations, seed ${seed}`, {
  timeout: 180_000 + operations * 60,
}, async () => {
  const own = await Promise.all(Array.from({ length: 6 }, () => etcd.startOwn()));
  const [shared = '', ...others] = own;
  const admin = etcd.open({ endpoints: [shared] });
  const stores = others.map((endpoint) => etcd.open({ endpoints: [endpoint] }));
  for (const key of walls.map(bytes)) {
    await admin.commit({ success: [{ put: { key, value: `wall ${keyId(key).slice(0, 9)}` } }] });
  }
  const before = await outside(admin);
  const strays: string[] = [];
  const events = (changes: readonly { readonly kv: { readonly key: Buffer } }[]): void => {
    const ids = changes.map(({ kv }) => keyId(kv.key));
    strays.push(...ids.filter((id) => !(isInside(id) || isMark(id))));
  };
  const guard = admin.watch({ key: '\0', end: '\0' }, { events, gap: () => {}, closed: () => {} });
  await guard.ready;

  const full = makeStore({ endpoints: [shared] });
  etcd.defer(() => full.close());
  const insides = [
    new Namespace(full, bytes(prefixes[0] as string)),
    nest(full, 'b', '\0', '\xff'),
    stack(etcd.open({ endpoints: [shared] }), '\xff', '\xff\xff', '\xff'),
  ];
  const twins = insides.map((inside, index) => {
    const leases = Array.from({ length: 4 }, (_, lease) => BigInt(1_000 * (index + 1) + lease));
    const hostile = new Hostile(randomFrom(seed + index), keys.map(bytes), leases);
    return new Twin(inside, stores[index] as Store, hostile);
  });

  const root = await connect({ endpoints: [shared] });
  const roots = await Promise.all(
    others.slice(3).map((endpoint) => connect({ endpoints: [endpoint] })),
  );
  const all = Object.entries(recipes);
  const places = [root.namespace('r1/'), root.namespace('r2/').namespace('x/').namespace('y/')];
  const use = async (index: number, random: Hostile): Promise<void> => {
    const [what, recipe] = random.oneOf(all);
    const [name, number] = [random.oneOf(names), random.below(100)];
    const both = [places[index], roots[index]] as [Coordinator, Coordinator];
    const [inside, alone] = await Promise.all(
      both.map((place) => result(recipe, place, name, number)),
    );
    expect(inside, `${what} of ${name.slice(0, 9)}, ${number}`).toEqual(alone);
  };

  const rounds = 10;
  const each = Math.ceil(operations / rounds / 100);
  let done = 0;
  const times = async (count: number, step: () => Promise<void>): Promise<void> => {
    for (let turn = 0; turn < count; turn += 1) {
      await step();
      done += 1;
    }
  };
  for (const twin of twins) await twin.check();
  for (let round = 0; round < rounds; round += 1) {
    await Promise.all([
      ...twins.map((twin) => times(Math.ceil(each * 32.5), () => twin.step())),
      ...places.map((_, index) => {
        const random = new Hostile(randomFrom(seed + 100 * round + index), [], []);
        return times(Math.ceil(each * 1.5), () => use(index, random));
      }),
    ]);
    for (const twin of twins) await twin.check();
    expect(strays).toEqual([]);
    if (round % 3 !== 2) continue;
    for (const twin of twins) twin.forget();
    await Promise.all(
      own
        .slice(0, 4)
        .map((endpoint, index) => compact(endpoint, [admin, ...stores][index] as Store)),
    );
  }
  for (const twin of twins) await twin.end();
  for (const coordinator of [...roots, root]) await coordinator.close();
  for (const store of [full, ...insides]) store.close();
  expect(strays).toEqual([]);
  expect(await outside(admin)).toEqual(before);
  expect(done).toBeGreaterThanOrEqual(operations);
});
