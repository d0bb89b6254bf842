import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rangeCall, txnCall } from '../../../../src/core/etcd3/wire/calls.js';
import { FieldWriter } from '../../../../src/core/etcd3/wire/field-writer.js';
import type { Txn } from '../../../../src/core/store/store.js';
import { transactions } from '../../../support/transactions.js';

/** A message of nested ones and numbers, by their fields. */
type Message = readonly (readonly [field: number, content: bigint | Message])[];

function bytesOf(message: Message): Buffer {
  const writer = new FieldWriter();
  const write = (all: Message): void => {
    for (const [field, content] of all.toReversed()) {
      const before = writer.length;
      if (typeof content === 'bigint') {
        writer.number(field, content);
      } else {
        write(content);
        writer.nest(field, before);
      }
    }
  };
  write(message);
  return writer.finish();
}

function outcomeOf(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    return error;
  }
}

const isUnderstoodOrNot = (outcome: unknown): boolean =>
  typeof outcome === 'bigint' || outcome instanceof Error;

const header = (revision: bigint): Message[number] => [1, [[3, revision]]];
const put = { put: { key: 'k', value: 'v' } };
const range = { range: { key: 'k' } };

describe('a transaction', () => {
  it.each([
    ['Put', { success: [put] }],
    ['Range', { success: [range] }],
    ['DeleteRange', { success: [{ delete: { key: 'k' } }], compare: [], failure: [] }],
    ['Txn', { success: [{ txn: { success: [put] } }] }],
    ['Txn', { success: [put, put] }],
    ['Txn', { success: [put], failure: [range] }],
    ['Txn', { failure: [put] }],
    ['Txn', { success: [put], compare: [{ key: 'k', target: 'mod', to: 0n }] }],
    ['Txn', {}],
  ] as const)('is sent as %s where it can be', (name, txn) => {
    expect(txnCall(txn as Txn).path).toBe(`/etcdserverpb.KV/${name}`);
  });

  it('is understood whatever the order of the fields in its reply', () => {
    const { readReply } = txnCall({ success: [range, put], failure: [put] });
    const answers: Message = [
      [3, [[1, [[4, 7n]]]]],
      [3, [[2, []]]],
    ];
    const expected = {
      succeeded: true,
      revision: 9n,
      replies: [
        { kvs: [], count: 7 },
        { kvs: [], count: 0 },
      ],
    };
    expect(readReply(bytesOf([header(9n), [2, 1n], ...answers]))).toEqual(expected);
    expect(readReply(bytesOf([...answers, [2, 1n], [99, 1n], header(9n)]))).toEqual(expected);
  });

  it.each<[string, Message]>([
    [
      'it has no revision',
      [
        [2, 1n],
        [3, [[2, []]]],
      ],
    ],
    ['a step has no answer', [header(9n), [2, 1n]]],
    ['a step has two answers', [header(9n), [2, 1n], [3, [[2, []]]], [3, [[2, []]]]]],
    ['a step has the answer of another', [header(9n), [2, 1n], [3, [[1, []]]]]],
    ['a step has an empty answer', [header(9n), [2, 1n], [3, []]]],
    ['it is of the other branch', [header(9n), [3, [[2, []]]]]],
  ])('has a reply that is not understood where %s', (_, reply) => {
    const { readReply } = txnCall({
      compare: [{ key: 'k', target: 'mod', to: 0n }],
      success: [put],
    });
    expect(() => readReply(bytesOf(reply))).toThrow(Error);
  });

  it('has a reply that is understood or not, whatever its bytes', () => {
    const txn = transactions({ prefix: 'k', keys: 2, steps: 4, depth: 2 });
    const reply = fc.letrec<{ message: Message; content: bigint | Message }>((tie) => ({
      content: fc.oneof({ depthSize: 'small' }, fc.bigInt({ min: 0n, max: 3n }), tie('message')),
      message: fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), tie('content')), { maxLength: 4 }),
    })).message;
    const bytes = fc.oneof(
      reply.map(bytesOf),
      fc.uint8Array({ maxLength: 40 }).map((any) => Buffer.from(any)),
    );
    const property = fc.property(txn, bytes, (asked, said) => {
      for (const { readReply } of [txnCall(asked), rangeCall({ key: 'k' })]) {
        expect(outcomeOf(() => readReply(said).revision)).toSatisfy(isUnderstoodOrNot);
      }
    });
    fc.assert(property, { numRuns: 2_000 });
  });
});
