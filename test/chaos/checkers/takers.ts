import type { Change } from '../history.js';

const KEY = /^queue\/([^/]+)\/ready!consumers\//;
/** Microseconds in which a process hears for sure that another takes no jobs any more. */
const HEARD = 10_000_000;

/** How many take jobs from a revision on, and when that was seen. */
interface Since {
  readonly rev: number;
  readonly t: number;
  readonly count: number;
}

/** Which processes take jobs of which queues, as etcd has it: one that has died for as long as its lease. */
export class Takers {
  readonly #present = new Map<string, Set<string>>();
  readonly #counts = new Map<string, Since[]>();

  see(t: number, [rev, type, key]: Change): void {
    const queue = KEY.exec(key)?.[1];
    if (queue === undefined) return;
    const present = this.#present.get(queue) ?? new Set();
    if (type === 'put') present.add(key);
    else present.delete(key);
    this.#present.set(queue, present);
    const counts = this.#counts.get(queue) ?? [];
    counts.push({ rev, t, count: present.size });
    this.#counts.set(queue, counts);
  }

  /** Whether who has claimed a job by `token`, and began it at `t`, knew of others for whom there may have been earlier ones. */
  wereMany(queue: string, { t, token }: { readonly t: number; readonly token: number }): boolean {
    const counts = this.#counts.get(queue) ?? [];
    const many = counts.findLastIndex(({ rev, count }) => rev < token && count > 1);
    const alone = counts[many + 1];
    return many >= 0 && (!alone || token < alone.rev || t - alone.t < HEARD);
  }
}
