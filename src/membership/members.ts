import { Mirror } from '../cache/mirror.js';
import { MirrorView } from '../cache/mirror-view.js';
import type { Session } from '../core/session/session.js';
import { prefixRange } from '../core/store/keys.js';
import type { WaitOptions } from '../core/time/signals.js';
import { type FieldsEntry, fields, type Member } from './member.js';
import { type MembersChange, Roster } from './roster.js';

/** What happens in a group. When it is told, all of its step can be read. */
export interface MembersEvents<T> {
  /** Also who came again, after it was told that it left. */
  joined: (member: Member<T>) => void;
  /** It has another payload. */
  changed: (member: Member<T>) => void;
  /** As it was last. */
  left: (member: Member<T>) => void;
  /** What can be read may be behind by more than `staleAfter`. */
  stale: () => void;
  /** It is not stale any more. */
  current: () => void;
  /** The view has failed: etcd refuses to have it read, or there is too much. It keeps what it has, and is tried again; told once until it is well. */
  error: (error: unknown) => void;
}

/** How to look at a group. */
export interface MembersOptions {
  /** Milliseconds for which it may be unknown whether it is as etcd has it before it is `stale`. @defaultValue 10,000 */
  readonly staleAfter?: number;
}

/**
 * A live view of who is in a group, in the order in which they joined: reading it costs no call. It goes on through outages and
 * refusals with the last it has seen, and tells how old that may be. Views of one group in one process share one watch.
 */
export class Members<T>
  extends MirrorView<FieldsEntry['value'], MembersEvents<T>>
  implements Iterable<Member<T>>
{
  readonly #folder: string;
  readonly #roster: Roster<T>;

  /** @throws ArgumentError if an option is not usable; ClosedError if the session is closed. */
  constructor(session: Session, folder: string, { staleAfter = 10_000 }: MembersOptions = {}) {
    super(
      new Mirror(session, prefixRange(folder), { codec: fields, onFailure: 'retry', staleAfter }),
    );
    this.#folder = folder;
    this.#roster = new Roster(folder);
    const look = (): void => this.#look();
    this.mirror
      .on('added', look)
      .on('changed', look)
      .on('removed', look)
      .on('stale', () => this.emit('stale'))
      .on('current', () => this.emit('current'))
      .on('error', (error) => this.emit('error', error));
  }

  /** How many there are. @throws as `list`. */
  get size(): number {
    return this.list().length;
  }

  /**
   * Settles when there is something to read, also if that is nobody.
   *
   * @throws WaitTimeoutError, or the reason of `wait.signal`; ClosedError if it or the session is closed; or why it failed, and is
   * tried again: RefusedError, LimitError.
   */
  ready(wait: WaitOptions = {}): Promise<void> {
    return this.mirror.ready(wait);
  }

  /**
   * All of them, who joined first before the others. The same array until something changes.
   *
   * @throws UnavailableError before it is `ready`, or why it failed before; ClosedError when it is closed.
   */
  list(): readonly Member<T>[] {
    this.#look();
    return this.#roster.members;
  }

  /** The member with an ID; `undefined` if there is none. @throws as `list`. */
  get(id: string): Member<T> | undefined {
    this.#look();
    return this.#roster.get(id);
  }

  /** Over all of them. @throws as `list`. */
  [Symbol.iterator](): Iterator<Member<T>> {
    return this.list()[Symbol.iterator]();
  }

  /**
   * Who is there, and then how that changes. Where the loop is slower than the group, one step stands for all that waits. Ends when
   * the loop is left, or with an error that says why.
   *
   * @throws the reason of `options.signal`; or as `ready`.
   */
  async *watch(
    options: Pick<WaitOptions, 'signal'> = {},
  ): AsyncGenerator<MembersChange<T>, void, void> {
    const roster = new Roster<T>(this.#folder);
    let isFirst = true;
    for await (const _ of this.mirror.watch(options)) {
      const { revision } = this.mirror;
      const change = roster.see(this.mirror.entries(), revision);
      if (change) yield change;
      else if (isFirst) yield { revision, members: [], joined: [], changed: [], left: [] };
      isFirst = false;
    }
  }

  /** Whatever a step has changed is told with the first of its changes, or to whoever looks before. */
  #look(): void {
    const change = this.#roster.see(this.mirror.entries(), this.mirror.revision);
    for (const member of change?.left ?? []) this.emit('left', member);
    for (const member of change?.joined ?? []) this.emit('joined', member);
    for (const member of change?.changed ?? []) this.emit('changed', member);
  }
}
