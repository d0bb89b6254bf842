import type { Owner } from '../session/session.js';
import { type Data, toBytes } from '../store/keys.js';

/** Who put a key, and when. */
export interface Presence {
  /** Who they are; `undefined` for clients that do not say. */
  readonly owner: Owner | undefined;
  /** Milliseconds since they put it, by their wall clock and ours: to look at, not to rely on. */
  readonly age: number | undefined;
}

/** What owners say of themselves, up to the time. */
const words = new WeakMap<Owner, string>();

/** The value of a key that tells others who put it, and `more`. */
export function ticketOf(owner: Owner, more?: object): Data {
  if (more) return JSON.stringify({ ...more, ...owner, at: Date.now() });
  const text = words.get(owner) ?? JSON.stringify(owner).slice(0, -1);
  words.set(owner, text);
  return `${text},"at":${Date.now()}}`;
}

/** What such a value tells. Other clients may leave values empty, or put in what they like. */
export function presenceIn(value: Uint8Array): Presence {
  const fields = fieldsIn(value);
  const owner = ownerOf(fields);
  const { at } = fields;
  const age = owner && typeof at === 'number' ? Math.max(0, Date.now() - at) : undefined;
  return { owner, age };
}

/** Who an object says that they are; `undefined` if it does not. */
export function ownerOf(said: unknown): Owner | undefined {
  const { host, pid, label } = Object(said) as Partial<Record<keyof Owner, unknown>>;
  if (typeof host !== 'string' || typeof pid !== 'number') return undefined;
  return { host, pid, ...(typeof label === 'string' && { label }) };
}

/** All that such a value tells; nothing if it is no object of ours. */
export function fieldsIn(value: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const found: unknown = JSON.parse(toBytes(value).toString());
    return typeof found === 'object' && found !== null ? { ...found } : {};
  } catch {
    return {};
  }
}
