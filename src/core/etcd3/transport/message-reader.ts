import { status as Status } from '@grpc/grpc-js';
import { StatusError } from './status-error.js';

const prefixBytes = 5;
const compressed = 1;

/** A message as gRPC has it on the wire: whether it is compressed, its length, and itself. */
export function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(prefixBytes + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, prefixBytes);
  return frame;
}

/** Puts the one message of a reply together from the pieces that arrive. Keeps no more than what did arrive. */
export class MessageReader {
  readonly #max: number;
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** Of prefix and message; `undefined` until the prefix is there. */
  #expected: number | undefined;

  /** @param max - longest message taken, in bytes */
  constructor(max: number) {
    this.#max = max;
  }

  /** @throws StatusError as soon as it is clear that this will not be one message of the length allowed. */
  add(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    if (this.#expected === undefined && this.#bytes >= prefixBytes) this.#readPrefix();
    if (this.#expected !== undefined && this.#bytes > this.#expected) {
      throw new StatusError(Status.UNIMPLEMENTED, 'Too many responses received');
    }
  }

  /** The message. @throws StatusError if there is none, or only a part. */
  take(): Buffer {
    if (this.#bytes === 0) throw new StatusError(Status.UNIMPLEMENTED, 'No message received');
    if (this.#bytes !== this.#expected) {
      const sizes = `${this.#bytes} of ${this.#expected ?? 'at least 5'} bytes`;
      throw new StatusError(Status.INTERNAL, `Received a truncated message: ${sizes}`);
    }
    return this.#whole().subarray(prefixBytes);
  }

  #readPrefix(): void {
    const start = this.#whole();
    this.#pieces = [start];
    const [flag] = start;
    const length = start.readUInt32BE(1);
    if (flag === compressed) {
      throw new StatusError(
        Status.INTERNAL,
        'Received a compressed message, which was not asked for',
      );
    }
    if (flag !== 0) throw new StatusError(Status.INTERNAL, `Received a message with flag ${flag}`);
    if (length > this.#max) {
      const details = `Received message larger than max (${length} vs. ${this.#max})`;
      throw new StatusError(Status.RESOURCE_EXHAUSTED, details);
    }
    this.#expected = prefixBytes + length;
  }

  #whole(): Buffer {
    const [first] = this.#pieces;
    return first && this.#pieces.length === 1 ? first : Buffer.concat(this.#pieces);
  }
}
