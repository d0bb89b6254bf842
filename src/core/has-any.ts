/** Whether a list has a first. */
export function hasAny<T>(list: readonly T[]): list is readonly [T, ...T[]] {
  return list.length > 0;
}
