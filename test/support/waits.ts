import type { Coordinator, Hold, WaitOptions } from '../../src/index.js';

/** Something that is held by one, so that the other waits. */
export interface Held {
  readonly acquire: (coordinator: Coordinator, name: string, wait?: WaitOptions) => Promise<Hold>;
  /** How somebody else holds it, where that is another thing. @defaultValue as `acquire` */
  readonly block?: (coordinator: Coordinator, name: string) => Promise<Hold>;
}

/** Everything that gives a hold to those who wait. */
export const held: Readonly<Record<string, Held>> = {
  mutex: { acquire: (coordinator, name, wait) => coordinator.mutex(name).acquire(wait) },
  'mutex in Go’s layout': {
    acquire: (coordinator, name, wait) => coordinator.mutex(name, { layout: 'go' }).acquire(wait),
  },
  'read side': {
    acquire: (coordinator, name, wait) => coordinator.readWriteLock(name).read.acquire(wait),
    block: (coordinator, name) => coordinator.readWriteLock(name).write.acquire(),
  },
  'upgradeable side': {
    acquire: (coordinator, name, wait) => coordinator.readWriteLock(name).upgradeable.acquire(wait),
  },
  'write side': {
    acquire: (coordinator, name, wait) => coordinator.readWriteLock(name).write.acquire(wait),
    block: (coordinator, name) => coordinator.readWriteLock(name).read.acquire(),
  },
  permits: {
    acquire: (coordinator, name, wait) =>
      coordinator.semaphore(name, { limit: 3 }).acquire({ ...wait, permits: 2 }),
  },
  'several mutexes': {
    acquire: (coordinator, name, wait) =>
      coordinator.multiLock([`${name} a`, `${name} b`]).acquire(wait),
    block: (coordinator, name) => coordinator.mutex(`${name} b`).acquire(),
  },
  term: { acquire: (coordinator, name, wait) => coordinator.election(name).campaign('x', wait) },
  'term in Go’s layout': {
    acquire: (coordinator, name, wait) =>
      coordinator.election(name, { layout: 'go' }).campaign('x', wait),
  },
};

/** Something that is waited for, and how somebody else lets it come about. */
export interface Awaited {
  /** Has the others wait; the function that it gives ends that. */
  block(coordinator: Coordinator, name: string): Promise<() => Promise<unknown>>;
  wait(coordinator: Coordinator, name: string, wait?: WaitOptions): Promise<unknown>;
  /** Whether who waits has a key of his own. */
  readonly bound: boolean;
}

const holds = Object.entries(held).map(
  ([what, { acquire, block = acquire }]): [string, Awaited] => [
    what,
    {
      async block(coordinator, name) {
        const hold = await block(coordinator, name);
        return () => hold.release();
      },
      wait: acquire,
      bound: true,
    },
  ],
);

/** Everything that is waited for. */
export const awaited: Readonly<Record<string, Awaited>> = {
  ...Object.fromEntries(holds),
  gate: {
    async block(coordinator, name) {
      await coordinator.gate(name).raise();
      return () => coordinator.gate(name).lift();
    },
    wait: (coordinator, name, wait) => coordinator.gate(name).wait(wait),
    bound: false,
  },
  latch: {
    block: (coordinator, name) =>
      Promise.resolve(() => coordinator.latch(name, 1).countDown('somebody')),
    wait: (coordinator, name, wait) => coordinator.latch(name, 1).wait(wait),
    bound: false,
  },
  'cyclic barrier': {
    block: (coordinator, name) => Promise.resolve(() => coordinator.cyclicBarrier(name, 2).wait()),
    wait: (coordinator, name, wait) => coordinator.cyclicBarrier(name, 2).wait(wait),
    bound: true,
  },
  'double barrier': {
    block: (coordinator, name) => Promise.resolve(() => coordinator.doubleBarrier(name, 2).enter()),
    wait: (coordinator, name, wait) => coordinator.doubleBarrier(name, 2).enter(wait),
    bound: true,
  },
};
