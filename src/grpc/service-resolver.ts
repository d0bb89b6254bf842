import type { experimental } from '@grpc/grpc-js';
import type { InstanceSource } from '../discovery/instance.js';
import { endpointOf } from './endpoint.js';
import { type AnyListener, tellEndpoints, tellError } from './listener.js';

/** Instances that are followed until they are disposed of, such as a directory. */
export type FollowedInstances = InstanceSource & Partial<Disposable>;

/** Tells one channel of grpc-js where the instances of a service are, as long as it is in use. */
export class ServiceResolver implements experimental.Resolver {
  readonly #service: string;
  readonly #open: (service: string) => FollowedInstances;
  readonly #listener: AnyListener;
  #following: AbortController | undefined;
  /** What was told last. */
  #told: string | undefined;

  constructor(
    service: string,
    open: (service: string) => FollowedInstances,
    listener: AnyListener,
  ) {
    this.#service = service;
    this.#open = open;
    this.#listener = listener;
  }

  /** The channel begins, or had no luck. Changes are told without being asked for. */
  updateResolution(): void {
    if (this.#following) return;
    this.#following = new AbortController();
    void this.#follow(this.#following.signal);
  }

  /** The channel is closed, or idle. */
  destroy(): void {
    this.#following?.abort();
    this.#following = undefined;
    this.#told = undefined;
  }

  async #follow(signal: AbortSignal): Promise<void> {
    // Nothing may be told before `updateResolution` returns.
    await Promise.resolve();
    let source: FollowedInstances | undefined;
    try {
      source = this.#open(this.#service);
      for await (const _ of source.watch?.({ signal }) ?? [0]) {
        if (signal.aborted) break;
        this.#tell(source);
      }
      // Who tells of no changes, or of no more, is asked again.
      if (!signal.aborted) this.#following = undefined;
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    } finally {
      source?.[Symbol.dispose]?.();
    }
  }

  #tell(source: FollowedInstances): void {
    const called = source.instances().filter(({ weight = 1 }) => weight > 0);
    const addresses = [...new Set(called.map(({ address }) => address))].toSorted();
    const told = addresses.join();
    // Who is told anew connects anew.
    if (told === this.#told) return;
    this.#told = told;
    const endpoints = addresses.map(endpointOf).filter((endpoint) => endpoint !== undefined);
    const note = `${endpoints.length} of ${addresses.length} addresses of ${this.#service} can be used`;
    tellEndpoints(this.#listener, endpoints, note);
    // Otherwise grpc-js has calls wait for what may never come.
    if (endpoints.length === 0) tellError(this.#listener, note);
  }

  /** The addresses told last stay; the next time that the channel asks is another try. */
  #fail(error: unknown): void {
    this.#following = undefined;
    tellError(this.#listener, `${this.#service} cannot be followed: ${String(error)}`);
  }
}
