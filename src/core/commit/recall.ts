import { CompactedError } from '../store/errors.js';
import { type Data, type KeyRange, toBytes } from '../store/keys.js';
import type {
  CallOptions,
  Compare,
  Operation,
  OperationReply,
  RangeRequest,
  Store,
  Txn,
} from '../store/store.js';
import { Footprints, footprintOf } from './footprint.js';

/** Whether a condition held before the transaction; `undefined` if etcd has forgotten. */
type Truth = (compare: Compare) => boolean | undefined;
/** A step that was run, and is no transaction itself. */
type Step = Exclude<Operation, { readonly txn: Txn }>;

/** What is known of a reply. */
export interface Recalled {
  /** What each step gave; `undefined` where history does not tell, at least not of all that is in it. */
  readonly replies: readonly (OperationReply | undefined)[];
  /** Why etcd has forgotten, where it has. */
  readonly cause?: CompactedError;
}

/** So many reads travel in one request: fewer than etcd's limit. */
const atOnce = 100;
const nothing: OperationReply = { kvs: [], count: 0 };

/**
 * Tells from history what etcd replied to a transaction that it applied at `revision`, changing something. It does not tell
 * what was read between two steps that write there.
 *
 * @param ran - the steps that it took, by its conditions
 * @throws as `commit` of the store.
 */
export async function recall(
  store: Store,
  ran: readonly Operation[],
  revision: bigint,
  options: CallOptions,
): Promise<Recalled> {
  const past = new Past(store, options);
  const before = revision - 1n;
  const compares = comparesIn(ran);
  const compared = compares.map((compare) => ({ ...rangeOf(compare), revision: before }));
  const found = await past.ask(compared);
  const held = new Map(compares.map((compare, i) => [compare, holds(compare, found[i])]));
  const truth: Truth = (compare) => held.get(compare);
  const steps = stepsOf(ran, truth);
  const questions = steps.map((step, i) => questionOf(step, i, steps, before));
  const answers = await past.ask(questions.filter((question) => typeof question === 'object'));
  const replies = steps.map((step, i) => {
    if (questions[i] === 'unknown') return undefined;
    return replyOf(step, questions[i] === 'none' ? nothing : answers.shift());
  });
  return { replies: assemble(ran, truth, replies), ...(past.cause && { cause: past.cause }) };
}

/** Reads of the past: being about fixed revisions, they need not be one transaction. */
class Past {
  /** Why what was asked has no answer. */
  cause: CompactedError | undefined;
  readonly #store: Store;
  readonly #options: CallOptions;

  constructor(store: Store, options: CallOptions) {
    this.#store = store;
    this.#options = options;
  }

  async ask(questions: readonly RangeRequest[]): Promise<(OperationReply | undefined)[]> {
    const replies: (OperationReply | undefined)[] = [];
    for (let from = 0; from < questions.length; from += atOnce) {
      const success = questions.slice(from, from + atOnce).map((range) => ({ range }));
      try {
        replies.push(...(await this.#store.commit({ success }, this.#options)).replies);
      } catch (error) {
        if (!(error instanceof CompactedError)) throw error;
        this.cause = error;
        replies.push(...success.map(() => undefined));
      }
    }
    return replies;
  }
}

/** All conditions of nested transactions, also in the branches that did not run. */
function comparesIn(steps: readonly Operation[]): Compare[] {
  return steps.flatMap((step) => {
    if (!('txn' in step)) return [];
    const { compare = [], success = [], failure = [] } = step.txn;
    return [...compare, ...comparesIn([...success, ...failure])];
  });
}

/** As etcd compares: every key of the range, or the absence of all. */
function holds(
  { target, is = '=', to }: Compare,
  reply: OperationReply | undefined,
): boolean | undefined {
  if (!reply) return undefined;
  const { kvs } = reply;
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

/** What ran, in order; a transaction only where it is not known which way it took. */
function stepsOf(branch: readonly Operation[], truth: Truth): Operation[] {
  return branch.flatMap((step) => {
    const inner = innerOf(step, truth);
    return inner ? stepsOf(inner, truth) : [step];
  });
}

/** The steps that ran of one that is a transaction, if that is known. */
function innerOf(step: Operation, truth: Truth): readonly Operation[] | undefined {
  return 'txn' in step ? branchOf(step.txn, truth) : undefined;
}

/** `undefined` if it is not known which it was. */
function branchOf(
  { compare = [], success = [], failure = [] }: Txn,
  truth: Truth,
): readonly Operation[] | undefined {
  const held = new Set(compare.map(truth));
  if (held.has(false)) return failure;
  return held.has(undefined) ? undefined : success;
}

/** What to read to learn what a step gave: nothing, or what cannot be read any more. */
function questionOf(
  step: Operation,
  place: number,
  steps: readonly Operation[],
  before: bigint,
): RangeRequest | 'none' | 'unknown' {
  if ('txn' in step) return 'unknown';
  const range = rangeOf(keysOf(step));
  const keys = footprintOf({ success: [{ range }] });
  const writtenBy = (others: readonly Operation[]): boolean => {
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
function replyOf(step: Operation, read: OperationReply | undefined): OperationReply | undefined {
  return read && { kvs: read.kvs, count: 'put' in step ? 0 : read.count };
}

/** Puts the replies to all steps, in order, where they belong. */
function assemble(
  branch: readonly Operation[],
  truth: Truth,
  replies: (OperationReply | undefined)[],
): (OperationReply | undefined)[] {
  return branch.map((step) => {
    const inner = innerOf(step, truth);
    if (!inner) return replies.shift();
    const all = assemble(inner, truth, replies);
    const known = all.filter((reply) => reply !== undefined);
    if (known.length < all.length) return undefined;
    const succeeded = 'txn' in step && (step.txn.compare ?? []).every(truth);
    // As etcd has it in nested replies.
    return { kvs: [], count: 0, txn: { succeeded, revision: 0n, replies: known } };
  });
}

function keysOf(step: Step): KeyRange {
  if ('put' in step) return step.put;
  return 'delete' in step ? step.delete : step.range;
}

function rangeOf({ key, end }: KeyRange): KeyRange {
  return end === undefined ? { key } : { key, end };
}
