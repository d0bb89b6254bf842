import type { Init } from '../../src/embed/server/wire/codec.js';
import type { WatchRequest, WatchResponse } from '../../src/embed/server/wire/watch.js';
import type { RawStream } from '../support/raw-client.js';

/** The watch that tells that all before it has arrived. */
export const MARKER_ID = 1_000_000n;
/** Its key. */
export const MARKER_KEY = '~marker';

type Tell = (what: string) => void;

/** All that a stream of watches said, by watch: how it came in messages does not matter. */
export class WatchLog {
  /** What was said of each watch, and `refused` and `progress`, which are of none. */
  readonly said: Map<string, unknown[]> = new Map();
  /** Replies to requests to create a watch. */
  replies = 0;
  markers = 0;
  markersEnded = 0;
  events = 0;
  failure: string | undefined;
  readonly #stream: RawStream<WatchRequest, WatchResponse>;
  readonly #tell: Tell;
  readonly #last = new Map<bigint, number>();
  #onChange: (() => void) | undefined;

  /** @param tell - told of each kind of message, so that it can be counted */
  constructor(stream: RawStream<WatchRequest, WatchResponse>, tell: Tell) {
    this.#stream = stream;
    this.#tell = tell;
    stream.listen(
      (reply) => {
        this.#add(reply);
        this.#onChange?.();
      },
      (error) => {
        this.failure ??= `${error.code} ${error.details}`;
        this.#onChange?.();
      },
    );
  }

  send(request: Init<WatchRequest>): void {
    this.#stream.send(request);
  }

  close(): void {
    this.#stream.close();
  }

  get progress(): number {
    return this.said.get('progress')?.length ?? 0;
  }

  /** Resolves when `condition` holds; gives whether it did in time. */
  async until(condition: () => boolean, ms = 5000): Promise<boolean> {
    const timeout = AbortSignal.timeout(ms);
    while (!condition()) {
      if (timeout.aborted || this.failure !== undefined) return false;
      await new Promise<void>((resolve) => {
        const done = (): void => {
          this.#onChange = undefined;
          clearTimeout(timer);
          resolve();
        };
        const timer = setTimeout(done, ms);
        this.#onChange = done;
      });
    }
    return true;
  }

  #add(reply: WatchResponse): void {
    const { watchId, created, canceled, compactRevision, cancelReason, events, header } = reply;
    const revision = header?.revision ?? 0;
    const isWhole = (header?.memberId ?? 0n) !== 0n && (header?.clusterId ?? 0n) !== 0n;
    const name = watchId === -1n ? (created ? 'refused' : 'progress') : String(watchId);
    if (watchId === MARKER_ID) {
      this.#addMarker(reply);
      return;
    }
    if (created) this.replies += 1;
    if (created || canceled || events.length === 0) {
      this.#tell(kindOf(reply));
      const kind = created ? 'created' : canceled ? 'canceled' : 'progress';
      this.#say(name, { kind, revision, isWhole, canceled, compactRevision, cancelReason });
      if (created && !canceled) this.#last.delete(watchId);
    }
    for (const event of events) {
      this.events += 1;
      this.#tell(`${event.type === 0 ? 'put' : 'deletion'}${event.prevKv ? ' with prevKv' : ''}`);
      this.#say(name, event);
      this.#checkOrder(watchId, event.kv?.modRevision ?? 0, revision);
    }
    if (reply.fragment) this.#tell('fragment');
  }

  #addMarker({ created, canceled, events }: WatchResponse): void {
    if (created) this.replies += 1;
    if (canceled) this.markersEnded += 1;
    this.markers += events.length;
  }

  #checkOrder(watchId: bigint, mod: number, revision: number): void {
    if (mod < (this.#last.get(watchId) ?? 0)) this.#say(String(watchId), 'events out of order');
    if (mod > revision) this.#say(String(watchId), `header ${revision} is before event ${mod}`);
    this.#last.set(watchId, mod);
  }

  #say(name: string, what: unknown): void {
    const said = this.said.get(name);
    if (said) said.push(what);
    else this.said.set(name, [what]);
  }
}

function kindOf({ created, canceled, cancelReason, compactRevision }: WatchResponse): string {
  if (created) return canceled ? `refused: ${cancelReason}` : 'created';
  if (canceled) return compactRevision > 0 ? 'canceled by compaction' : 'canceled';
  return 'progress';
}
