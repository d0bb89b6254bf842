import { type Presence, presenceIn, ticketOf } from '../core/line/ticket.js';
import type { Lease } from '../core/session/lease.js';
import type { Session } from '../core/session/session.js';
import { ArgumentError } from '../core/store/errors.js';
import { folderOf } from '../core/store/keys.js';
import { leaseIsGone } from '../core/store/refusals.js';
import type { CallOptions, Txn } from '../core/store/store.js';
import { type WaitOptions, waitScope } from '../core/time/signals.js';
import { until } from '../core/watch/until.js';

/** How a gate is raised. */
export interface RaiseOptions extends CallOptions {
  /** Whether it is lifted by itself when the session of who raised it is lost or closed. @defaultValue `false` */
  readonly bound?: boolean;
}

/** A gate as others see it. */
export interface GateState extends Presence {
  /** Whether everybody waits. */
  readonly raised: boolean;
}

/** A barrier across the way of all who `wait`: raised by anybody, and lifted by anybody. Nobody waits while it is not raised. */
export class Gate {
  /** The name under which processes meet. */
  readonly name: string;
  readonly #session: Session;
  readonly #key: string;

  /** @throws ArgumentError if the name is empty. */
  constructor(session: Session, name: string) {
    this.name = name;
    this.#session = session;
    this.#key = `${folderOf('gate', name)}raised`;
  }

  /**
   * Has everybody wait from now on. Says whether it was not raised before; if it was it stays as it is, bound or not.
   *
   * @throws ArgumentError if `bound` is not a boolean.
   * @throws UnavailableError if etcd did not answer in time; `outcome` says whether it may have been raised.
   * @throws the reason of `options.signal`; ClosedError if the session is closed.
   */
  async raise({ bound = false, ...options }: RaiseOptions = {}): Promise<boolean> {
    if (typeof bound !== 'boolean') throw new ArgumentError('bound', 'a boolean', bound);
    for (;;) {
      const lease = bound ? await this.#lease(options) : undefined;
      try {
        const value = ticketOf(this.#session.owner);
        return await this.#commit(
          {
            compare: [{ key: this.#key, target: 'create', to: 0n }],
            success: [{ put: { key: this.#key, value, lease: lease?.id ?? 0n } }],
          },
          options,
        );
      } catch (error) {
        if (!lease || !leaseIsGone(error)) throw error;
        // Then the session knows, and has another.
        await lease.ask();
      }
    }
  }

  /**
   * Lets everybody pass. Says whether it was raised.
   *
   * @throws UnavailableError if etcd did not answer in time; `outcome` says whether it may have been lifted.
   * @throws the reason of `options.signal`.
   */
  lift(options: CallOptions = {}): Promise<boolean> {
    const isThere = { key: this.#key, target: 'create', is: '>', to: 0n } as const;
    return this.#commit({ compare: [isThere], success: [{ delete: { key: this.#key } }] }, options);
  }

  /**
   * Waits while it is raised; returns at once if it is not.
   *
   * @throws WaitTimeoutError, or the reason of `wait.signal`; ClosedError if the session is closed.
   */
  async wait(wait: WaitOptions = {}): Promise<void> {
    const what = { recipe: 'gate', verb: 'wait', name: this.name, range: { key: this.#key } };
    await until(this.#session, what, (keys) => keys.length === 0 || undefined, wait);
  }

  /** Whether it is raised, since when and by whom. @throws UnavailableError if no endpoint answers. */
  async inspect(options: CallOptions = {}): Promise<GateState> {
    const { kvs } = await this.#session.store.read({ key: this.#key }, options);
    const [kv] = kvs;
    return { raised: kv !== undefined, ...presenceIn(kv?.value ?? Buffer.alloc(0)) };
  }

  async #commit(txn: Txn, options: CallOptions): Promise<boolean> {
    const reply = await this.#session.store.commit(txn, { ...options, exactlyOnce: true });
    return reply.succeeded;
  }

  async #lease(options: CallOptions): Promise<Lease> {
    const { closing, clock } = this.#session;
    const scope = waitScope(options, closing, clock, `gate ${this.name}`);
    try {
      return await this.#session.lastingLease(scope.signal);
    } finally {
      scope.dispose();
    }
  }
}
