import { contend } from '../core/line/contend.js';
import type { Hold } from '../core/line/hold.js';
import { entryOf, type LineEntry, pairsIn } from '../core/line/line.js';
import type { Lane } from '../core/line/line-spec.js';
import type { Lease } from '../core/session/lease.js';
import type { Session } from '../core/session/session.js';
import { ArgumentError } from '../core/store/errors.js';
import { folderOf, type KeyRange, prefixEnd, prefixRange } from '../core/store/keys.js';
import type { KeyValue } from '../core/store/store.js';
import { type WaitOptions, waitScope } from '../core/time/signals.js';
import { traced } from '../core/trace.js';
import { Namespace } from '../namespace/namespace.js';
import { Lock } from './lock.js';
import { keptOutFrom, Upgrade, type UpgradeFolders } from './upgrade.js';

/** How a read/write lock is held. */
export type LockMode = 'read' | 'upgradeable' | 'write';

/** Somebody who holds a read/write lock or waits for it. */
export interface ModeEntry extends LineEntry {
  readonly mode: LockMode;
}

/** Who holds a read/write lock and who waits, each in the order of their arrival. */
export interface ReadWriteLockState {
  readonly holders: readonly ModeEntry[];
  readonly waiters: readonly ModeEntry[];
}

/** One way to hold a read/write lock. */
class Side extends Lock {
  readonly #mode: LockMode;
  readonly #folders: Folders;

  constructor(session: Session, name: string, mode: LockMode, folders: Folders) {
    const lane = lanesIn(folders)[mode];
    // Nobody else can have a marker.
    const besides = (): KeyRange[] =>
      mode === 'upgradeable' ? [prefixRange(folders.markers)] : [];
    super(session, { recipe: 'read-write-lock', verb: mode, name, lanes: [lane], besides });
    this.#mode = mode;
    this.#folders = folders;
  }

  /** Everybody on all sides. */
  async state(wait: WaitOptions): Promise<ReadWriteLockState> {
    const what = `read-write-lock ${this.name}`;
    return stateOf(
      this.#folders,
      await pairsIn(this.session, prefixRange(this.#folders.all), what, wait),
    );
  }

  protected override async holders(wait: WaitOptions): Promise<readonly LineEntry[]> {
    return (await this.state(wait)).holders.filter(({ mode }) => mode === this.#mode);
  }

  /** Who may do more may do this. */
  protected override covers(hold: Hold): boolean {
    const { readers, upgradeable, writers, markers } = this.#folders;
    const enough = {
      read: [readers, upgradeable, writers, markers],
      upgradeable: [upgradeable, writers, markers],
      write: [writers, markers],
    };
    return enough[this.#mode].some((folder) => hold.isIn(folder));
  }
}

/**
 * A lock held by many readers or by one writer, across all processes on one etcd, in the order of arrival: a reader waits for
 * the writers before it, a writer for all before it, so neither is kept from it for ever.
 */
export class ReadWriteLock {
  /** Whichever object they came from, and were upgraded by. */
  static readonly #upgraded = new WeakSet<Hold>();
  /** The name under which processes meet. */
  readonly name: string;
  /** Held by any number at once, unless there is a writer. */
  readonly read: Lock;
  /** Held by one at a time, beside readers: for who reads first, and may want to write then, with `upgrade`. */
  readonly upgradeable: Lock;
  /** Held by one alone, who may go on as a reader with `downgrade`. */
  readonly write: Lock;
  readonly #session: Session;
  readonly #folders: Folders;
  readonly #side: Side;

  /** @throws ArgumentError if the name is empty. */
  constructor(session: Session, name: string) {
    const folders = foldersIn(folderOf('read-write-lock', name));
    this.name = name;
    this.read = new Side(session, name, 'read', folders);
    this.upgradeable = new Side(session, name, 'upgradeable', folders);
    this.write = this.#side = new Side(session, name, 'write', folders);
    this.#session = session;
    this.#folders = folders;
  }

  /**
   * Turns a write hold into a read hold, without anybody writing in between: the readers behind it come in, and writers
   * wait for all of them. The hold stays the same, with the same token.
   *
   * @throws ArgumentError if `hold` is no write hold of this lock.
   * @throws HoldLostError if it is not held any more.
   */
  async downgrade(hold: Hold): Promise<void> {
    if (!this.#has(hold, this.#folders.writers)) {
      throw new ArgumentError('hold', `a write hold of ${this.name}`, hold.key);
    }
    await hold.reduce();
  }

  /**
   * Lets the holder of `upgradeable` write: waits for the readers that are in, before any writer that waits, while no
   * reader comes in. What it gives is held within `hold`, has its token, and ends with it at the latest; when it is
   * released `hold` is as it was.
   *
   * @throws ArgumentError if `hold` is no upgradeable hold of this lock, or it, or what it shares its keys with, is upgraded already.
   * @throws WaitTimeoutError after `wait.timeout`; the reason of `wait.signal` when it aborts. `hold` is as it was then.
   * @throws HoldLostError if `hold` is not held any more.
   */
  async upgrade(hold: Hold, wait: WaitOptions = {}): Promise<Hold> {
    const { upgradeable } = this.#folders;
    const upgraded = ReadWriteLock.#upgraded;
    if (!this.#has(hold, upgradeable) || upgraded.has(hold.origin)) {
      const expected = `an upgradeable hold of ${this.name} that is not upgraded`;
      throw new ArgumentError('hold', expected, hold.key);
    }
    upgraded.add(hold.origin);
    const ended = (): boolean => upgraded.delete(hold.origin);
    const trace = { recipe: 'read-write-lock', verb: 'upgrade', name: this.name };
    try {
      return await traced(
        'wait',
        () => trace,
        () => this.#upgrade(hold, wait, ended),
      );
    } catch (error) {
      ended();
      throw error;
    }
  }

  /** Who holds the lock and who waits, as of now. @throws the reason of `wait.signal`, WaitTimeoutError. */
  inspect(wait: WaitOptions = {}): Promise<ReadWriteLockState> {
    return this.#side.state(wait);
  }

  #has(hold: Hold, folder: string): boolean {
    return hold.key.startsWith(folder) && Namespace.isSame(hold.store, this.#session.store);
  }

  async #upgrade(hold: Hold, wait: WaitOptions, ended: () => void): Promise<Hold> {
    const session = this.#session;
    const what = `read-write-lock ${this.name}`;
    const scope = waitScope(wait, hold.signal, session.clock, what);
    try {
      scope.signal.throwIfAborted();
      const make = (lease: Lease): Upgrade => new Upgrade(session, lease, hold, this.#folders);
      return await contend(session, what, scope, make, (upgrade, signal) =>
        upgrade.enter(signal, ended),
      );
    } finally {
      scope.dispose();
    }
  }
}

interface Folders extends UpgradeFolders {
  readonly upgradeable: string;
}

/** Their order makes ranges of those who stand in somebody's way. */
function foldersIn(all: string): Folders {
  return {
    all,
    terms: `${all}a/`,
    readers: `${all}r/`,
    upgradeable: `${all}u/`,
    writers: `${all}w/`,
    markers: `${all}x/`,
  };
}

function lanesIn(folders: Folders): Record<LockMode, Lane> {
  const { all, terms, readers, upgradeable, writers, markers } = folders;
  const watched = prefixRange(all);
  return {
    read: {
      folder: readers,
      rivals: between(writers, markers),
      barring: { range: prefixRange(markers), from: keptOutFrom },
      terms: prefixRange(terms),
      watched,
    },
    upgradeable: { folder: upgradeable, rivals: between(upgradeable, writers), watched },
    // What is left of it after a downgrade has been a reader's from the beginning, to those who wait.
    write: { folder: writers, also: readers, rivals: between(readers, markers), watched },
  };
}

function between(first: string, last: string): KeyRange {
  return { key: first, end: prefixEnd(last) };
}

function stateOf(folders: Folders, pairs: readonly KeyValue[]): ReadWriteLockState {
  const entries = pairs.map(entryOf);
  const holders: ModeEntry[] = [];
  const waiters: ModeEntry[] = [];
  const writers = entries.filter(({ key }) => key.startsWith(folders.writers));
  const upgrade = pairs.find(({ key }) => key.toString().startsWith(folders.markers));
  const keptOut = upgrade && keptOutFrom(upgrade);
  const before: ModeEntry[] = [];
  for (const entry of entries) {
    const mode = modeOf(folders, entry);
    const isTwin = mode === 'read' && writers.some(({ token }) => token === entry.token);
    if (!mode || isTwin) continue;
    const each = { ...entry, mode };
    const isBarred = mode === 'read' && keptOut !== undefined && entry.token >= keptOut;
    const isIn = !isBarred && !before.some((other) => excludes(other.mode, mode));
    (isIn ? holders : waiters).push(each);
    before.push(each);
  }
  return { holders, waiters };
}

function modeOf(folders: Folders, { key }: LineEntry): LockMode | undefined {
  if (key.startsWith(folders.readers)) return 'read';
  if (key.startsWith(folders.upgradeable)) return 'upgradeable';
  return key.startsWith(folders.writers) ? 'write' : undefined;
}

/** Whether a later one of that mode waits for an earlier one of this. */
function excludes(earlier: LockMode, later: LockMode): boolean {
  if (earlier === 'write' || later === 'write') return true;
  return earlier === 'upgradeable' && later === 'upgradeable';
}
