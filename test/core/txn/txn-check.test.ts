import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { prefixRange } from '../../../src/core/store/keys.js';
import { checkTxn } from '../../../src/core/txn/check-txn.js';
import {
  ArgumentError,
  type Compare,
  LimitError,
  Namespace,
  type Operation,
  RefusedError,
  type Txn,
} from '../../../src/index.js';
import { rejection } from '../../../src/testing/rejection.js';
import { useEtcd } from '../../support/etcd.js';

const etcd = useEtcd();

const put = (key: string): Operation => ({ put: { key, value: '' } });
const remove = (key: string, end?: string): Operation => ({
  delete: end === undefined ? { key } : { key, end },
});
const inner = (success: Operation[], failure: Operation[] = []): Operation => ({
  txn: { success, failure },
});
const steps = (...success: Operation[]): Txn => ({ success });
const condition = (changes: Partial<Record<keyof Compare, unknown>>): Txn => ({
  compare: [{ key: 'k', target: 'mod', to: 0n, ...changes } as Compare],
});

describe('a transaction is refused', () => {
  it.each<[string, Txn, RegExp]>([
    ['a put without a key', steps(put('')), /key must be a non-empty string or Uint8Array, got ''/],
    ['a delete without a key', steps(remove('')), /key must be/],
    ['a read without a key', steps({ range: { key: new Uint8Array() } }), /key must be/],
    ['a condition without a key', condition({ key: '' }), /key must be/],
    ['a wrong step deep inside', steps(inner([], [inner([put('')])])), /key must be/],
    ['an empty end', steps({ range: { key: 'k', end: '' } }), /end must be/],
    ['a delete of nothing', steps(remove('k', 'k')), /end must be greater than key/],
    ['an inverted delete', steps(remove('k', 'a')), /end must be greater than key/],
    ['an inverted condition', condition({ end: 'a' }), /end must be greater than key/],
    ['a value compared with a number', condition({ target: 'value' }), /to must be a string/],
    ['a revision compared with a text', condition({ to: '0' }), /to must be a bigint/],
    ['a revision compared with a number', condition({ to: 0 }), /to must be a bigint/],
    ['a negative revision', condition({ to: -1n }), /to must be a bigint from 0/],
    ['too large a revision', condition({ to: 2n ** 63n }), /to must be a bigint from 0/],
    ['an unknown target', condition({ target: 'x' }), /target must be/],
    ['an unknown operator', condition({ is: '==' }), /is must be/],
    ['a value that is a number', steps({ put: { key: 'k', value: 7 as never } }), /value must be/],
    ['a negative limit', steps({ range: { key: 'k', limit: -1 } }), /limit must be/],
    ['half a limit', steps({ range: { key: 'k', limit: 0.5 } }), /limit must be/],
    ['a negative filter', steps({ range: { key: 'k', minModRevision: -1n } }), /minModRevision/],
    [
      'a lease to keep and one to have',
      steps({ put: { key: 'k', value: '', lease: 1n, keepLease: true } }),
      /lease must be left out together with keepLease/,
    ],
    ['no step at all', steps({} as Operation), /step must be a put, delete, range or txn/],
  ])('for %s', (_, txn, message) => {
    expect(() => checkTxn(txn)).toThrow(ArgumentError);
    expect(() => checkTxn(txn)).toThrow(message);
  });

  it.each<[string, Txn]>([
    ['put twice', steps(put('k'), put('k'))],
    ['put twice, once as bytes', steps(put('k'), { put: { key: Buffer.from('k'), value: '' } })],
    ['put and deleted', steps(put('k'), remove('k'))],
    ['deleted and put', steps(remove('k'), put('k'))],
    ['deleted within a range and put', steps(remove('a', 'z'), put('k'))],
    ['put and deleted to the end of all keys', steps(put('k'), remove('a', '\0'))],
    ['deleted to the end of all keys and put', steps(remove('a', '\0'), put('k'))],
    ['put inside and outside', steps(inner([put('k')]), put('k'))],
    ['put outside and inside', steps(put('k'), inner([], [put('k')]))],
    ['put by two inside', steps(inner([put('k')]), inner([put('k')]))],
    ['put by one inside and deleted by the next', steps(inner([put('k')]), inner([remove('k')]))],
    ['deleted by one inside and put by the next', steps(inner([remove('k')]), inner([put('k')]))],
    ['put twice by what runs otherwise', { failure: [put('k'), put('k')] }],
    ['deleted deep inside', steps(inner([inner([remove('a', '\0')])]), put('k'))],
  ])('for a key %s', (_, txn) => {
    expect(() => checkTxn(txn)).toThrow(
      /key must be written at most once in a transaction, got 'k'/,
    );
  });

  it.each<[string, Txn, number]>([
    ['steps', steps(...Array.from({ length: 5 }, (_, i) => put(`k${i}`))), 5],
    [
      'conditions',
      { compare: Array.from({ length: 6 }, () => ({ key: 'k', target: 'mod', to: 0n }) as const) },
      6,
    ],
    ['steps of the other branch', { failure: Array.from({ length: 7 }, (_, i) => put(`${i}`)) }, 7],
    ['steps inside', steps(put('a'), put('b'), inner([put('c'), put('d')])), 5],
    ['levels', steps(inner([inner([inner([inner([put('a')])])])])), 5],
  ])('for too many %s', (_, txn, size) => {
    expect(() => checkTxn(txn, 4)).toThrow(new LimitError('transaction', 'maxTxnOps', size, 4));
    expect(() => checkTxn(txn, size)).not.toThrow();
  });
});

describe('a transaction is accepted', () => {
  it.each<[string, Txn]>([
    ['that is empty', {}],
    ['that writes one key in either branch', { success: [put('k')], failure: [put('k')] }],
    ['that deletes twice', steps(remove('k'), remove('a', 'z'), remove('b', '\0'))],
    ['that puts beside what it deletes', steps(remove('a', 'k'), put('k'), remove('k\0', 'z'))],
    ['one of whose ways puts what the other deletes', steps(inner([put('k')], [remove('k')]))],
    ['that reads an empty range', steps({ range: { key: 'b', end: 'a' } })],
    [
      'with every property of a read',
      steps({
        range: { key: 'a', end: '\0', limit: 0, sortBy: 'mod', order: 'ascending', revision: 0n },
      }),
    ],
    [
      'with every kind of condition',
      {
        compare: (['create', 'mod', 'version', 'lease'] as const).map((target) => ({
          key: 'k',
          target,
          is: '!=',
          to: 7n,
        })),
      },
    ],
    [
      'with conditions on values',
      { compare: [{ key: 'k', end: '\0', target: 'value', to: Uint8Array.of(1) }] },
    ],
  ])('%s', (_, txn) => {
    expect(() => checkTxn(txn)).not.toThrow();
  });
});

describe('checking', () => {
  const key = fc.constantFrom('a', 'a\0', 'b', 'c', '\xff');
  const leaf: fc.Arbitrary<Operation> = fc.oneof(
    { weight: 3, arbitrary: key.map(put) },
    fc
      .tuple(key, fc.option(fc.oneof(key, fc.constant('\0')), { nil: undefined }))
      .map(([from, end]) => remove(from, end)),
    fc.record({ range: fc.record({ key, end: key }) }),
  );
  const branch = (depth: number): fc.Arbitrary<Operation[]> =>
    fc.array(
      depth === 0
        ? leaf
        : fc.oneof(
            { weight: 3, arbitrary: leaf },
            fc.tuple(branch(depth - 1), branch(depth - 1)).map(([yes, no]) => inner(yes, no)),
          ),
      { maxLength: 3 },
    );

  it('finds all that etcd refuses', { timeout: 180_000 }, async () => {
    const prefix = `${etcd.name()}/`;
    const store = new Namespace(etcd.admin, prefix);
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(branch(2), branch(1), async (success, failure) => {
        const txn = { success, failure };
        try {
          checkTxn(txn, 6);
        } catch (error) {
          fc.pre(!(error instanceof ArgumentError || error instanceof LimitError));
          throw error;
        }
        accepted += 1;
        expect(await rejection(store.commit(txn))).not.toBeInstanceOf(RefusedError);
      }),
      { numRuns: 300 },
    );
    expect(accepted).toBeGreaterThanOrEqual(300);
    await etcd.admin.commit({ success: [{ delete: prefixRange(prefix) }] });
  });
});
