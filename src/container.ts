// tsyringe asks for this first.
import 'reflect-metadata';
import { type DependencyContainer, type InjectionToken, container as root } from 'tsyringe';
import { type Clock, systemClock } from './core/clock.js';
import type { Etcd3Options } from './core/etcd3-options.js';
import { Etcd3Store } from './core/etcd3-store.js';
import { Session, type SessionOptions } from './core/session.js';
import type { Store } from './core/store.js';

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

/** The stores made here, as opposed to those that users gave. */
const made = new WeakSet<Store>();

/** The parts of a coordinator, put together. */
export interface Parts {
  readonly store: Store;
  readonly session: Session;
  /** Whether the store was made here, and is to be closed with the coordinator. */
  readonly ownsStore: boolean;
}

/**
 * Puts the parts together: what `container` has registered is used, the rest is made. Afterwards
 * `STORE`, `SESSION` and `CLOCK` can be injected from `container` into classes of the user's own.
 *
 * @throws ArgumentError if an option is not usable.
 * @throws UnavailableError if no endpoint answers.
 */
export async function compose(
  options: Etcd3Options & { readonly session?: SessionOptions },
  container: DependencyContainer = root.createChildContainer(),
): Promise<Parts> {
  const clock = container.isRegistered(CLOCK, true) ? container.resolve(CLOCK) : systemClock;
  const given = container.isRegistered(STORE, true) ? container.resolve(STORE) : undefined;
  // One that an earlier call made belongs to that coordinator, and ends with it.
  const store = given && !made.has(given) ? given : new Etcd3Store(options, clock);
  const ownsStore = store !== given;
  try {
    const session = await Session.open(store, options.session, clock);
    if (ownsStore) made.add(store);
    container.registerInstance(CLOCK, clock);
    container.registerInstance(STORE, store);
    container.registerInstance(SESSION, session);
    return { store, session, ownsStore };
  } catch (error) {
    if (ownsStore) store.close();
    throw error;
  }
}
