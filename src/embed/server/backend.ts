import { randomBytes } from 'node:crypto';
import type { Clock } from '../../core/time/clock.js';
import type { EtcdAutoCompaction } from '../shared-options.js';
import { type Access, unrestricted } from './auth/access.js';
import { AuthStore } from './auth/auth-store.js';
import { type AutoCompaction, autoCompaction } from './auto-compaction.js';
import { Kv } from './kv/kv.js';
import { Leases } from './lease/leases.js';
import { MvccStore } from './mvcc/store.js';
import { WatchStream } from './watch/watch-stream.js';
import { Watches } from './watch/watches.js';
import type { Init } from './wire/codec.js';
import type { ResponseHeader } from './wire/common.js';
import type { WatchResponse } from './wire/watch.js';

/** What etcd adds to the largest request it takes, for the largest message. */
const OVERHEAD = 512 * 1024;
const TERM = 2n;

/** Limits and times of a server. */
export interface BackendOptions {
  readonly clock: Clock;
  /** Milliseconds. */
  readonly minLeaseTtl: number;
  readonly maxTxnOps: number;
  readonly maxRequestBytes: number;
  /** Milliseconds. */
  readonly authTokenTtl: number;
  /** Milliseconds. */
  readonly watchProgressInterval: number;
  /** Without it history is kept. */
  readonly autoCompaction?: EtcdAutoCompaction;
}

/** An etcd without a way to reach it: the store, its leases, its watches, its users, and who it is. */
export class Backend {
  readonly store: MvccStore;
  readonly leases: Leases;
  readonly watches: Watches;
  readonly kv: Kv;
  readonly auth: AuthStore;
  readonly clock: Clock;
  readonly memberId: bigint = randomBytes(8).readBigUInt64LE() | 1n;
  readonly #clusterId: bigint = randomBytes(8).readBigUInt64LE() | 1n;
  readonly #options: BackendOptions;
  readonly #autoCompaction: AutoCompaction;

  constructor(options: BackendOptions) {
    const { clock, maxTxnOps, minLeaseTtl, authTokenTtl } = options;
    this.#options = options;
    this.clock = clock;
    this.store = new MvccStore((changes) => {
      this.leases.follow(changes);
      this.watches.publish(changes);
      this.#autoCompaction.changed();
    });
    this.#autoCompaction = autoCompaction(options.autoCompaction, this.store, clock);
    this.leases = new Leases(this.store, clock, { minTtl: minLeaseTtl });
    this.watches = new Watches(this.store);
    this.kv = new Kv(this.store, this.leases, maxTxnOps);
    this.auth = new AuthStore(clock, { tokenTtl: authTokenTtl });
  }

  get maxRequestBytes(): number {
    return this.#options.maxRequestBytes;
  }

  /** The largest message taken or, unless it cannot be split, given. */
  get maxMessageBytes(): number {
    return this.maxRequestBytes + OVERHEAD;
  }

  /** A whole header for a reply that may know its revision already. */
  header({ revision = this.store.revision }: Init<ResponseHeader> = {}): ResponseHeader {
    return { clusterId: this.#clusterId, memberId: this.memberId, revision, raftTerm: TERM };
  }

  /** The watches of one client; see `WatchStream`. */
  watchStream(
    send: (response: Init<WatchResponse>) => boolean,
    access: Access = unrestricted,
  ): WatchStream {
    const parts = {
      access,
      store: this.store,
      watches: this.watches,
      clock: this.clock,
      progressInterval: this.#options.watchProgressInterval,
      fragmentSize: this.maxMessageBytes,
    };
    return new WatchStream(parts, send);
  }

  /** Stops all timers. */
  close(): void {
    this.#autoCompaction.close();
    this.leases.close();
  }
}
