import type { Compare, Operation, OperationReply } from '../store/store.js';

/**
 * Keeps writes that got no answer from taking effect later. A request may sit in a member that is stopped
 * or cut off, and be applied long after we went on without it: a key would appear that nobody waits for.
 * So every such write is made conditional on the version of one key of the session, and when one stays
 * without an answer that version is raised: what was sent before can then no longer be applied. The key
 * comes into being only when it is needed for the first time, and goes with the lease.
 */
export class Fence {
  readonly #key: string;
  readonly #lease: bigint;
  #version = 0n;

  constructor(lease: bigint) {
    this.#key = `.etcd-recipes/session/${lease.toString(16)}`;
    this.#lease = lease;
  }

  /** The condition on a write: that the fence has not been raised since. */
  get standing(): Compare {
    return { key: this.#key, target: 'version', to: this.#version };
  }

  /** Reads the fence, where `standing` failed: see `learn`. */
  get read(): Operation {
    return { range: { key: this.#key } };
  }

  /** Shuts out all conditional writes sent until now. */
  get raise(): Operation {
    return { put: { key: this.#key, value: '', lease: this.#lease } };
  }

  /** Takes up what `read` gave; says whether that is why a write on the condition `standing` was not applied. */
  learn(reply: OperationReply | undefined, standing: Compare): boolean {
    // Also one that is lower: the key goes with the lease, and etcd says so only of a put that is tried.
    this.#version = reply?.kvs[0]?.version ?? 0n;
    return this.#version !== standing.to;
  }
}
