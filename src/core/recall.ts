import { Footprints, footprintOf } from './footprint.js';
import { type Data, type KeyRange, toBytes } from './keys.js';
import type {
  CallOptions,
  Compare,
  KeyValue,
  Operation,
  OperationReply,
  RangeRequest,
  Store,
  Txn,
  TxnReply,
} from './store.js';

/** Whether a condition held before the transaction. */
type Truth = (compare: Compare) => boolean;
/** A step that was run, and is no transaction itself. */
type Step = Exclude<Operation, { readonly txn: Txn }>;

/** So many reads travel in one request: fewer than etcd's limit. */
const atOnce = 100;
const nothing: OperationReply = { kvs: [], count: 0 };

/**
 * Tells from history what etcd replied to a transaction that it applied at `revision`, changing something.
 *
 * @returns `undefined` if history does not tell, since something was read between two steps that write there.
 * @throws CompactedError if etcd has forgotten; else as `commit` of the store.
 */
export async function recall(
  store: Store,
  txn: Txn,
  revision: bigint,
  options: CallOptions,
): Promise<TxnReply | undefined> {
  const before = revision - 1n;
  const compares = comparesOf(txn);
  const compared = compares.map((compare) => ({ ...rangeOf(compare), revision: before }));
  const found = await ask(store, compared, options);
  const held = new Set(compares.filter((compare, i) => holds(compare, found[i]?.kvs ?? [])));
  const truth: Truth = (compare) => held.has(compare);

  const steps = stepsOf(txn, truth);
  const questions = steps.map((step, i) => questionOf(step, i, steps, before));
  if (questions.includes('unknown')) return undefined;
  const asked = questions.filter((question) => typeof question === 'object');
  const answers = await ask(store, asked, options);
  const replies = steps.map((step, i) =>
    replyOf(step, questions[i] === 'none' ? nothing : (answers.shift() ?? nothing)),
  );
  return { ...assemble(txn, truth, replies), revision };
}

/** Reads of the past: being about fixed revisions, they need not be one transaction. */
async function ask(
  store: Store,
  questions: readonly RangeRequest[],
  options: CallOptions,
): Promise<OperationReply[]> {
  const replies: OperationReply[] = [];
  for (let from = 0; from < questions.length; from += atOnce) {
    const success = questions.slice(from, from + atOnce).map((range) => ({ range }));
    replies.push(...(await store.commit({ success }, options)).replies);
  }
  return replies;
}

/** All conditions, also of the branches that did not run. */
function comparesOf({ compare = [], success = [], failure = [] }: Txn): Compare[] {
  const nested = [...success, ...failure].flatMap((step) =>
    'txn' in step ? comparesOf(step.txn) : [],
  );
  return [...compare, ...nested];
}

/** As etcd compares: every key of the range, or the absence of all. */
function holds({ target, is = '=', to }: Compare, kvs: readonly KeyValue[]): boolean {
  const relates = (sign: number): boolean =>
    is === '=' ? sign === 0 : is === '!=' ? sign !== 0 : is === '<' ? sign < 0 : sign > 0;
  if (target === 'value') {
    // A missing key has no value, and nothing can be said of it.
    return kvs.length > 0 && kvs.every(({ value }) => relates(value.compare(toBytes(to as Data))));
  }
  const numbers = kvs.map((kv) => kv[fields[target]]);
  return (numbers.length > 0 ? numbers : [0n]).every((number) =>
    relates(number === to ? 0 : number < (to as bigint) ? -1 : 1),
  );
}

const fields = {
  create: 'createRevision',
  mod: 'modRevision',
  version: 'version',
  lease: 'lease',
} as const;

/** What ran, in order. */
function stepsOf(txn: Txn, truth: Truth): Step[] {
  return branchOf(txn, truth).flatMap((step) =>
    'txn' in step ? stepsOf(step.txn, truth) : [step],
  );
}

function branchOf(
  { compare = [], success = [], failure = [] }: Txn,
  truth: Truth,
): readonly Operation[] {
  return compare.every(truth) ? success : failure;
}

/** What to read to learn what a step gave: nothing, or what cannot be read any more. */
function questionOf(
  step: Step,
  place: number,
  steps: readonly Step[],
  before: bigint,
): RangeRequest | 'none' | 'unknown' {
  const range = rangeOf(keysOf(step));
  const keys = footprintOf({ success: [{ range }] });
  const writtenBy = (others: readonly Step[]): boolean => {
    const written = new Footprints();
    for (const other of others) {
      if (!('range' in other)) written.add(footprintOf({ success: [other] }));
    }
    return written.conflict(keys);
  };
  const writtenEarlier = writtenBy(steps.slice(0, place));
  if ('range' in step) {
    if (step.range.revision) return step.range;
    if (!writtenEarlier) return { ...step.range, revision: before };
    const writtenLater = writtenBy(steps.slice(place + 1));
    return writtenLater ? 'unknown' : { ...step.range, revision: before + 1n };
  }
  const { previous = false } = 'put' in step ? step.put : step.delete;
  if ('put' in step && !previous) return 'none';
  return writtenEarlier ? 'unknown' : { ...range, revision: before, countOnly: !previous };
}

/** What a step gave, by what was read for it. */
function replyOf(step: Step, { kvs, count }: OperationReply): OperationReply {
  return { kvs, count: 'put' in step ? 0 : count };
}

/** Puts the replies to all steps, in order, where they belong. */
function assemble(txn: Txn, truth: Truth, replies: OperationReply[]): TxnReply {
  return {
    succeeded: (txn.compare ?? []).every(truth),
    // As etcd has it in nested replies.
    revision: 0n,
    replies: branchOf(txn, truth).map((step) =>
      'txn' in step
        ? { kvs: [], count: 0, txn: assemble(step.txn, truth, replies) }
        : (replies.shift() ?? nothing),
    ),
  };
}

function keysOf(step: Step): KeyRange {
  if ('put' in step) return step.put;
  return 'delete' in step ? step.delete : step.range;
}

function rangeOf({ key, end }: KeyRange): KeyRange {
  return end === undefined ? { key } : { key, end };
}
