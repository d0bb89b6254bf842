import { hasAny } from './has-any.js';

/** A list divided into parts of so many each, and a last one of what is left. @param size - from 1 */
export function inParts<T>(list: readonly T[], size: number): (readonly [T, ...T[]])[] {
  const parts: (readonly [T, ...T[]])[] = [];
  for (let i = 0; i < list.length; i += size) {
    const part = list.slice(i, i + size);
    if (hasAny(part)) parts.push(part);
  }
  return parts;
}
