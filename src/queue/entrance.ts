import { ArgumentError, LimitError } from '../core/store/errors.js';
import { type Data, lengthOf } from '../core/store/keys.js';
import { leaseIsGone } from '../core/store/refusals.js';
import type { CallOptions, Operation, OperationReply } from '../core/store/store.js';
import { waitScope } from '../core/time/signals.js';
import { Admission } from './admission.js';
import type { Parcel, Sent } from './outbox.js';
import { arriving, headerOf } from './passage.js';
import { labelOf } from './queue-keys.js';
import { checkPut, type JobOptions } from './queue-options.js';
import type { QueueParts } from './queue-parts.js';
import { type Put, putOf, Unique } from './unique.js';
import { Windows } from './windows.js';

/** Where jobs come into a queue. */
export class Entrance<T> {
  readonly #parts: QueueParts<T>;
  readonly #windows: Windows;
  readonly #admission: Admission | undefined;

  constructor(parts: QueueParts<T>) {
    const { session, keys, options } = parts;
    this.#parts = parts;
    this.#windows = new Windows(session.store, session.clock);
    const { limit } = options;
    this.#admission = limit === Infinity ? undefined : Admission.at(session, keys, limit);
  }

  /** What is to be put. @throws ArgumentError if an option is not usable, LimitError if the value is too large. */
  parcel(value: T, options: Omit<JobOptions, keyof CallOptions>): Parcel {
    const { priority = 5, orderKey, group } = checkPut(options);
    const { keys, session } = this.#parts;
    const unique = Unique.of(options, keys, this.#windows);
    const encoded = this.encode(value);
    const header = headerOf(options, session.clock.wall(), unique);
    const put = (id: string): Operation => {
      const step = arriving(keys, id, { header, value: encoded });
      return unique ? unique.around(step, id) : step;
    };
    return {
      priority,
      label: labelOf(orderKey, group),
      bytes: lengthOf(encoded),
      put,
      marker: unique?.marker,
      prepare: unique && ((limit) => unique.prepare(limit)),
      unprepare: unique && ((error) => leaseIsGone(error) && unique.forget()),
    };
  }

  /** Puts it, once there is room. @throws as `put` of the queue. */
  async send(parcel: Parcel, options: JobOptions): Promise<Put> {
    const admission = this.#admission;
    const sent = admission
      ? this.#sendInto(admission, parcel, options)
      : this.#parts.outbox.send(parcel, options);
    return putOf(await sent);
  }

  /** A step that puts it. @throws ArgumentError, LimitError */
  step(value: T, options: Omit<JobOptions, keyof CallOptions>): Operation {
    const { window } = options.dedupe ?? {};
    if (window !== undefined) throw new ArgumentError('dedupe.window', 'left out here', window);
    const parcel = this.parcel(value, options);
    return parcel.put(this.#parts.outbox.newId(parcel));
  }

  /** A value as it is written. @throws ArgumentError if it cannot be; LimitError if it is too large. */
  encode(value: T): Data {
    const { codec, options } = this.#parts;
    const { maxBytes } = options;
    const encoded: unknown = codec.encode(value);
    if (typeof encoded !== 'string' && !(encoded instanceof Uint8Array)) {
      throw new ArgumentError('value', 'something that the codec turns into text or bytes', value);
    }
    const length = lengthOf(encoded);
    if (length > maxBytes) throw new LimitError('the value of a job', 'maxBytes', length, maxBytes);
    return encoded;
  }

  async #sendInto(admission: Admission, parcel: Parcel, options: JobOptions): Promise<Sent> {
    const { session, name } = this.#parts;
    const { closing, clock } = session;
    const { whenFull } = this.#parts.options;
    const { signal, timeout } = options;
    const wait = { ...(signal && { signal }), ...(timeout !== undefined && { timeout }) };
    const began = clock.now();
    const scope = waitScope(wait, closing, clock, `queue ${name}`);
    try {
      const pass = await admission.enter(whenFull === 'reject', scope.signal);
      const { counting } = pass;
      const put = (id: string): Operation => {
        const step = parcel.put(id);
        return counting.length > 0 ? { txn: { success: [step, ...counting] } } : step;
      };
      // It may come in after its caller has given up: until it cannot, there is no room for another.
      const over = (reply?: OperationReply): void =>
        pass.end(counting.length > 0 ? reply?.txn?.replies.slice(1) : undefined);
      const left = timeout !== undefined && {
        timeout: Math.max(0, timeout - (clock.now() - began)),
      };
      let sending: Promise<Sent>;
      try {
        sending = this.#parts.outbox.send({ ...parcel, put, over }, { ...options, ...left });
      } catch (error) {
        over();
        throw error;
      }
      const sent = await sending;
      return counting.length > 0 ? { ...sent, reply: sent.reply?.txn?.replies[0] } : sent;
    } finally {
      scope.dispose();
    }
  }
}
