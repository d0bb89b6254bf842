import { type Keys, rangeOf } from '../store/key-span.js';
import type { Data, KeyRange } from '../store/keys.js';
import type {
  Compare,
  DeleteRequest,
  KeyValue,
  Operation,
  OperationReply,
  PutRequest,
  RangeRequest,
  Txn,
} from '../store/store.js';

/** One step of a transaction, and what its reply means. Made with `op`. */
export interface Step<Result> {
  readonly operation: Operation;
  result(reply: OperationReply): Result;
}

/** What each of some steps gives. */
export type Results<T extends readonly Step<unknown>[]> = {
  readonly [I in keyof T]: T[I] extends Step<infer Result> ? Result : never;
};

/** How to read one key. */
export type GetOptions = Pick<RangeRequest, 'revision' | 'keysOnly'>;
/** How to read a range. */
export type RangeOptions = Omit<RangeRequest, keyof KeyRange>;
/** How to write a key. */
export type PutOptions = Omit<PutRequest, 'key' | 'value'>;
/** How to delete. */
export type DeleteOptions = Omit<DeleteRequest, keyof KeyRange>;

/** What a put gave. */
export interface PutResult {
  /** The pair before, if it was asked for and there was one. */
  readonly previous: KeyValue | undefined;
}

/** What a delete gave. */
export interface DeleteResult {
  /** How many keys it deleted. */
  readonly deleted: number;
  /** The pairs before, by key, if they were asked for. */
  readonly previous: readonly KeyValue[];
}

/** What reading a range gave. */
export interface RangeResult {
  readonly kvs: readonly KeyValue[];
  /** How many keys the range holds, before limit and filters. */
  readonly count: number;
}

/** A transaction as data; for `op.txn`. */
export interface TxnParts<S extends readonly Step<unknown>[], F extends readonly Step<unknown>[]> {
  /** Decides which steps run. @defaultValue none, which holds */
  readonly if?: readonly Compare[];
  /** What happens if all conditions hold. */
  readonly success?: S;
  /** What happens otherwise. */
  readonly failure?: F;
}

/** What a transaction with conditions gave: the results of the branch that ran. */
export type TxnResult<S extends readonly unknown[], F extends readonly unknown[]> =
  | { readonly succeeded: true; readonly success: S; readonly failure: undefined }
  | { readonly succeeded: false; readonly success: undefined; readonly failure: F };

/** A transaction inside another: the same as a step of it. */
export interface TxnStep<Result> extends Step<Result> {
  readonly operation: { readonly txn: Txn };
}

const putOptions = ['lease', 'keepLease', 'previous'] as const;
const getOptions = ['revision', 'keysOnly'] as const;
const deleteOptions = ['previous'] as const;
const rangeOptions = [
  ...getOptions,
  'countOnly',
  'limit',
  'sortBy',
  'order',
  'minCreateRevision',
  'maxCreateRevision',
  'minModRevision',
  'maxModRevision',
] as const;

/** A request to read one key. */
export function getRequest(key: Data, options: GetOptions): RangeRequest {
  return { key, ...pick(options, getOptions) };
}

/** A request to read a key or range. */
export function rangeRequest(keys: Keys, options: RangeOptions): RangeRequest {
  return { ...rangeOf(keys), ...pick(options, rangeOptions) };
}

/** The steps that a transaction can have. What `result` makes of the reply is what `commit` gives for them. */
export const op = {
  /** Writes a key. */
  put(key: Data, value: Data, options: PutOptions = {}): Step<PutResult> {
    return {
      operation: { put: { key, value, ...pick(options, putOptions) } },
      result: ({ kvs }) => ({ previous: kvs[0] }),
    };
  },

  /** Reads a key, as of the steps before it. */
  get(key: Data, options: GetOptions = {}): Step<KeyValue | undefined> {
    return {
      operation: { range: getRequest(key, options) },
      result: ({ kvs }) => kvs[0],
    };
  },

  /** Reads a range, as of the steps before it. */
  range(keys: Keys, options: RangeOptions = {}): Step<RangeResult> {
    return {
      operation: { range: rangeRequest(keys, options) },
      result: ({ kvs, count }) => ({ kvs, count }),
    };
  },

  /** Deletes a key or range. */
  delete(keys: Keys, options: DeleteOptions = {}): Step<DeleteResult> {
    return {
      operation: { delete: { ...rangeOf(keys), ...pick(options, deleteOptions) } },
      result: ({ kvs, count }) => ({ deleted: count, previous: kvs }),
    };
  },

  /** A transaction of its own conditions and steps, which are judged by the state before the whole. */
  txn<const S extends readonly Step<unknown>[] = [], const F extends readonly Step<unknown>[] = []>(
    parts: TxnParts<S, F>,
  ): TxnStep<TxnResult<Results<S>, Results<F>>> {
    const { if: compare = [], success = [], failure = [] } = parts;
    const operations = (steps: readonly Step<unknown>[]): Operation[] =>
      steps.map(({ operation }) => operation);
    return {
      operation: {
        txn: { compare, success: operations(success), failure: operations(failure) },
      },
      result: ({ txn }) => {
        const succeeded = txn?.succeeded === true;
        const results = (succeeded ? success : failure).map((step, i) =>
          step.result(txn?.replies[i] ?? { kvs: [], count: 0 }),
        );
        const [yes, no] = succeeded ? [results, undefined] : [undefined, results];
        return { succeeded, success: yes, failure: no } as never;
      },
    };
  },
};

/** What is given of these options: others, such as how long the call may take, are not etcd's business. */
function pick<T extends object, K extends keyof T>(from: T, names: readonly K[]): Pick<T, K> {
  const picked = {} as Pick<T, K>;
  for (const name of names) if (from[name] !== undefined) picked[name] = from[name];
  return picked;
}
