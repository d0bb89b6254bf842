import type { AccessControl } from '../../../src/core/store/access-control.js';
import { abortable } from '../../../src/core/time/signals.js';
import type { Store } from '../../../src/index.js';
import { waitFor } from '../../../src/testing/index.js';
import { override } from '../../support/override.js';

type Call = (...args: never[]) => Promise<unknown>;

/** Holds the requests of several actors back, and lets one after the other go on. */
export class Turns {
  readonly #held: { readonly actor: number; readonly go: () => Promise<void> }[] = [];

  /** A store whose requests wait for their turn: also those whose caller has gone away. */
  hold(actor: number, store: Store): Store {
    const held = <C extends Call>(call: C): C =>
      (async (...args: never[]) => {
        const { signal } = Object(args.at(-1)) as { signal?: AbortSignal };
        signal?.throwIfAborted();
        const options = signal && args.pop();
        const sent = options ? [...args, { ...Object(options), signal: undefined } as never] : args;
        const reply = new Promise((resolve, reject) => {
          const go = (): Promise<void> => call(...sent).then(resolve, reject);
          this.#held.push({ actor, go });
        });
        return signal ? abortable(reply, signal) : reply;
      }) as unknown as C;
    const access = new Proxy(store.access as AccessControl, {
      get: (target, method: keyof AccessControl) => {
        const real = target[method] as Call | undefined;
        return real && held(real.bind(target));
      },
    });
    return override(store, {
      access,
      read: held((...args: Parameters<Store['read']>) => store.read(...args)),
      commit: held((...args: Parameters<Store['commit']>) => store.commit(...args)),
    });
  }

  /** Plays until all actors have come to their ends, and nothing is held; `choose` says whose turn it is, if he has something to do. */
  async play(
    actors: readonly Promise<unknown>[],
    choose: (turn: number, alive: ReadonlySet<number>) => number | Promise<number>,
  ): Promise<void> {
    const alive = new Set(actors.keys());
    for (const [actor, end] of actors.entries()) {
      const leave = (): void => void alive.delete(actor);
      end.then(leave, leave);
    }
    const areAllHeld = (): boolean =>
      [...alive].every((one) => this.#held.some(({ actor }) => actor === one));
    for (let turn = 0; ; turn += 1) {
      await waitFor(areAllHeld, { interval: 1 });
      if (this.#held.length === 0) return;
      const whose = await choose(turn, alive);
      const index = this.#held.findIndex(({ actor }) => actor === whose);
      const [next] = this.#held.splice(Math.max(0, index), 1);
      await next?.go();
    }
  }
}
