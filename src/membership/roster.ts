import { type FieldsEntry, type Member, membersOf } from './member.js';

/** How a group changed, from one revision to a later one. */
export interface MembersChange<T> {
  /** The revision of the group as it is then. */
  readonly revision: bigint;
  /** All of them then, in the order in which they joined. */
  readonly members: readonly Member<T>[];
  /** Who came; or came again, and is among those who left as well. */
  readonly joined: readonly Member<T>[];
  /** Who has another payload, as they are now. */
  readonly changed: readonly Member<T>[];
  /** Who went, as they were last. */
  readonly left: readonly Member<T>[];
}

/** Who is in a group, as last seen. */
export class Roster<T> {
  readonly #folder: string;
  #byId: ReadonlyMap<string, Member<T>> = new Map();
  #members: readonly Member<T>[] = [];
  #seen: readonly FieldsEntry[] | undefined;

  /** @param folder - where members have their folders */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** In the order in which they joined. What is given stays as it is. */
  get members(): readonly Member<T>[] {
    return this.#members;
  }

  get(id: string): Member<T> | undefined {
    return this.#byId.get(id);
  }

  /** Takes over what there is; an array that was seen already costs nothing. Gives what that changes, `undefined` if that is nothing. */
  see(entries: readonly FieldsEntry[], revision: bigint): MembersChange<T> | undefined {
    if (entries === this.#seen) return undefined;
    const before = this.#byId;
    const members = membersOf(this.#folder, entries, before);
    this.#seen = entries;
    const joined: Member<T>[] = [];
    const changed: Member<T>[] = [];
    for (const member of members) {
      const known = before.get(member.id);
      if (known?.token !== member.token) joined.push(member);
      else if (known !== member) changed.push(member);
    }
    this.#byId = new Map(members.map((member) => [member.id, member]));
    const left = [...before.values()].filter(({ id, token }) => this.get(id)?.token !== token);
    if (joined.length + changed.length + left.length === 0) return undefined;
    this.#members = members;
    return { revision, members, joined, changed, left };
  }
}
