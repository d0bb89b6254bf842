/** What a promise rejects with; `undefined` if it resolves. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return error;
  }
}

/** The same promise, to be awaited later: should its case fail before, nobody is troubled with how it ends. */
export function forLater<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
