// tsyringe asks for this first.
import 'reflect-metadata';
import {
  type DependencyContainer,
  type InjectionToken,
  instanceCachingFactory,
  container as root,
} from 'tsyringe';
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
  if (!container.isRegistered(CLOCK, true)) container.registerInstance(CLOCK, systemClock);
  const ownsStore = !container.isRegistered(STORE, true);
  if (ownsStore) {
    container.register(STORE, {
      useFactory: instanceCachingFactory((parts) => new Etcd3Store(options, parts.resolve(CLOCK))),
    });
  }
  const store = container.resolve(STORE);
  try {
    const session = await Session.open(store, options.session, container.resolve(CLOCK));
    container.registerInstance(SESSION, session);
    return { store, session, ownsStore };
  } catch (error) {
    if (ownsStore) store.close();
    throw error;
  }
}
