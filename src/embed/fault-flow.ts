import type { Socket } from 'node:net';

const MOST_DELAYED = 16 * 1024 * 1024;

/** How one direction of every connection behaves now. */
export interface FlowRules {
  /** Nothing passes: what is sent stays with the sender's system, as in a partition. */
  withheld: boolean;
  /** Milliseconds everything takes to pass. */
  delay: number;
}

interface Parcel {
  readonly arrived: number;
  readonly size: number;
  readonly deliver: () => void;
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
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, rules: FlowRules) {
    this.#from = from;
    this.#to = to;
    this.#rules = rules;
    from.on('data', (chunk: Buffer) => this.#accept(chunk.length, () => to.write(chunk)));
    from.on('end', () => this.#accept(0, () => to.end()));
    from.on('close', (failed) => {
      this.#accept(0, () => (failed ? to.resetAndDestroy() : to.destroySoon()));
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
      const wait = next.arrived + this.#rules.delay - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.update(), wait).unref();
        break;
      }
      this.#parcels.shift();
      this.#size -= next.size;
      next.deliver();
    }
    if (blocked() || this.#size > MOST_DELAYED) {
      this.#from.pause();
    } else {
      this.#from.resume();
    }
  }

  #accept(size: number, deliver: () => void): void {
    if (!this.#to.destroyed) {
      this.#parcels.push({ arrived: performance.now(), size, deliver });
      this.#size += size;
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
