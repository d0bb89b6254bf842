/** How often something was done, and in how many milliseconds. */
export interface Turn {
  readonly count: number;
  readonly ms: number;
}

/** Has so many callers do something again and again, each waiting for its answer, for so many milliseconds. */
export async function turn(
  act: () => Promise<unknown>,
  callers: number,
  ms: number,
): Promise<Turn> {
  const started = performance.now();
  let count = 0;
  const caller = async (): Promise<void> => {
    while (performance.now() - started < ms) {
      await act();
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return { count, ms: performance.now() - started };
}

/** Gives every contender its turn, again and again, and changes who is first; what each of them gave. */
export async function takeTurns<T>(
  count: number,
  contenders: readonly (() => Promise<T>)[],
): Promise<T[][]> {
  const found: T[][] = contenders.map(() => []);
  for (let round = 0; round < count; round += 1) {
    const order = [...contenders.keys()];
    for (const index of round % 2 === 0 ? order : order.toReversed()) {
      found[index]?.push(await (contenders[index] as () => Promise<T>)());
    }
  }
  return found;
}
