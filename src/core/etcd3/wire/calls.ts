import type { RangeReply, RangeRequest, Txn, TxnReply } from '../../store/store.js';
import { FieldReader } from './field-reader.js';
import { FieldWriter } from './field-writer.js';
import { readStep, readTxn } from './replies.js';
import { type SingleStep, writeDelete, writePut, writeRange, writeTxn } from './requests.js';

/** A call: where it goes, what is sent, and how its reply is read. */
export interface Call<T> {
  readonly path: string;
  readonly message: Buffer;
  /** @throws Error if it is no such reply. */
  readonly readReply: (bytes: Buffer) => T;
}

/** Reads a key or range; `serializable` as in `ReadOptions`. */
export function rangeCall(range: RangeRequest, serializable = false): Call<RangeReply> {
  return call(
    'Range',
    (to) => writeRange(to, range, serializable),
    (from) => readStep(from, 'range'),
  );
}

/** Runs a transaction; one that is no more than a single step, as that step: etcd has less to do then. */
export function txnCall(txn: Txn): Call<TxnReply> {
  const { compare = [], success = [], failure = [] } = txn;
  const isLone = success.length === 1 && compare.length + failure.length === 0;
  const step = isLone ? success[0] : undefined;
  if (!step || 'txn' in step) {
    return call(
      'Txn',
      (to) => writeTxn(to, txn),
      (from) => readTxn(from, txn),
    );
  }
  if ('range' in step) return call('Range', (to) => writeRange(to, step.range), readLone('range'));
  if ('put' in step) return call('Put', (to) => writePut(to, step.put), readLone('put'));
  return call('DeleteRange', (to) => writeDelete(to, step.delete), readLone('delete'));
}

const readLone =
  (kind: SingleStep) =>
  (from: FieldReader): TxnReply => {
    const { kvs, count, revision } = readStep(from, kind);
    return { succeeded: true, revision, replies: [{ kvs, count }] };
  };

function call<T extends { readonly revision: bigint }>(
  name: string,
  write: (to: FieldWriter) => void,
  read: (from: FieldReader) => T,
): Call<T> {
  const writer = new FieldWriter();
  write(writer);
  return {
    path: `/etcdserverpb.KV/${name}`,
    message: writer.finish(),
    readReply: (bytes) => {
      const reply = read(new FieldReader(bytes));
      if (reply.revision === 0n) throw new Error('a reply has no revision');
      return reply;
    },
  };
}
