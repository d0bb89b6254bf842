import { closeSync, openSync, readdirSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** What somebody did or saw. */
export type What =
  // Operations of workers, from `invoke` to an outcome.
  | 'acquire'
  | 'release'
  | 'vault'
  | 'append'
  | 'mark'
  | 'upgrade'
  | 'downgrade'
  | 'proclaim'
  | 'resize'
  | 'await'
  | 'enter'
  | 'leave'
  | 'look'
  | 'sum'
  | 'total'
  | 'number'
  | 'put job'
  | 'end job'
  | 'take part'
  | 'settle'
  | 'write'
  | 'cas'
  | 'read'
  | 'add'
  | 'count'
  | 'open'
  | 'close'
  // What workers see.
  | 'begin'
  | 'end'
  | 'lost'
  | 'session'
  | 'crash'
  | 'watch'
  | 'ready'
  | 'events'
  | 'gap'
  | 'closed'
  | 'unwatch'
  | 'told'
  | 'untold'
  | 'job'
  | 'mirror'
  | 'forced'
  // What the vault decided.
  | 'verdict'
  // What the guard saw of etcd.
  | 'log'
  | 'leader'
  | 'remains'
  // What the harness did.
  | 'fault'
  | 'healed'
  | 'calm'
  | 'stopped'
  | 'continued'
  | 'died';

/** Where an operation stands: `unknown` may take effect at any later time, or never. */
export type Phase = 'invoke' | 'ok' | 'fail' | 'unknown' | 'info';

/** A change of a key: revision, type, key, value, version, create revision, lease, value before (if asked for). */
export type Change = readonly [
  revision: number,
  type: 'put' | 'delete',
  key: string,
  value: string,
  version: number,
  create: number,
  lease: string,
  previous?: string | null,
];

/** One line of history. Revisions and tokens are numbers, leases are texts. */
export interface Entry {
  /** Microseconds, by the clock that all processes of a machine share. */
  readonly t: number;
  /** Who: `w1.3` is the third process of worker 1. */
  readonly p: string;
  readonly f: What;
  readonly e: Phase;
  /** Which operation of the process, or which of its watches, or which fault. */
  readonly i?: number;
  /** Milliseconds after which the operation should have settled. */
  readonly limit?: number;
  readonly error?: string;
  /** Whether a write without an answer is known to have been applied. */
  readonly applied?: boolean;
  /** Whether no user could have expected the error. */
  readonly unexpected?: boolean;
  readonly lock?: string;
  readonly token?: number;
  readonly lease?: string;
  readonly held?: boolean;
  readonly reason?: string;
  readonly state?: string;
  /** Milliseconds for which the hold or session believes to be safe. */
  readonly remaining?: number;
  /** Milliseconds that a session lives without being renewed. */
  readonly ttl?: number;
  /** What the hold said of its loss just after `t`; `null` if nothing. */
  readonly lost?: string | null;
  readonly key?: string;
  readonly end?: string;
  readonly value?: string | null;
  readonly expect?: string | null;
  readonly succeeded?: boolean;
  /** Revision of the answer. */
  readonly rev?: number;
  /** Revision of the last change of the key. */
  readonly mod?: number;
  readonly version?: number;
  /** As what a lock is held that can be held in several ways: 'read', 'upgradeable', 'write', 'permits'. */
  readonly mode?: string;
  readonly permits?: number;
  /** How much was added, or how many were put, and what came of it. */
  readonly delta?: number;
  readonly after?: number;
  /** Which round of a barrier, and who of those in it. */
  readonly generation?: number;
  readonly index?: number;
  /** Who was seen to be there. */
  readonly tokens?: readonly number[];
  /** Whether something may have been left out. */
  readonly missed?: boolean;
  /** Which register of the vault. */
  readonly kind?: string;
  readonly base?: string;
  readonly op?: string;
  readonly accepted?: boolean;
  readonly from?: number;
  readonly only?: 'put' | 'delete';
  readonly previous?: boolean;
  readonly since?: number;
  /** The revision up to which a watch was waited for before it was closed. */
  readonly through?: number;
  readonly changes?: readonly Change[];
  readonly target?: string;
  readonly pid?: number;
  /** Client connections that a fault hit. */
  readonly links?: number;
  readonly term?: number;
  readonly keys?: readonly string[];
  readonly leases?: readonly string[];
  readonly hashes?: readonly string[];
}

/** What is written down, without what every line has. */
export type Fields = Omit<Entry, 't' | 'p'>;

/** Microseconds by the clock that all processes of this machine share. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}

/** Writes what one process did, line by line and at once: what was written survives the death of the process. */
export class Recorder {
  readonly process: string;
  readonly #file: number;
  #operations = 0;

  /** @param name - of the file; processes that follow one another may share one */
  constructor(directory: string, name: string, process: string = name) {
    this.process = process;
    this.#file = openSync(join(directory, `${name}.jsonl`), 'a');
    // Whoever wrote here before may have died in the middle of a line.
    writeSync(this.#file, '\n');
  }

  /** A number for an operation, unique in this process. */
  next(): number {
    this.#operations += 1;
    return this.#operations;
  }

  write(fields: Fields, t: number = now()): void {
    writeSync(this.#file, `${JSON.stringify({ t, p: this.process, ...fields })}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}

const CHUNK = 1 << 20;

/** All that was written into a directory, in the order of time; files are read piece by piece. */
export function* readHistory(directory: string): Generator<Entry> {
  const files = readdirSync(directory).filter((name) => name.endsWith('.jsonl'));
  const sources = files.map((name) => entriesOf(join(directory, name)));
  const heads = sources.flatMap((source) => {
    const first = source.next();
    return first.done ? [] : [{ source, entry: first.value }];
  });
  while (heads.length > 0) {
    let least = 0;
    for (let i = 1; i < heads.length; i += 1) {
      if ((heads[i]?.entry.t ?? 0) < (heads[least]?.entry.t ?? 0)) least = i;
    }
    const head = heads[least] as (typeof heads)[number];
    yield head.entry;
    const next = head.source.next();
    if (next.done) heads.splice(least, 1);
    else head.entry = next.value;
  }
}

function* entriesOf(path: string): Generator<Entry> {
  const file = openSync(path, 'r');
  const buffer = Buffer.alloc(CHUNK);
  let rest = Buffer.alloc(0);
  try {
    for (let size = CHUNK; size > 0; ) {
      size = readSync(file, buffer);
      const bytes = Buffer.concat([rest, buffer.subarray(0, size)]);
      const end = size === 0 ? bytes.length : bytes.lastIndexOf(10) + 1;
      rest = Buffer.from(bytes.subarray(end));
      for (const line of bytes.toString('utf8', 0, end).split('\n')) {
        const entry = parse(line);
        if (entry) yield entry;
      }
    }
  } finally {
    closeSync(file);
  }
}

/** Nothing for a line that its writer did not live to finish. */
function parse(line: string): Entry | undefined {
  if (line === '') return undefined;
  try {
    return JSON.parse(line) as Entry;
  } catch {
    return undefined;
  }
}
