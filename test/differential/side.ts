import type { ServiceError } from '@grpc/grpc-js';
import type { Init } from '../../src/embed/server/wire/codec.js';
import type { RangeRequest } from '../../src/embed/server/wire/kv.js';
import type { LeaseId, LeaseKeepAliveResponse } from '../../src/embed/server/wire/lease.js';
import { type Calls, RawClient, type RawStream } from '../support/raw-client.js';
import { fill, type Known, type RevisionAt, type Template } from './operations.js';
import { WatchLog } from './watch-log.js';

/** What a call came to: its reply, or what it was refused with. */
export type Outcome = { readonly reply: unknown } | { readonly error: string };

/** What both sides agree on. */
export interface Shared {
  revision(at: RevisionAt): number;
  /** Counts what is said by watches. */
  tell(what: string): void;
}

/** One of the two etcds that are compared. */
export class Side {
  readonly endpoint: string;
  readonly client: RawClient;
  readonly watches: Map<number, WatchLog> = new Map();
  readonly #shared: Shared;
  /** The leases whose IDs this etcd chose, in order; they differ from those of the other one. */
  readonly #chosen: bigint[] = [];
  /** Of those who logged in, by their names. */
  readonly #tokens = new Map<string, string>();
  #keepAlives: RawStream<LeaseId, LeaseKeepAliveResponse> | undefined;
  #waiting:
    | { resolve: (r: LeaseKeepAliveResponse) => void; reject: (e: Error) => void }
    | undefined;

  constructor(endpoint: string, shared: Shared) {
    this.endpoint = endpoint;
    this.client = new RawClient(endpoint);
    this.#shared = shared;
  }

  /** Calls, as somebody who logged in, and gives what can be compared of the outcome. */
  async call(name: keyof Calls, template: Template, as?: string): Promise<Outcome> {
    const request = this.#fill(template) as Init<Calls[keyof Calls][0]>;
    return this.#outcome(async () => {
      const reply = await this.client.call(name, request, this.#tokenOf(as));
      if (name === 'Lease.LeaseGrant' && !(request as { id?: bigint }).id) {
        this.#chosen.push((reply as { id: bigint }).id);
      }
      if ('token' in reply) this.#tokens.set((request as { name: string }).name, reply.token);
      return reply;
    });
  }

  /** Reads as a stream; how the result is cut into pieces does not matter. */
  async rangeStream(template: Template, as?: string): Promise<Outcome> {
    const request = this.#fill(template) as Init<RangeRequest>;
    return this.#outcome(async () => {
      const pieces = await this.client.rangeStream(request, this.#tokenOf(as));
      const summaries = pieces.map(({ header, more, count }) => ({ header, more, count }));
      const summary = summaries.pop();
      const early = summaries.filter(({ header, more, count }) => header || more || count > 0);
      return { kvs: pieces.flatMap(({ kvs }) => kvs), summary, early };
    });
  }

  /** Sends one message on the stream of renewals and awaits its answer. */
  async keepAlive(id: unknown): Promise<Outcome> {
    return this.#outcome(
      () =>
        new Promise((resolve, reject) => {
          this.#waiting = { resolve, reject };
          this.#openKeepAlives().send({ id: this.#fill(id) as bigint });
        }),
    );
  }

  /** The same on a stream of its own. */
  async keepAliveOnce(id: unknown, as?: string): Promise<Outcome> {
    const stream = this.client.open('Lease.LeaseKeepAlive', this.#tokenOf(as));
    const outcome = await this.#outcome(
      () =>
        new Promise((resolve, reject) => {
          stream.listen(resolve, reject);
          stream.send({ id: this.#fill(id) as bigint });
        }),
    );
    stream.close();
    return outcome;
  }

  /** The stream of watches with this number, opened if need be. */
  stream(number: number, as?: string): WatchLog {
    const open = this.watches.get(number);
    if (open) return open;
    const log = new WatchLog(this.client.open('Watch.Watch', this.#tokenOf(as)), (what) =>
      this.#shared.tell(what),
    );
    this.watches.set(number, log);
    return log;
  }

  /** All that a stream said, in a form that can be compared. */
  said(number: number): Record<string, unknown> {
    const said = this.watches.get(number)?.said ?? new Map<string, unknown[]>();
    const names = [...said.keys()].toSorted();
    return Object.fromEntries(names.map((name) => [name, this.#comparable(said.get(name))]));
  }

  /** Ends a stream. */
  end(number: number): void {
    this.watches.get(number)?.close();
    this.watches.delete(number);
  }

  /** Forgets what is of one sequence. */
  async reset(): Promise<Outcome[]> {
    for (const number of this.watches.keys()) this.end(number);
    const { leases } = await this.client.call('Lease.LeaseLeases', {});
    const outcomes: Outcome[] = [];
    for (const { id } of leases) outcomes.push(await this.call('Lease.LeaseRevoke', { id }));
    outcomes.push(await this.call('KV.DeleteRange', { key: '\0', rangeEnd: '\0' }));
    this.#chosen.length = 0;
    this.#tokens.clear();
    return outcomes;
  }

  close(): void {
    for (const number of this.watches.keys()) this.end(number);
    this.#keepAlives?.close();
    this.client.close();
  }

  /** A request of this side. */
  #fill(template: unknown): unknown {
    const known: Known = {
      revision: (at) => this.#shared.revision(at),
      lease: (chosen) => this.#chosen[chosen] ?? 405n,
    };
    return fill(template, known);
  }

  /** A request to watch. */
  fillWatch(template: Template): Template {
    return this.#fill(template) as Template;
  }

  /** What is no name of a user who logged in is a token itself. */
  #tokenOf(as: string | undefined): string | undefined {
    return as === undefined ? undefined : (this.#tokens.get(as) ?? as);
  }

  #openKeepAlives(): RawStream<LeaseId, LeaseKeepAliveResponse> {
    if (this.#keepAlives) return this.#keepAlives;
    const stream = this.client.open('Lease.LeaseKeepAlive');
    stream.listen(
      (reply) => this.#waiting?.resolve(reply),
      (error) => {
        this.#keepAlives = undefined;
        this.#waiting?.reject(error);
      },
    );
    this.#keepAlives = stream;
    return stream;
  }

  async #outcome(act: () => Promise<unknown>): Promise<Outcome> {
    try {
      return { reply: this.#comparable(await act()) };
    } catch (error) {
      const { code, details } = error as ServiceError;
      if (code === undefined) throw error;
      return { error: `${code} ${details}` };
    }
  }

  /** Takes out what may differ: who answers, IDs that were chosen, and how much time is left. */
  #comparable(value: unknown): unknown {
    if (typeof value === 'bigint') {
      const index = this.#chosen.indexOf(value);
      return index < 0 ? value : `chosen ${index}`;
    }
    if (Array.isArray(value)) return value.map((item) => this.#comparable(item));
    if (typeof value !== 'object' || value === null) return value;
    const result: Record<string, unknown> = {};
    for (const [name, inner] of Object.entries(value)) {
      if (name === 'memberId' || name === 'clusterId' || name === 'raftTerm') {
        result[name] = inner === 0n ? 'none' : 'some';
      } else if (name === 'token') {
        result[name] = String(inner).replace(/^[A-Za-z]{16}\.\d+$/, 'some');
      } else result[name] = this.#comparable(inner);
    }
    if ('grantedTtl' in result) normaliseTimeToLive(result);
    return result;
  }
}

const SOON = 60;

function normaliseTimeToLive(result: Record<string, unknown>): void {
  const [left, granted] = [Number(result['ttl']), Number(result['grantedTtl'])];
  if (left <= granted && left > granted - SOON) result['ttl'] = 'almost all';
  result['keys'] = (result['keys'] as string[]).toSorted();
}
