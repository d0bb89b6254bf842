import type { Owner, Session } from '../session/session.js';
import { ArgumentError } from '../store/errors.js';
import { folderOf, type KeyRange, prefixRange } from '../store/keys.js';
import { ranOutOfSpace } from '../store/refusals.js';
import type { CallOptions, Compare, KeyValue, Operation } from '../store/store.js';
import { foldersOf } from './contender.js';
import type { LineEntry } from './line.js';
import type { Lane, LineSpec } from './line-spec.js';
import { type RevokeRequest, withRequest } from './revoke-request.js';
import { fieldsIn, ownerOf, presenceIn, ticketOf } from './ticket.js';

/** A hold that was ended by force. */
export interface ForcedRelease {
  /** The token of the hold. */
  readonly token: bigint;
  /** Why. */
  readonly reason: string;
  /** Who did it; `undefined` if it is not said. */
  readonly by: Owner | undefined;
  /** Whose hold it was; `undefined` if that was not said. */
  readonly holder: Owner | undefined;
  /** Milliseconds since, by the wall clock of who did it, and ours. */
  readonly age: number | undefined;
}

/** Somebody who lost a hold by force. */
export interface ForcedHolder extends LineEntry {
  /** Whether `audit` tells of it: not where etcd has no space for that. */
  readonly isRecorded: boolean;
}

/** With whose holders an operator interferes. */
export interface InterventionSpec extends Pick<LineSpec, 'recipe' | 'name'> {
  /** Where a holder has keys that were put together. @defaultValue one key only */
  readonly lanes?: readonly Lane[];
  /** What goes with the key of a holder, whenever that was put. @defaultValue nothing */
  readonly besides?: (key: string) => readonly KeyRange[];
}

/** What an operator can do to the holders of one lock. */
export class Intervention {
  readonly #session: Session;
  readonly #folder: string;
  /** Where a holder has keys. */
  readonly #folders: readonly string[];
  readonly #besides: (key: string) => readonly KeyRange[];

  constructor(
    session: Session,
    { recipe, name, lanes = [], besides = () => [] }: InterventionSpec,
  ) {
    this.#session = session;
    this.#folder = folderOf('audit', `${recipe}/${name}`);
    this.#folders = lanes.flatMap(foldersOf);
    this.#besides = besides;
  }

  /** Asks holders to give back what they hold; gives those who still held it. */
  async request<Entry extends LineEntry>(
    holders: readonly Entry[],
    reason: string,
    options: CallOptions,
  ): Promise<Entry[]> {
    checkReason(reason);
    const request = { reason, by: this.#session.owner };
    const asked: Entry[] = [];
    for (const holder of holders) {
      if (await this.#ask(holder, request, options)) asked.push(holder);
    }
    return asked;
  }

  /**
   * Deletes the keys of holders, and writes down that it was done, in one step each, where `conditions` hold; gives those who
   * still held it.
   */
  async force(
    holders: readonly LineEntry[],
    reason: string,
    options: CallOptions,
    conditions: readonly Compare[] = [],
  ): Promise<ForcedHolder[]> {
    checkReason(reason);
    const { store, owner } = this.#session;
    const ended: ForcedHolder[] = [];
    for (const holder of holders) {
      const { key, token } = holder;
      const removal = await this.#removalOf(holder, options);
      const force = async (record: readonly Operation[]): Promise<void> => {
        const compare = [isTheirs(holder), ...conditions];
        const txn = { compare, success: [...removal, ...record] };
        const { succeeded } = await store.commit(txn, { ...options, exactlyOnce: true });
        if (succeeded) ended.push({ ...holder, isRecorded: record.length > 0 });
      };
      const value = ticketOf(owner, { reason, holder: holder.owner });
      // Several may have the same token, and in another folder the same name.
      const place = key.split('/').slice(-2).join('/');
      const id = `${token.toString(16).padStart(16, '0')}-${place}`;
      const put = { key: `${this.#folder}${id}`, value };
      try {
        await force([{ put }]);
      } catch (error) {
        if (!ranOutOfSpace(error)) throw error;
        await force([]);
      }
    }
    return ended;
  }

  /** What was forced, the oldest hold first. */
  async audit(options: CallOptions): Promise<ForcedRelease[]> {
    const { kvs } = await this.#session.store.read(prefixRange(this.#folder), options);
    return kvs.flatMap((kv) => this.#recordIn(kv) ?? []);
  }

  /** Says whether they still held it. */
  async #ask(
    { key, token }: LineEntry,
    request: RevokeRequest,
    options: CallOptions,
  ): Promise<boolean> {
    const { store } = this.#session;
    for (;;) {
      const [kv] = (await store.read({ key }, options)).kvs;
      if (kv?.createRevision !== token) return false;
      const value = withRequest(kv.value, request);
      // Who leads may have proclaimed something else since.
      const compare = [{ key, target: 'mod', to: kv.modRevision }] as const;
      const success = [{ put: { key, value, keepLease: true } }];
      const txn = { compare, success };
      if ((await store.commit(txn, { ...options, exactlyOnce: true })).succeeded) return true;
    }
  }

  /** Deletes all keys that were put with one: who is dead withdraws none of them. */
  async #removalOf({ key, token, lease }: LineEntry, options: CallOptions): Promise<Operation[]> {
    const known = [{ key }, ...this.#besides(key)];
    // Of those with one key each several may have come at one revision.
    if (this.#folders.length <= 1) return known.map(removed);
    const ofToken = { minCreateRevision: token, maxCreateRevision: token };
    const success = this.#folders.map((folder) => ({
      range: { ...prefixRange(folder), ...ofToken },
    }));
    const { replies } = await this.#session.store.commit({ success }, options);
    const others = replies
      .flatMap(({ kvs }) => kvs)
      .filter((kv) => kv.lease === lease && kv.key.toString() !== key);
    return [...known, ...others].map(removed);
  }

  /** Whatever somebody else may have put there is none. */
  #recordIn({ key, value }: KeyValue): ForcedRelease | undefined {
    const id = key.toString().slice(this.#folder.length);
    const { reason, holder } = fieldsIn(value);
    const [, token] = /^([\da-f]{16})-/.exec(id) ?? [];
    if (token === undefined || typeof reason !== 'string') return undefined;
    const { owner: by, age } = presenceIn(value);
    return { token: BigInt(`0x${token}`), reason, by, holder: ownerOf(holder), age };
  }
}

function isTheirs({ key, token }: LineEntry): Compare {
  return { key, target: 'create', to: token };
}

function removed({ key, end }: KeyRange): Operation {
  return { delete: { key, ...(end !== undefined && { end }) } };
}

/** Who is asked would not hear of another, nor would it be told of. */
function checkReason(reason: string): void {
  if (typeof reason !== 'string') throw new ArgumentError('reason', 'a string', reason);
}
