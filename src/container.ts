// tsyringe asks for this first.
import 'reflect-metadata';
import { type DependencyContainer, type InjectionToken, container as root } from 'tsyringe';
import { BatchingStore } from './core/commit/batching-store.js';
import { ExactlyOnceStore } from './core/commit/exactly-once-store.js';
import { Etcd3Store } from './core/etcd3/etcd3-store.js';
import type { Etcd3Options } from './core/etcd3/options.js';
import { Session, type SessionOptions } from './core/session/session.js';
import { ArgumentError } from './core/store/errors.js';
import type { Store } from './core/store/store.js';
import { type Clock, systemClock } from './core/time/clock.js';

/** Where time comes from. */
export const CLOCK: InjectionToken<Clock> = Symbol.for('etcd-recipes.clock');
/** The store that recipes run on; register your own to decorate or replace the connection to etcd. */
export const STORE: InjectionToken<Store> = Symbol.for('etcd-recipes.store');
/** The session that holds belong to. */
export const SESSION: InjectionToken<Session> = Symbol.for('etcd-recipes.session');

/** A container that has these parts, for `connect`. */
export function containerWith(parts: {
  readonly clock?: Clock;
  readonly store?: Store;
}): DependencyContainer {
  const container = root.createChildContainer();
  if (parts.clock) container.registerInstance(CLOCK, parts.clock);
  if (parts.store) container.registerInstance(STORE, parts.store);
  return container;
}

/** A container inside of another, in which `SESSION` and `STORE` are those of a part of what that one has. */
export function containerWithin(outer: DependencyContainer, session: Session): DependencyContainer {
  const container = outer.createChildContainer();
  container.registerInstance(STORE, session.store);
  container.registerInstance(SESSION, session);
  return container;
}

/** The stores made here, as opposed to those that users gave. */
const made = new WeakSet<Store>();

/** How the store is made. */
export interface StoreOptions extends Etcd3Options {
  /** Whether commits that wait at the same moment travel together: faster under load. @defaultValue `true` */
  readonly batching?: boolean;
}

/** The parts of a coordinator, put together. */
export interface Parts {
  readonly store: Store;
  readonly session: Session;
  /** Whether the store was made here, and is to be closed with the coordinator. */
  readonly ownsStore: boolean;
  /** The container that has them. */
  readonly container: DependencyContainer;
  /** How many operations a transaction may have; `undefined` for as many as etcd takes unless told otherwise. */
  readonly maxTxnOps: number | undefined;
}

/**
 * Puts the parts together: what `container` has registered is used, the rest is made. Afterwards
 * `STORE`, `SESSION` and `CLOCK` can be injected from `container` into classes of the user's own.
 *
 * @throws ArgumentError if an option is not usable.
 * @throws UnavailableError if no endpoint answers.
 */
export async function compose(
  options: StoreOptions & { readonly session?: SessionOptions; readonly signal?: AbortSignal },
  container: DependencyContainer = root.createChildContainer(),
): Promise<Parts> {
  const clock = container.isRegistered(CLOCK, true) ? container.resolve(CLOCK) : systemClock;
  const given = container.isRegistered(STORE, true) ? container.resolve(STORE) : undefined;
  // One that an earlier call made belongs to that coordinator, and ends with it.
  const store = given && !made.has(given) ? given : makeStore(options, clock);
  const ownsStore = store !== given;
  try {
    const { session: terms, signal } = options;
    const session = await Session.open(store, terms, clock, signal && { signal });
    if (ownsStore) made.add(store);
    container.registerInstance(CLOCK, clock);
    container.registerInstance(STORE, store);
    container.registerInstance(SESSION, session);
    return { store, session, ownsStore, container, maxTxnOps: options.maxTxnOps };
  } catch (error) {
    if (ownsStore) store.close();
    throw error;
  }
}

/** The store that coordinators run on unless another one is given. @throws ArgumentError if an option is not usable. */
export function makeStore(options: StoreOptions, clock: Clock = systemClock): Store {
  const { batching = true } = options;
  if (typeof batching !== 'boolean') throw new ArgumentError('batching', 'a boolean', batching);
  const store = new ExactlyOnceStore(new Etcd3Store(options, clock), options, clock);
  return batching ? new BatchingStore(store, options, clock) : store;
}
