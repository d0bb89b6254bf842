import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { KeyValue } from '../../src/index.js';
import { Lane } from '../../src/queue/lane.js';
import { hintOf, idOf, labelOf, QueueKeys } from '../../src/queue/queue-keys.js';

const keys = new QueueKeys('jobs');
const value = Buffer.alloc(0);

/** What etcd has of a lane. */
class Truth {
  revision = 1n;
  readonly #keys = new Map<string, KeyValue>();
  #number = 0;

  /** Puts a job by somebody who has seen less than there is. */
  add(order: string, lag: bigint): void {
    this.#number += 1;
    const hint = this.revision > lag ? this.revision - lag : 0n;
    const named = { priority: 5, label: labelOf(order, undefined) };
    this.put(keys.ready + idOf(named, hint, this.#number, 'p'));
  }

  put(key: string): void {
    this.revision += 1n;
    const { revision } = this;
    const before = this.#keys.get(key);
    const createRevision = before?.createRevision ?? revision;
    const kv = { createRevision, modRevision: revision, version: 1n, lease: 0n };
    this.#keys.set(key, { key: Buffer.from(key), value, ...kv });
  }

  remove(record: string): void {
    this.revision += 1n;
    for (const key of this.#keys.keys()) {
      if (key === record || key.startsWith(`${record}!`)) this.#keys.delete(key);
    }
  }

  read(from: string, end: string): KeyValue[] {
    const sorted = [...this.#keys].toSorted(([a], [b]) => (a < b ? -1 : 1));
    return sorted.filter(([key]) => key >= from && key < end).map(([, kv]) => kv);
  }

  records(): KeyValue[] {
    return [...this.#keys].filter(([key]) => !key.includes('!')).map(([, kv]) => kv);
  }
}

const orders = ['a', 'b', 'c'];
const step = fc.oneof(
  fc.record({
    do: fc.constant('add' as const),
    order: fc.constantFrom(...orders),
    lag: fc.bigInt(0n, 12n),
  }),
  fc.record({ do: fc.constantFrom('claim' as const, 'finish' as const), nth: fc.nat(30) }),
  fc.record({
    do: fc.constant('read' as const),
    from: fc.constantFrom('on' as const, 'anew' as const),
  }),
);

it('never gives a job before another of its order, on whatever pages they are', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 120 }),
      fc.integer({ min: 2, max: 7 }),
      (steps, page) => {
        const truth = new Truth();
        const lane = new Lane(keys, 5, { hasRoom: () => true }, page);
        for (const each of steps) {
          const records = truth.records();
          const some =
            'nth' in each ? records[each.nth % records.length]?.key.toString() : undefined;
          if (each.do === 'add') truth.add(each.order, each.lag);
          else if (each.do === 'claim' && some) truth.put(`${some}!c/1-1`);
          else if (each.do === 'finish' && some) truth.remove(some);
          else if (each.do === 'read') {
            const { key, end, limit = 0 } = lane.next(each.from);
            const kvs = truth.read(String(key), String(end));
            lane.learn(kvs.slice(0, limit), kvs.length, truth.revision, 0);
          }
          check(truth, lane);
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

it('gives all in their order in the end, page by page', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(...orders), fc.bigInt(0n, 12n)), { maxLength: 40 }),
      fc.integer({ min: 2, max: 7 }),
      (puts, page) => {
        const truth = new Truth();
        const lane = new Lane(keys, 5, { hasRoom: () => true }, page);
        for (const [order, lag] of puts) truth.add(order, lag);
        const all = truth.records().map(({ key }) => key.toString());
        const done: string[] = [];
        for (let reads = 0; done.length < all.length; reads += 1) {
          expect(reads).toBeLessThan(500);
          const { key, end, limit = 0 } = lane.next(lane.hasMore && reads % 20 > 0 ? 'on' : 'anew');
          const kvs = truth.read(String(key), String(end));
          lane.learn(kvs.slice(0, limit), kvs.length, truth.revision, 0);
          const given = [...lane.claimable()];
          for (const job of given) {
            truth.remove(job.key);
            lane.drop(job, 0);
            done.push(job.key);
          }
        }
        for (const order of orders) {
          const label = `@${order}`;
          const of = (jobs: string[]): string[] => jobs.filter((job) => job.endsWith(label));
          expect(of(done)).toEqual(of(all));
        }
      },
    ),
    { numRuns: 500 },
  );
});

function check(truth: Truth, lane: Lane): void {
  const records = truth.records();
  for (const job of lane.claimable()) {
    expect(hintOf(job.key.slice(keys.ready.length))).toBeLessThanOrEqual(job.created);
    const before = records.filter(
      ({ key, createRevision }) =>
        createRevision < job.created && key.toString().endsWith(`@${job.order}`),
    );
    // What is gone by now, and is not known to be, is claimed in vain.
    const isThere = records.some(({ key }) => key.toString() === job.key);
    expect(isThere ? before.map(({ key }) => key.toString()) : []).toEqual([]);
  }
}
