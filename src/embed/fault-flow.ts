import type { Socket } from 'node:net';
import { longest } from '../core/validate.js';

const MOST_DELAYED = 16 * 1024 * 1024;
/** What waits for its turn on a throttled connection; more stays with the sender, who so learns how slow it is. */
const MOST_QUEUED = 64 * 1024;
/** Throttled bytes pass in pieces worth so many milliseconds. */
const PIECE = 10;
/** A timer that was late, or a silence, is made up for by so many milliseconds at most. */
const BURST = 50;

/** How one direction of every connection behaves now. */
export interface FlowRules {
  /** Nothing passes: what is sent stays with the sender's system, as in a partition. */
  withheld: boolean;
  /** Milliseconds everything takes to pass. */
  delay: number;
  /** Bytes that pass per second at most; `Infinity` for no limit. */
  rate: number;
}

/** The rules of a healthy network. */
export const HEALTHY: Readonly<FlowRules> = {
  withheld: false,
  delay: 0,
  rate: Number.POSITIVE_INFINITY,
};

interface Parcel {
  readonly arrived: number;
  /** Bytes, or else what else can happen to a connection. */
  readonly content: Buffer | (() => void);
}

/**
 * One direction of a proxied connection. All that one side says (bytes, an end, a reset) reaches the other side in
 * order, as the rules let it.
 */
export class FaultFlow {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #rules: FlowRules;
  readonly #parcels: Parcel[] = [];
  #size = 0;
  /** The bytes passed on last, and from when on their time at whatever rate is counted. */
  #last = { from: 0, bytes: 0 };
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, rules: FlowRules) {
    this.#from = from;
    this.#to = to;
    this.#rules = rules;
    from.on('data', (chunk: Buffer) => this.#accept(chunk));
    from.on('end', () => this.#accept(() => to.end()));
    from.on('close', (failed) => {
      this.#accept(() => (failed ? reset(to) : to.destroySoon()));
    });
    // The close that follows an error is what gets passed on.
    from.on('error', () => {});
    to.on('drain', () => this.update());
    to.on('close', () => this.#drop());
    this.update();
  }

  /** Applies the rules as they are now. */
  update(): void {
    clearTimeout(this.#timer);
    const blocked = (): boolean => this.#rules.withheld || this.#to.writableNeedDrain;
    for (let next = this.#parcels[0]; next !== undefined && !blocked(); next = this.#parcels[0]) {
      const due = next.arrived + this.#rules.delay;
      const wait =
        Math.max(due, Buffer.isBuffer(next.content) ? this.#free() : 0) - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.update(), Math.min(wait, longest)).unref();
        break;
      }
      this.#deliver(next);
    }
    if (blocked() || this.#size > this.#most()) {
      this.#from.pause();
    } else {
      this.#from.resume();
    }
  }

  /** Passes the first parcel on, or as much of it as may pass together. */
  #deliver({ arrived, content }: Parcel): void {
    this.#parcels.shift();
    if (!Buffer.isBuffer(content)) {
      content();
      return;
    }
    const { rate } = this.#rules;
    const piece = content.subarray(0, Math.max(1, Math.floor((rate * PIECE) / 1_000)));
    const rest = content.subarray(piece.length);
    if (rest.length > 0) this.#parcels.unshift({ arrived, content: rest });
    this.#size -= piece.length;
    this.#last = { from: Math.max(this.#free(), performance.now() - BURST), bytes: piece.length };
    this.#to.write(piece);
  }

  /** When the next bytes may pass. */
  #free(): number {
    return this.#last.from + (this.#last.bytes / this.#rules.rate) * 1_000;
  }

  /** How many bytes may be on their way here. */
  #most(): number {
    const { rate, delay } = this.#rules;
    if (rate === Number.POSITIVE_INFINITY) return MOST_DELAYED;
    return Math.min(MOST_DELAYED, MOST_QUEUED + (rate * delay) / 1_000);
  }

  #accept(content: Parcel['content']): void {
    if (!this.#to.destroyed) {
      this.#parcels.push({ arrived: performance.now(), content });
      this.#size += Buffer.isBuffer(content) ? content.length : 0;
      this.update();
    }
  }

  #drop(): void {
    clearTimeout(this.#timer);
    this.#parcels.length = 0;
    // Nobody reads any more; reading on lets an end or a reset of this side be noticed.
    this.#from.resume();
  }
}

/** Resets a connection. A Unix socket knows no reset: it is closed. */
export function reset(socket: Socket): void {
  try {
    socket.resetAndDestroy();
  } catch {
    socket.destroy();
  }
}
