import { isBefore, type Ready } from './ready.js';

/**
 * Jobs that are to be done one after the other, by what they are in order with: of each line the first may be claimed, and the
 * others wait until it is gone.
 *
 * That there is nothing before a job is a fact that lasts: whatever is put gets a later revision, also what comes back from
 * elsewhere. So whoever knows all jobs up to the revision of one may claim it by that alone, however old his knowledge is.
 */
export class OrderLines {
  readonly #lines = new Map<string, Ready[]>();

  add(job: Ready): void {
    if (job.order === undefined) return;
    const line = this.#lines.get(job.order);
    if (!line) {
      this.#lines.set(job.order, [job]);
      return;
    }
    let place = line.length;
    while (place > 0 && isBefore(job, line[place - 1] as Ready)) place -= 1;
    line.splice(place, 0, job);
  }

  /** It is there no more. Gives the one whose turn it is by that. */
  remove(job: Ready): Ready | undefined {
    const line = job.order === undefined ? undefined : this.#lines.get(job.order);
    const place = line?.indexOf(job) ?? -1;
    if (!line || place < 0) return undefined;
    line.splice(place, 1);
    if (line.length === 0) this.#lines.delete(job.order as string);
    return place === 0 ? line[0] : undefined;
  }

  /** Whether none that is known comes before it. */
  isFirst(job: Ready): boolean {
    return job.order === undefined || this.#lines.get(job.order)?.[0] === job;
  }
}
