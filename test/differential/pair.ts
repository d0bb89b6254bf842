import type { EmbeddedEtcd } from '../../src/embed/index.js';
import type { Calls } from '../support/raw-client.js';
import { compare, Difference } from './difference.js';
import type { Operation, RevisionAt, Template } from './operations.js';
import { Revisions } from './revisions.js';
import { type Outcome, Side } from './side.js';
import { startBoth } from './start-both.js';
import { watchesSynced } from './synced.js';
import { MARKER_ID, MARKER_KEY } from './watch-log.js';

/** What both etcds answer without a change of their state. */
const READS = new Set<string>(['KV.Range', 'Lease.LeaseTimeToLive', 'Lease.LeaseLeases']);
/** Reads under way at a time. */
const MOST_READS = 16;
/** Events after which an etcd may have fallen behind in telling them. */
const MANY_EVENTS = 50;

/** A real etcd and the one in this process, which are told the same things and must say the same. */
export class Pair {
  /** How often each thing happened: operations, errors, and messages of watches. */
  readonly counts: Map<string, number>;
  /** Requests that both were sent. */
  requests = 0;
  readonly #etcds: readonly [EmbeddedEtcd, EmbeddedEtcd];
  readonly #real: Side;
  readonly #ours: Side;
  readonly #revisions: Revisions = new Revisions();
  /** Whether the real etcd may have watches that it is yet to bring up to date. */
  #behind = false;
  #eventsAtSync = 0;

  private constructor(etcds: readonly [EmbeddedEtcd, EmbeddedEtcd], counts: Map<string, number>) {
    this.counts = counts;
    this.#etcds = etcds;
    const [real, ours] = etcds.map(({ endpoints: [endpoint = ''] }, index) => {
      const tell = (what: string): void => {
        if (index === 0) this.#count(`watch: ${what}`);
      };
      return new Side(endpoint, { revision: (at) => this.#revisions.at(at), tell });
    });
    this.#real = real as Side;
    this.#ours = ours as Side;
  }

  /** Starts both. */
  static async start(counts: Map<string, number> = new Map()): Promise<Pair> {
    return new Pair(await startBoth(), counts);
  }

  /** Does the same to both. @throws Difference */
  async run(operations: readonly Operation[]): Promise<void> {
    await this.#begin();
    for (let index = 0; index < operations.length; ) {
      const group = readsFrom(operations, index);
      try {
        await Promise.all(group.map((operation) => this.#do(operation)));
      } catch (error) {
        if (!(error instanceof Difference)) throw error;
        const where = `at operation ${index}${group.length > 1 ? ` or up to ${group.length - 1} after it` : ''}`;
        throw new Difference(`${where}: ${error.message}`);
      }
      index += group.length;
    }
    await this.#settle();
    for (const stream of this.#real.watches.keys()) this.#compareStream(stream);
    await this.#cleanUp();
  }

  async stop(): Promise<void> {
    this.#real.close();
    this.#ours.close();
    await Promise.all(this.#etcds.map((etcd) => etcd.stop()));
  }

  async #begin(): Promise<void> {
    this.#behind = false;
    this.#eventsAtSync = 0;
    this.#revisions.begin();
    // What was before is none of its business: it must do the same again on new servers.
    const { now, compacted } = this.#revisions;
    if (compacted < now) {
      if (!this.#revisions.mayBeCompacted(now)) await this.#call('KV.Put', { key: MARKER_KEY });
      await this.#compact({ revision: { at: 'now', plus: 0 }, physical: true });
    }
  }

  /** Leaves nothing behind. What is left of keys and leases shows in how that goes. */
  async #cleanUp(): Promise<void> {
    const [expected, found] = await Promise.all([this.#real.reset(), this.#ours.reset()]);
    this.requests += expected.length + 1;
    compare('cleaning up', expected, found);
    for (const outcome of expected) this.#revisions.note('KV.DeleteRange', outcome);
  }

  async #do(operation: Operation): Promise<void> {
    const { does } = operation;
    this.#count(does);
    switch (does) {
      case 'brief lease': {
        const { id } = operation.request;
        await this.#call('Lease.LeaseGrant', operation.request);
        await this.#call('Lease.LeaseRevoke', { id });
        break;
      }
      case 'range stream': {
        this.requests += 1;
        const { request } = operation;
        const sides = [this.#real, this.#ours].map((side) => side.rangeStream(request));
        const [expected, found] = (await Promise.all(sides)) as [Outcome, Outcome];
        if ('error' in expected) this.#count(`error: ${shorten(expected.error)}`);
        compare(does, expected, found);
        break;
      }
      case 'keep alive': {
        this.requests += 1;
        const { id } = operation;
        const sides = [this.#real, this.#ours].map((side) => side.keepAlive(id));
        compare('keep alive', ...((await Promise.all(sides)) as [Outcome, Outcome]));
        break;
      }
      case 'watch':
        await this.#watch(operation.stream, operation.request);
        break;
      case 'cancel':
        await this.#settle();
        this.#send(operation.stream, { cancel: { watchId: operation.watchId } });
        await this.#barrier(operation.stream);
        break;
      case 'progress':
        await this.#progress(operation.stream);
        break;
      case 'end':
        await this.#settle();
        this.#compareStream(operation.stream);
        this.#real.end(operation.stream);
        this.#ours.end(operation.stream);
        break;
      case 'KV.Compact':
        await this.#settle();
        await this.#compact(operation.request);
        break;
      default:
        await this.#call(does, operation.request);
    }
  }

  async #compact(template: Template): Promise<void> {
    const revision = this.#revisions.at(template['revision'] as RevisionAt);
    if (this.#revisions.mayBeCompacted(revision)) await this.#call('KV.Compact', template);
  }

  async #call(name: keyof Calls, template: Template): Promise<void> {
    this.requests += 1;
    const [expected, found] = await Promise.all([
      this.#real.call(name, template),
      this.#ours.call(name, template),
    ]);
    if ('error' in expected) this.#count(`error: ${shorten(expected.error)}`);
    compare(name, expected, found);
    this.#revisions.note(name, expected, template);
  }

  async #watch(stream: number, template: Template): Promise<void> {
    const request = this.#real.fillWatch(template);
    const from = Number(request['startRevision'] ?? 0);
    if (from > 0 && from <= this.#revisions.now) this.#behind = true;
    await this.#create(stream, request);
  }

  async #create(stream: number, create: Template): Promise<void> {
    const logs = this.#logs(stream);
    const wanted = logs.map(({ replies }) => replies + 1);
    this.#send(stream, { create });
    await this.#await(stream, 'a reply to a new watch', (index) => {
      return (logs[index]?.replies ?? 0) >= (wanted[index] as number);
    });
  }

  /** Waits until a stream has seen to all that was sent on it: refusals come in turn. */
  async #barrier(stream: number): Promise<void> {
    await this.#create(stream, { key: 'b', rangeEnd: 'a' });
  }

  async #progress(stream: number): Promise<void> {
    const [real, ours] = this.#logs(stream);
    await this.#sync();
    this.#send(stream, { progress: {} });
    await this.#barrier(stream);
    await real?.until(() => real.progress >= (ours?.progress ?? 0));
  }

  async #sync(): Promise<void> {
    await watchesSynced(this.#real.endpoint);
    this.#behind = false;
  }

  /** Waits until both have told all that there is to tell. */
  async #settle(): Promise<void> {
    const streams = [...this.#real.watches.keys()];
    if (streams.length === 0) return;
    const events = [...this.#real.watches.values()].reduce((sum, log) => sum + log.events, 0);
    if (this.#behind || events > this.#eventsAtSync + MANY_EVENTS) await this.#sync();
    this.#eventsAtSync = events;
    for (const stream of streams) {
      await this.#create(stream, { key: MARKER_KEY, watchId: MARKER_ID });
    }
    const wanted = streams.map((stream) => this.#logs(stream).map(({ markers }) => markers + 1));
    await this.#call('KV.Put', { key: MARKER_KEY });
    for (const [place, stream] of streams.entries()) {
      const logs = this.#logs(stream);
      await this.#await(stream, 'the last event', (index) => {
        return (logs[index]?.markers ?? 0) >= (wanted[place]?.[index] as number);
      });
      const ended = logs.map(({ markersEnded }) => markersEnded + 1);
      this.#send(stream, { cancel: { watchId: MARKER_ID } });
      await this.#await(stream, 'the end of a watch', (index) => {
        return (logs[index]?.markersEnded ?? 0) >= (ended[index] as number);
      });
    }
  }

  #logs(stream: number): ReturnType<Side['stream']>[] {
    return [this.#real.stream(stream), this.#ours.stream(stream)];
  }

  #send(stream: number, request: Parameters<ReturnType<Side['stream']>['send']>[0]): void {
    this.requests += 1;
    for (const log of this.#logs(stream)) log.send(request);
  }

  async #await(stream: number, what: string, condition: (index: number) => boolean): Promise<void> {
    const met = await Promise.all(
      this.#logs(stream).map((log, index) => log.until(() => condition(index))),
    );
    if (met.every(Boolean)) return;
    this.#compareStream(stream);
    const missing = ['etcd', 'the in-process server'].filter((_, index) => !met[index]);
    throw new Difference(`${missing.join(' and ')} did not send ${what} on stream ${stream}`);
  }

  #compareStream(stream: number): void {
    const [real, ours] = this.#logs(stream).map(({ failure }) => failure);
    compare(`failure of stream ${stream}`, real, ours);
    const [expected, found] = [this.#real.said(stream), this.#ours.said(stream)];
    for (const name of new Set([...Object.keys(expected), ...Object.keys(found)])) {
      compare(`stream ${stream}, watch ${name}`, expected[name], found[name]);
    }
  }

  #count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}

function readsFrom(operations: readonly Operation[], from: number): readonly Operation[] {
  let end = from;
  while (end < from + MOST_READS && READS.has(operations[end]?.does ?? '')) end += 1;
  return operations.slice(from, Math.max(end, from + 1));
}

/** Sizes that are part of a text are of no interest to whoever counts texts. */
function shorten(error: string): string {
  return error.replace(/\(\d+ vs\. \d+\)/, '(...)');
}
