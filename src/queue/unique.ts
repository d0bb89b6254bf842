import { ArgumentError } from '../core/store/errors.js';
import type { CallOptions, Operation } from '../core/store/store.js';
import { milliseconds, settings } from '../core/validate.js';
import type { JobHeader } from './job-record.js';
import type { Sent } from './outbox.js';
import { escaped, type QueueKeys } from './queue-keys.js';
import type { JobOptions } from './queue-options.js';
import type { Windows } from './windows.js';

/** What becomes of a put. */
export interface Put {
  /** The name of the job: of that which is there already, where this was not put. */
  readonly id: string;
  /** The revision at which it took its place in the queue. */
  readonly revision: bigint;
  /** Whether it was not put, as there is one already with its `id`, or its `dedupe.key`. */
  readonly isDuplicate: boolean;
}

/** What there is to be one of, at a time or within a window. */
export class Unique {
  /** As the job's header has it. */
  readonly name: string;
  /** Milliseconds during which there is to be no other; `undefined`: until it is done. */
  readonly window: number | undefined;
  /** Is there as long as there is to be no other. */
  readonly marker: string;
  readonly #windows: Windows;

  private constructor(name: string, window: number | undefined, keys: QueueKeys, windows: Windows) {
    this.name = name;
    this.window = window;
    this.marker = keys.unique + name;
    this.#windows = windows;
  }

  /** What a job is put with; `undefined` if there may be any number. @throws ArgumentError if it is not usable. */
  static of(
    { id, dedupe }: Pick<JobOptions, 'id' | 'dedupe'>,
    keys: QueueKeys,
    windows: Windows,
  ): Unique | undefined {
    if (id !== undefined) {
      if (dedupe !== undefined)
        throw new ArgumentError('dedupe', 'left out together with id', dedupe);
      return new Unique(`id/${escaped('id', id)}`, undefined, keys, windows);
    }
    if (dedupe === undefined) return undefined;
    const { key, window } = settings('dedupe', dedupe);
    if (window !== undefined) milliseconds('dedupe.window', window, 1);
    return new Unique(`key/${escaped('dedupe.key', key)}`, window, keys, windows);
  }

  /** What is needed before it can be put. */
  async prepare(options: CallOptions): Promise<void> {
    if (this.window !== undefined) await this.#windows.open(this.window, options);
  }

  /** The lease of its window is gone: it was so long on its way that that was over, or somebody revoked it. Says whether it has one. */
  forget(): boolean {
    if (this.window === undefined) return false;
    this.#windows.forget(this.window);
    return true;
  }

  /** Does `put`, which puts the job `id`, unless there is one. */
  around(put: Operation, id: string): Operation {
    const key = this.marker;
    const lease = this.window === undefined ? 0n : this.#windows.leaseOf(this.window);
    const mark = { put: { key, value: id, lease } };
    const compare = [{ key, target: 'create', to: 0n } as const];
    return { txn: { compare, success: [put, mark], failure: [{ range: { key } }] } };
  }
}

/** The `id` that a job was put with. */
export function nameIn({ unique }: JobHeader): string | undefined {
  return unique?.startsWith('id/') ? decodeURIComponent(unique.slice(3)) : undefined;
}

/** What became of a put. */
export function putOf({ id, reply, revision }: Sent): Put {
  const { txn } = reply ?? {};
  const first = txn && !txn.succeeded ? txn.replies[0]?.kvs[0] : undefined;
  if (!first) return { id, revision, isDuplicate: false };
  return { id: first.value.toString(), revision: first.createRevision, isDuplicate: true };
}
