import type { Codec } from '../core/codec.js';
import type { Session } from '../core/session/session.js';
import type { Outbox } from './outbox.js';
import type { QueueKeys } from './queue-keys.js';
import type { checkQueue } from './queue-options.js';

/** What all that is done with one queue has in common. */
export interface QueueParts<T> {
  readonly session: Session;
  readonly name: string;
  readonly keys: QueueKeys;
  readonly codec: Codec<T>;
  readonly options: ReturnType<typeof checkQueue<T>>;
  readonly outbox: Outbox;
}
