/** One test of a suite, for any test framework: `for (const { name, run } of suite) test(name, run)`. */
export interface TestCase {
  /** What is tested, as a sentence; unlike all others of its suite. */
  readonly name: string;
  /** Runs it, and cleans up after it. Rejects if it fails, most often with an `AssertionError`. */
  readonly run: () => Promise<void>;
}
