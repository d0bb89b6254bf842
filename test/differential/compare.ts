import fc, { type Arbitrary } from 'fast-check';
import { Difference } from './difference.js';

/** Sequences of one seed. */
const SEQUENCES = 25;

/** Milliseconds. */
const LONGEST_SHRINK = 60_000;

/** What a comparison found. */
export interface Comparison {
  readonly requests: number;
  /** How often each thing happened: operations, errors, and messages of watches. */
  readonly counts: ReadonlyMap<string, number>;
  /** The shortest sequence found on which the two do not do the same, and how they differ. */
  readonly difference: string | undefined;
}

/** A real etcd and ours, to which the same is done. */
interface Pairing<Operation> {
  /** Requests that both were sent. */
  readonly requests: number;
  /** Does the same to both. @throws Difference */
  run(operations: readonly Operation[]): Promise<void>;
  stop(): Promise<void>;
}

/** What is compared, and how. */
export interface Subject<Operation> {
  /** Sequences of things to do. */
  readonly operations: Arbitrary<Operation[]>;
  /** What must have happened in a comparison for it to mean something. */
  readonly expected: readonly string[];
  /** Starts both. */
  start(counts: Map<string, number>): Promise<Pairing<Operation>>;
}

/** How much to compare. */
export interface ComparisonOptions {
  readonly seed: number;
  /** How many requests to send at least, unless a difference is found. */
  readonly requests: number;
  /** A single sequence of `seed`, as a report named it. */
  readonly path?: string;
  /** Whether a difference is looked at until the sequence is short. */
  readonly shrink?: boolean;
  /** How many of each etcd are run at a time: while one waits, another works. @defaultValue 1 */
  readonly pairs?: number;
  readonly onProgress?: (requests: number, counts: ReadonlyMap<string, number>) => void;
}

/** Does the same random things to a real etcd and to the one in this process until they differ. */
export async function compareEtcds<Operation>(
  subject: Subject<Operation>,
  options: ComparisonOptions,
): Promise<Comparison> {
  const { requests, seed, path, pairs = 1, onProgress } = options;
  const counts = new Map<string, number>();
  let [sent, round] = [0, 0];
  let difference: string | undefined;
  const work = async (): Promise<void> => {
    await using comparator = new Comparator(subject, counts);
    while (sent < requests && difference === undefined) {
      round += 1;
      const found = await comparator.check(seed + round - 1, options);
      sent += found.requests;
      difference ??= found.difference;
      if (path !== undefined) break;
      onProgress?.(sent, counts);
    }
  };
  await Promise.all(Array.from({ length: path === undefined ? pairs : 1 }, work));
  return { requests: sent, counts, difference };
}

/** A pair that is replaced when it has come apart. */
class Comparator<Operation> implements AsyncDisposable {
  readonly #subject: Subject<Operation>;
  readonly #counts: Map<string, number>;
  #pair: Pairing<Operation> | undefined;

  constructor(subject: Subject<Operation>, counts: Map<string, number>) {
    this.#subject = subject;
    this.#counts = counts;
  }

  /** Runs the sequences of a seed. */
  async check(
    seed: number,
    { path, shrink = true }: Pick<ComparisonOptions, 'path' | 'shrink'>,
  ): Promise<{ requests: number; difference: string | undefined }> {
    let requests = 0;
    let failed = 0;
    const run = async (sequence: readonly Operation[]): Promise<void> => {
      // Whatever is left to try, the sequence is short enough.
      if (failed > 0 && performance.now() > failed + LONGEST_SHRINK) return;
      const pair = (this.#pair ??= await this.#subject.start(this.#counts));
      const before = pair.requests;
      try {
        await pair.run(sequence);
      } catch (error) {
        failed ||= performance.now();
        await this[Symbol.asyncDispose]();
        throw error;
      } finally {
        requests += pair.requests - before;
      }
    };
    const property = fc.asyncProperty<[readonly Operation[]]>(this.#subject.operations, run);
    const found = await fc.check<[readonly Operation[]]>(property, {
      seed,
      numRuns: SEQUENCES,
      endOnFailure: !shrink,
      ...(path === undefined ? {} : { path }),
    });
    return { requests, difference: found.failed ? describe(found) : undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pair?.stop();
    this.#pair = undefined;
  }
}

function describe<Operation>(found: fc.RunDetails<[readonly Operation[]]>): string {
  const { seed, counterexamplePath, counterexample, errorInstance } = found;
  if (!(errorInstance instanceof Difference)) throw errorInstance;
  const [sequence = []] = counterexample ?? [];
  const steps = sequence.map((operation, index) => `${index}: ${fc.stringify(tidy(operation))}`);
  return [
    `a difference with --seed ${seed} --path ${counterexamplePath}`,
    ...steps,
    errorInstance.message,
  ].join('\n');
}

/** Leaves out what is not there. */
function tidy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(tidy);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return Object.fromEntries(entries.map(([name, inner]) => [name, tidy(inner)]));
}
