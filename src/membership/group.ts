import { randomUUID } from 'node:crypto';
import { pairsIn } from '../core/line/line.js';
import type { Session } from '../core/session/session.js';
import { folderOf, prefixRange } from '../core/store/keys.js';
import type { WaitOptions } from '../core/time/signals.js';
import { entriesOf, type Member, membersOf } from './member.js';
import { Members, type MembersOptions } from './members.js';
import { Membership } from './membership.js';

/** How to join a group. */
export interface JoinOptions extends WaitOptions {
  /**
   * What tells us from the others. While another is a member with the same ID, here or elsewhere, we wait for it to go.
   * @defaultValue one that nobody else has
   */
  readonly id?: string;
}

/** Processes that know of each other: who is there, since when, and what each says of itself. */
export class Group<T> {
  /** The name under which processes meet. */
  readonly name: string;
  readonly #session: Session;
  readonly #folder: string;

  /** @throws ArgumentError if the name is empty. */
  constructor(session: Session, name: string) {
    this.#folder = folderOf('group', name);
    this.name = name;
    this.#session = session;
  }

  /**
   * Joins, and stays a member until `leave`, or the session is closed.
   *
   * @param payload - what others see of us: anything that JSON can carry
   * @throws ArgumentError if the ID is empty, or JSON cannot carry the payload.
   * @throws WaitTimeoutError after `options.timeout`, or the reason of `options.signal`, if another has the ID.
   * @throws RefusedError if etcd refuses it; ClosedError if the session is closed.
   */
  async join(payload: T, { id = randomUUID(), ...wait }: JoinOptions = {}): Promise<Membership<T>> {
    const spec = { recipe: 'group', name: this.name, folder: this.#folder, id };
    return Membership.join(this.#session, spec, payload, wait);
  }

  /**
   * A live view of the members. It begins at once; close it when it is not needed.
   *
   * @throws ArgumentError if an option is not usable; ClosedError if the session is closed.
   */
  members(options?: MembersOptions): Members<T> {
    return new Members<T>(this.#session, this.#folder, options);
  }

  /** Who is a member as of now, who joined first before the others. @throws the reason of `wait.signal`, WaitTimeoutError. */
  async inspect(wait: WaitOptions = {}): Promise<readonly Member<T>[]> {
    const range = prefixRange(this.#folder);
    const kvs = await pairsIn(this.#session, range, `group ${this.name}`, wait);
    return membersOf(this.#folder, entriesOf(kvs));
  }
}
