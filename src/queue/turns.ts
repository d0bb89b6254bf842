import { type Footprint, Footprints } from '../core/commit/footprint.js';

/** So many are looked at as one: what has to do with one of them waits for all. */
const together = 32;

/**
 * Has steps that have to do with each other taken one after the other, in the order in which they come. Others need not wait.
 */
export class Turns {
  #groups: Group[] = [];

  /** Takes a step when those before it are over, however they ended: at once where there are none. */
  take<T>(footprint: Footprint, step: () => Promise<T>): Promise<T> {
    this.#groups = this.#groups.filter(({ isOver }) => !isOver);
    const met = this.#groups.filter((group) => group.footprints.conflict(footprint));
    const before = met.map((group) => group.settled());
    const done = before.length === 0 ? step() : Promise.all(before).then(step);
    let last = this.#groups.at(-1);
    if (!last || last.size === together) this.#groups.push((last = new Group()));
    last.add(footprint, done);
    return done;
  }
}

/** Steps that are looked at as one. */
class Group {
  readonly footprints = new Footprints();
  readonly #underWay = new Set<Promise<void>>();
  size = 0;

  get isOver(): boolean {
    return this.#underWay.size === 0;
  }

  /** Resolves when those are over that are in it by now. */
  settled(): Promise<unknown> {
    return Promise.all(this.#underWay);
  }

  add(footprint: Footprint, done: Promise<unknown>): void {
    this.size += 1;
    this.footprints.add(footprint);
    const leave = (): void => void this.#underWay.delete(over);
    const over: Promise<void> = done.then(leave, leave);
    this.#underWay.add(over);
  }
}
