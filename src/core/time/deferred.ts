/** A promise that is settled from outside. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: unknown): void;
}

/** Makes one. That nobody waits for it is no reason to report its rejection. */
export function deferred<T>(): Deferred<T> {
  const made = {} as { -readonly [P in keyof Deferred<T>]: Deferred<T>[P] };
  made.promise = new Promise<T>((resolve, reject) => {
    made.resolve = resolve;
    made.reject = reject;
  });
  made.promise.catch(nothing);
  return made;
}

function nothing(): void {}
