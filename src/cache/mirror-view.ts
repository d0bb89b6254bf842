import type { EventEmitter } from 'eventemitter3';
import { Emitter } from '../core/events/emitter.js';
import type { WaitOptions } from '../core/time/signals.js';
import type { Mirror } from './mirror.js';
import type { MirrorState } from './mirror-options.js';

/** What shows the entries of a `Mirror` in its own way: how it is, and how old that may be, is as of that. */
export abstract class MirrorView<T, Events extends EventEmitter.ValidEventTypes>
  extends Emitter<Events>
  implements Disposable
{
  protected readonly mirror: Mirror<T>;

  /** @internal It closes the mirror. */
  constructor(mirror: Mirror<T>) {
    super();
    this.mirror = mirror;
  }

  /** How it is: as a `Mirror`. */
  get state(): MirrorState {
    return this.mirror.state;
  }

  /** Why it has failed, until it was tried again with success; `undefined` as long as it has not. */
  get error(): unknown {
    return this.mirror.error;
  }

  /** It is as etcd was at this revision; 0 while it is `syncing`. */
  get revision(): bigint {
    return this.mirror.revision;
  }

  /** Milliseconds: everything that was written longer ago can be seen here. `Infinity` while it is `syncing`. */
  get staleness(): number {
    return this.mirror.staleness;
  }

  /** Waits until everything up to `revision` can be seen. @throws as `ready`. */
  async waitForRevision(revision: bigint, wait?: WaitOptions): Promise<void> {
    await this.mirror.waitForRevision(revision, wait);
  }

  /** Ends it; loops over it and waits reject with a `ClosedError`. */
  close(): void {
    this.mirror.close();
  }

  /** The same as `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }
}
