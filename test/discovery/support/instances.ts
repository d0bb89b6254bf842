import { deferred } from '../../../src/core/time/deferred.js';
import { abortable } from '../../../src/core/time/signals.js';
import type { Instance, InstanceSource } from '../../../src/discovery/instance.js';

/** Instances that a test changes. */
export class FakeSource implements Required<InstanceSource> {
  readonly name = 'fake';
  /** Loops that wait for changes. */
  watchers = 0;
  /** What `instances` can first be relied on after. */
  isReady: Promise<unknown> = Promise.resolve();
  #instances: readonly Instance[];
  #news = deferred<void>();

  constructor(...instances: readonly (Instance | string)[]) {
    this.#instances = instances.map(instanceOf);
  }

  instances(): readonly Instance[] {
    return this.#instances;
  }

  set(...instances: readonly (Instance | string)[]): void {
    this.#instances = instances.map(instanceOf);
    this.#news.resolve();
    this.#news = deferred();
  }

  /** Watching cannot go on. */
  fail(error: unknown): void {
    this.#news.reject(error);
  }

  async *watch(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<void, void, void> {
    const { signal = new AbortController().signal } = options;
    this.watchers += 1;
    try {
      await abortable(this.isReady, signal);
      for (;;) {
        const { promise } = this.#news;
        yield;
        await abortable(promise, signal);
      }
    } finally {
      this.watchers -= 1;
    }
  }
}

function instanceOf(each: Instance | string): Instance {
  return typeof each === 'string' ? { id: each, address: `${each}:80` } : each;
}

/** Instances with these weights, called `0`, `1` and so on. */
export function weighted(weights: readonly number[]): Instance[] {
  return weights.map((weight, i) => ({ id: String(i), address: `host-${i}:80`, weight }));
}

/** How often each was given. */
export function tally<T>(count: number, next: () => T): Map<T, number> {
  const counts = new Map<T, number>();
  for (let i = 0; i < count; i += 1) {
    const one = next();
    counts.set(one, (counts.get(one) ?? 0) + 1);
  }
  return counts;
}
