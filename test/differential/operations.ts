import type { Calls } from '../support/raw-client.js';

/** A revision that is known only when the request is made. */
export interface RevisionAt {
  /** Before all, of the last change, of the last compaction, when the sequence began, or of a key's last change. */
  readonly at: 'zero' | 'now' | 'compacted' | 'start' | 'put';
  /** For `put`. */
  readonly of?: string;
  readonly plus: number;
}

/** The ID of the n-th lease of the sequence whose ID etcd chose. */
interface ChosenLease {
  readonly chosen: number;
}

/** Many bytes. */
interface Repeated {
  readonly repeat: string;
  readonly times: number;
}

/** The same value many times, as a list. */
interface Copies {
  readonly copies: number;
  readonly item: unknown;
}

/** A request with stand-ins for what is known only when it is made. */
export type Template = Readonly<Record<string, unknown>>;

/** One thing that is done to both etcds. */
export type Operation =
  | { readonly does: keyof Calls; readonly request: Template }
  | { readonly does: 'range stream'; readonly request: Template }
  /** Grants a lease that would end soon, and revokes it at once. */
  | { readonly does: 'brief lease'; readonly request: Template }
  | { readonly does: 'keep alive'; readonly id: unknown }
  | { readonly does: 'watch'; readonly stream: number; readonly request: Template }
  | { readonly does: 'cancel'; readonly stream: number; readonly watchId: bigint }
  | { readonly does: 'progress'; readonly stream: number }
  /** Ends a stream. */
  | { readonly does: 'end'; readonly stream: number };

/** What stand-ins stand for. */
export interface Known {
  revision(at: RevisionAt): number;
  lease(chosen: number): bigint;
}

/** A template with all stand-ins replaced. */
export function fill(template: unknown, known: Known): unknown {
  if (Array.isArray(template)) return template.map((item) => fill(item, known));
  if (typeof template !== 'object' || template === null) return template;
  if ('at' in template) return known.revision(template as RevisionAt);
  if ('chosen' in template) return known.lease((template as ChosenLease).chosen);
  if ('repeat' in template) {
    const { repeat, times } = template as Repeated;
    return repeat.repeat(times);
  }
  if ('copies' in template) {
    const { copies, item } = template as Copies;
    return Array.from({ length: copies }, () => fill(item, known));
  }
  return Object.fromEntries(
    Object.entries(template).map(([name, value]) => [name, fill(value, known)]),
  );
}
