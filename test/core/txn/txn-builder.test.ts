import { describe, expect, expectTypeOf, it } from 'vitest';
import { Client } from '../../../src/core/client.js';
import { prefixRange } from '../../../src/core/store/keys.js';
import { TxnBuilder } from '../../../src/core/txn/txn-builder.js';
import { compare } from '../../../src/core/txn/txn-compare.js';
import {
  type DeleteResult,
  op,
  type PutResult,
  type RangeResult,
} from '../../../src/core/txn/txn-steps.js';
import {
  type Compare,
  type KeyValue,
  LimitError,
  Namespace,
  RefusedError,
} from '../../../src/index.js';
import { useEtcd } from '../../support/etcd.js';

const etcd = useEtcd();

function open(): { client: Client; store: Namespace } {
  const prefix = `${etcd.name()}/`;
  etcd.defer(() => etcd.admin.commit({ success: [{ delete: prefixRange(prefix) }] }));
  const store = new Namespace(etcd.admin, prefix);
  return { client: new Client(store), store };
}
const text = (kv: KeyValue | undefined): string | undefined => kv?.value.toString();

describe('a transaction', () => {
  it('gives what each step gave, by its type', async () => {
    const { client } = open();
    await client.put('old', '1');
    const { revision, succeeded, success } = await client
      .txn()
      .success(op.put('k', 'v'), op.get('k'))
      .success(
        op.range({ key: '\0', end: '\0' }),
        op.delete('old', { previous: true }),
        op.get('old'),
      )
      .commit();
    expectTypeOf(success).toEqualTypeOf<
      [PutResult, KeyValue | undefined, RangeResult, DeleteResult, KeyValue | undefined]
    >();
    expectTypeOf(succeeded).toEqualTypeOf<true>();
    const [put, got, range, deleted, gone] = success;
    expect(put).toEqual({ previous: undefined });
    expect(got).toMatchObject({ value: Buffer.from('v'), modRevision: revision });
    expect([range.count, range.kvs.map(({ key }) => key.toString())]).toEqual([2, ['k', 'old']]);
    expect([deleted.deleted, deleted.previous.map(text)]).toEqual([1, ['1']]);
    expect(gone).toBe(undefined);
  });

  it('runs one branch, and the type of the reply tells which', async () => {
    const { client } = open();
    const create = async (value: string): Promise<string | undefined> => {
      const { succeeded, success, failure } = await client
        .txn()
        .if(compare('k').missing())
        .success(op.put('k', value))
        .failure(op.get('k'), op.get('other'))
        .commit();
      if (succeeded) {
        expectTypeOf(success).toEqualTypeOf<[PutResult]>();
        expectTypeOf(failure).toEqualTypeOf<undefined>();
        return failure;
      }
      expectTypeOf(failure).toEqualTypeOf<[KeyValue | undefined, KeyValue | undefined]>();
      expectTypeOf(success).toEqualTypeOf<undefined>();
      return text(failure[0]) ?? success;
    };
    expect(await create('mine')).toBe(undefined);
    expect(await create('yours')).toBe('mine');
  });

  it('can have others in it', async () => {
    const { client } = open();
    await client.put('a', '1');
    const { success } = await client
      .txn()
      .success(
        op.put('b', '1'),
        op.txn({
          if: [compare('a').exists(), compare('b').missing()],
          success: [op.get('b'), op.txn({ success: [op.put('c', '')] })],
          failure: [op.delete('a')],
        }),
        op.txn({ if: [compare('a').missing()], failure: [op.get('a')] }),
      )
      .commit();
    const [, first, second] = success;
    expect(first.succeeded && text(first.success[0])).toBe('1');
    expect(first.success?.[1].success).toEqual([{ previous: undefined }]);
    expect(second.succeeded || text(second.failure[0])).toBe('1');
    expect(await client.count('c')).toBe(1);
  });

  it('takes lists of steps', async () => {
    const { client } = open();
    const keys = ['a', 'b', 'c'];
    await client
      .txn()
      .success(...keys.map((key) => op.put(key, key)))
      .commit();
    const { success } = await client
      .txn()
      .success(...keys.map((key) => op.get(key)))
      .commit();
    expect(success.map(text)).toEqual(keys);
  });

  it('is sent again when committed again, with what was added since', async () => {
    const { client } = open();
    const txn = client.txn().success(op.put('k', 'v'));
    const [first, second] = [await txn.commit(), await txn.commit()];
    expect(second.revision).toBe(first.revision + 1n);
    const { success } = await txn.success(op.get('k')).commit();
    expect(success[1]?.version).toBe(3n);
  });

  it('can be handed through promises: it is nothing to wait for', async () => {
    const { client } = open();
    const begin = async (): Promise<TxnBuilder> => client.txn();
    expect(await begin()).toBeInstanceOf(TxnBuilder);
    expect('then' in (await begin())).toBe(false);
    expect(await client.count('k')).toBe(0);
  });

  it('refuses what cannot be before it is sent', async () => {
    const { client } = open();
    const twice = client.txn().success(op.put('k', '1'), op.put('k', '2'));
    await expect(twice.commit()).rejects.toThrow(
      /key must be written at most once in a transaction, got 'k'/,
    );
    const many = client.txn().success(...Array.from({ length: 129 }, (_, i) => op.get(`k${i}`)));
    await expect(many.commit()).rejects.toThrow(LimitError);
    await expect(many.commit()).rejects.toMatchObject({ size: 129, limit: 128 });
  });

  it('passes on what etcd refuses', async () => {
    const { client } = open();
    const txn = client.txn().success(op.put('k', '', { lease: 0x7eee_eeee_eeeen }));
    await expect(txn.commit()).rejects.toThrow(RefusedError);
  });

  it('has as many operations as the client was told that etcd takes', async () => {
    const { store } = open();
    const client = new Client(store, { maxTxnOps: 2 });
    const txn = client.txn().success(op.get('a'), op.get('b'));
    expect((await txn.commit()).success).toHaveLength(2);
    await expect(txn.success(op.get('c')).commit()).rejects.toThrow(/maxTxnOps allows 2/);
  });
});

describe('conditions', () => {
  it('hold or not as their words say', async () => {
    const { client } = open();
    const { revision } = await client.put('k', 'b');
    await client.put('k2', 'b');
    const holds = async (...conditions: Compare[]): Promise<boolean> =>
      (
        await client
          .txn()
          .if(...conditions)
          .commit()
      ).succeeded;
    const k = compare('k');
    expect(await holds(k.exists())).toBe(true);
    expect(await holds(k.missing())).toBe(false);
    expect(await holds(compare('none').exists())).toBe(false);
    expect(await holds(compare('none').missing(), k.exists())).toBe(true);
    expect(await holds(k.exists(), k.missing())).toBe(false);
    expect(await holds(k.value('=', 'b'), k.value('<', 'c'), k.value('!=', 'a'))).toBe(true);
    expect(await holds(k.value('>', 'b'))).toBe(false);
    expect(await holds(k.version('=', 1n), k.lease('=', 0n))).toBe(true);
    expect(await holds(k.create('=', revision), k.mod('<', revision + 1n))).toBe(true);
    expect(await holds(k.mod('>', revision))).toBe(false);
  });

  it('on a range are those on each of its keys', async () => {
    const { client } = open();
    const { revision } = await client.put('a/1', '');
    await client.put('a/2', '');
    const holds = async (...conditions: Compare[]): Promise<boolean> =>
      (
        await client
          .txn()
          .if(...conditions)
          .commit()
      ).succeeded;
    const [some, none] = [compare(prefixRange('a/')), compare(prefixRange('b/'))];
    expect(await holds(some.exists(), none.missing())).toBe(true);
    expect(await holds(some.missing())).toBe(false);
    expect(await holds(none.exists())).toBe(false);
    expect(await holds(some.version('=', 1n))).toBe(true);
    expect(await holds(some.mod('<', revision + 1n))).toBe(false);
  });
});
