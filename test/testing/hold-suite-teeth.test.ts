import { expect, it } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import type { Coordinator, Hold, Mutex, WaitOptions } from '../../src/index.js';
import { type HoldRecipe, holdSuite } from '../../src/testing/index.js';
import { rejection } from '../../src/testing/rejection.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();

/** What a broken recipe does otherwise. */
type Fault = (mutex: Mutex, coordinator: Coordinator) => Partial<HoldRecipe>;

/** A hold that does as `hold` does, but for what `changes` do instead. */
const altered = (hold: Hold, changes: object): Hold =>
  new Proxy(hold, {
    get: (target, property) => {
      if (property in changes) return Reflect.get(changes, property);
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
const holds =
  (change: (hold: Hold, coordinator: Coordinator) => object): Fault =>
  (mutex, coordinator) => ({
    acquire: async (wait) => {
      const hold = await mutex.acquire(wait);
      return altered(hold, change(hold, coordinator));
    },
  });

const faults: Record<string, readonly [caught: string, Fault]> = {
  'lets everybody in': [
    'a wait ends only after the holder has released',
    (_, coordinator) => ({
      acquire: (wait) => coordinator.mutex(`${Math.random()}`).acquire(wait),
    }),
  ],
  'lets in whoever asks at the right moment': [
    'waits end in the order of arrival, with increasing tokens, one at a time',
    (mutex) => ({
      acquire: async (wait: WaitOptions = {}) => {
        for (;;) {
          wait.signal?.throwIfAborted();
          const hold = await mutex.tryAcquire(wait);
          if (hold) return hold;
        }
      },
    }),
  ],
  'wraps the reason of a signal': [
    'a wait rejects with the reason of an aborted signal and leaves no key',
    (mutex) => ({
      acquire: async (wait) => {
        try {
          return await mutex.acquire(wait);
        } catch (cause) {
          throw new Error('gave up', { cause });
        }
      },
    }),
  ],
  'stays in line when it gives up': [
    'a wait rejects with the reason of an aborted signal and leaves no key',
    (mutex) => ({
      acquire: async ({ signal } = {}) => {
        const wait = mutex.acquire();
        wait.catch(() => {});
        if (!signal) return wait;
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        throw signal.reason;
      },
    }),
  ],
  'never succeeds in trying': [
    'a try gives a hold when nobody is there, and undefined otherwise',
    () => ({ tryAcquire: async () => undefined }),
  ],
  'releases what it has released': [
    'a hold is released once, however often it is asked',
    holds((hold) => {
      let times = 0;
      return { release: async () => (await hold.release()) && (times += 1) === 1 };
    }),
  ],
  'does not notice a loss': [
    'a hold is lost when somebody deletes its key, and its release says so',
    holds(() => ({ signal: new AbortController().signal })),
  ],
  'says that it was held, whatever happened': [
    'a hold says that it was lost when it is released before the news of its loss came',
    holds((hold) => ({ release: async () => (await hold.release()) || true })),
  ],
  'releases what others hold': [
    'a hold that is released late does not remove that of a later holder',
    holds((hold) => ({
      release: async () => {
        const folder = hold.key.slice(0, hold.key.lastIndexOf('/') + 1);
        const all = { key: folder, end: `${folder}\uffff` };
        return (await etcd.admin.commit({ success: [{ delete: all }] })).succeeded;
      },
    })),
  ],
  'writes whether it holds or not': [
    'a hold guards a transaction: it takes effect while held, and not after a loss',
    holds((_, { store }) => ({
      txn: () => ({
        put: (key: string, value: string) => ({
          commit: () => store.commit({ success: [{ put: { key, value } }] }),
        }),
      }),
    })),
  ],
};

it.each(Object.entries(faults))('catches a recipe that %s', async (_, [caught, fault]) => {
  const cases = holdSuite({
    admin: etcd.admin,
    timeout: 500,
    connect: () => etcd.connect(),
    folder: (name) => folderOf('mutex', name),
    make: (coordinator, name) => {
      const mutex = coordinator.mutex(name);
      const sound: HoldRecipe = {
        acquire: (wait) => mutex.acquire(wait),
        tryAcquire: (wait) => mutex.tryAcquire(wait),
      };
      return { ...sound, ...fault(mutex, coordinator) };
    },
  });
  const named = cases.find(({ name }) => name === caught);
  const error = await rejection(named?.run() ?? Promise.resolve());
  expect(String(error)).toMatch(/^(AssertionError|Error: waited in vain)/);
});
