import { Mirror } from '../cache/mirror.js';
import type { MirrorChange, MirrorEntry } from '../cache/mirror-options.js';
import { MirrorView } from '../cache/mirror-view.js';
import type { Session } from '../core/session/session.js';
import { UnavailableError } from '../core/store/errors.js';
import { prefixRange } from '../core/store/keys.js';
import type { WaitOptions } from '../core/time/signals.js';
import {
  type DirectoryChange,
  type DirectoryEvents,
  type DirectoryOptions,
  type DirectoryStep,
  type Filter,
  filterOf,
} from './directory-options.js';
import type { InstanceSource } from './instance.js';
import type { Layout, Reader } from './layout.js';
import type { ServiceInstance } from './service-instance.js';

type Entries = readonly MirrorEntry<Reader>[];

/**
 * A live view of the instances of a service, without a call. It begins at once, and goes on through outages, refusals and
 * compaction with the last it has seen. Directories of the same service in one process share one copy and one watch.
 */
export class Directory extends MirrorView<Reader, DirectoryEvents> implements InstanceSource {
  /** What lists of all entries come to, by filter: for all who want the same. */
  static readonly #shown = new WeakMap<Entries, Map<string, readonly ServiceInstance[]>>();
  /** The name of the service. */
  readonly name: string;
  readonly #folder: string;
  readonly #filter: Filter;
  readonly #invalidateAfter: number | undefined;
  /** Whether anything that it shows has changed since somebody asked. */
  #isChanged = true;
  #instances: readonly ServiceInstance[] = [];

  /** @internal Use `Service.directory`. */
  constructor(session: Session, layout: Layout, service: string, options: DirectoryOptions) {
    const { staleAfter, invalidateAfter } = options;
    const folder = layout.folder(service);
    const filter = filterOf(options);
    super(
      new Mirror(session, prefixRange(folder), {
        codec: layout.codec,
        onFailure: 'retry',
        ...(staleAfter !== undefined && { staleAfter }),
      }),
    );
    this.name = service;
    this.#folder = folder;
    this.#filter = filter;
    this.#invalidateAfter = invalidateAfter;
    this.mirror
      .on('added', (entry) => this.#tell({ type: 'added', key: entry.key, entry }))
      .on('changed', (entry, previous) =>
        this.#tell({ type: 'changed', key: entry.key, entry, previous }),
      )
      .on('removed', (previous) => this.#tell({ type: 'removed', key: previous.key, previous }))
      .on('stale', () => this.emit('stale'))
      .on('current', () => this.emit('current'))
      .on('error', (error, key) => this.emit('error', error, key?.slice(this.#folder.length)));
  }

  /** IDs of those whose values cannot be read: they are left out. */
  get undecodable(): readonly string[] {
    return this.mirror.undecodable.map((key) => key.slice(this.#folder.length));
  }

  /**
   * Settles when there is something to see, also if that is nobody; where it was without proof for `invalidateAfter`, when it is
   * current again.
   *
   * @throws WaitTimeoutError, or the reason of `wait.signal`; the directory goes on.
   * @throws ClosedError if it or the session is closed; or why it failed while there was nothing to see yet, and is tried again:
   * LimitError, RefusedError.
   */
  ready(wait?: WaitOptions): Promise<void> {
    const age = this.#invalidateAfter;
    return age === undefined ? this.mirror.ready(wait) : this.mirror.waitForStaleness(age, wait);
  }

  /**
   * Those that it shows, in the order of their IDs. The same array until one of them changes.
   *
   * @throws UnavailableError before `ready`, and where it has been without proof for `invalidateAfter`.
   * @throws ClosedError if it or the session is closed; or why it failed before `ready`.
   */
  instances(): readonly ServiceInstance[] {
    const entries = this.mirror.entries();
    if (this.#isInvalid) throw this.#invalid();
    if (this.#isChanged) this.#instances = this.#shownOf(entries);
    this.#isChanged = false;
    return this.#instances;
  }

  /**
   * All that it shows, and then how that changes. Where the loop is slower than changes come, one step stands for all that waits.
   * Ends when the loop is left, or with an error that says why. While there is nothing to see there are no steps.
   *
   * @throws the reason of `options.signal`; or as `ready`.
   */
  async *watch(options?: Pick<WaitOptions, 'signal'>): AsyncGenerator<DirectoryStep, void, void> {
    for await (const { revision, changes, origin } of this.mirror.watch(options)) {
      if (this.#isInvalid) await this.ready(options);
      const shown = changes
        .map((change) => this.#changeOf(change))
        .filter((each) => each !== undefined);
      if (shown.length > 0 || origin === 'initial') yield { revision, changes: shown };
    }
  }

  get #isInvalid(): boolean {
    return this.staleness >= (this.#invalidateAfter ?? Number.POSITIVE_INFINITY);
  }

  #shownOf(entries: Entries): readonly ServiceInstance[] {
    const byFilter = Directory.#shown.get(entries) ?? new Map();
    Directory.#shown.set(entries, byFilter);
    const { id, shows } = this.#filter;
    let shown = byFilter.get(id);
    if (!shown) {
      shown = entries.map((entry) => this.#read(entry)).filter(shows);
      byFilter.set(id, shown);
    }
    return shown;
  }

  #read({ key, value }: MirrorEntry<Reader>): ServiceInstance {
    return value(key.slice(this.#folder.length));
  }

  /** What a change comes to here; `undefined` if it is nothing. */
  #changeOf({ entry, previous }: MirrorChange<Reader>): DirectoryChange | undefined {
    const [now, before] = [entry, previous].map((each) => {
      const instance = each && this.#read(each);
      return instance && this.#filter.shows(instance) ? instance : undefined;
    });
    if (!now) return before && { type: 'removed', previous: before };
    return before
      ? { type: 'changed', instance: now, previous: before }
      : { type: 'added', instance: now };
  }

  #tell(change: MirrorChange<Reader>): void {
    const shown = this.#changeOf(change);
    this.#isChanged ||= shown !== undefined;
    if (shown?.type === 'added') this.emit('added', shown.instance);
    else if (shown?.type === 'changed') this.emit('changed', shown.instance, shown.previous);
    else if (shown) this.emit('removed', shown.previous);
  }

  #invalid(): UnavailableError {
    const message = `nothing has been heard for ${Math.round(this.staleness)} ms`;
    return new UnavailableError('not-applied', [
      { endpoint: this.#folder, status: 'STALE', message },
    ]);
  }
}
