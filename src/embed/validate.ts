import { existsSync } from 'node:fs';
import { ArgumentError } from '../core/store/errors.js';
import type { EtcdAutoCompaction, EtcdTlsFiles } from './shared-options.js';

/** Bytes that fit into the address of a socket on every system; Node would cut off the rest without a word. */
export const LONGEST_SOCKET_PATH = 103;

/** Bytes; of what is longer, etcd would look at the beginning only, or refuse it. */
const LONGEST_PASSWORD = 72;

// What both engines check. All throw `ArgumentError` naming the option; what is left out passes.

export function checkName(name: string | undefined): void {
  if (name !== undefined && !/^[\w.-]+$/.test(name)) {
    throw new ArgumentError('name', 'letters, digits, "_", "." and "-"', name);
  }
}

export function checkAuth(auth: { readonly password: string } | undefined): void {
  if (auth === undefined) return;
  nonEmpty('auth.password', auth.password ?? '');
  const bytes = Buffer.byteLength(auth.password);
  if (bytes > LONGEST_PASSWORD) {
    throw new ArgumentError('auth.password', `at most ${LONGEST_PASSWORD} bytes`, bytes);
  }
}

export function checkAutoCompaction(compaction: EtcdAutoCompaction | undefined): void {
  if (compaction === undefined) return;
  if (compaction?.mode === undefined || compaction.retention === undefined) {
    throw new ArgumentError('autoCompaction', 'an object with mode and retention', compaction);
  }
  oneOf('autoCompaction.mode', compaction.mode, ['periodic', 'revision']);
  integer('autoCompaction.retention', compaction.retention, 1);
}

export function checkTls(option: 'tls' | 'peerTls', tls: 'auto' | EtcdTlsFiles | undefined): void {
  if (tls === undefined || tls === 'auto') {
    return;
  }
  if (typeof tls !== 'object' || tls === null) {
    throw new ArgumentError(option, '"auto" or an object with the files "cert" and "key"', tls);
  }
  const files = { cert: tls.cert, key: tls.key, ...(tls.ca !== undefined && { ca: tls.ca }) };
  for (const [name, file] of Object.entries(files)) {
    if (typeof file !== 'string' || !existsSync(file)) {
      throw new ArgumentError(`${option}.${name}`, 'the path of an existing file', file);
    }
  }
}

export function integer(
  option: string,
  value: number | undefined,
  min?: number,
  max?: number,
): void {
  const least = min ?? Number.MIN_SAFE_INTEGER;
  const most = max ?? Number.MAX_SAFE_INTEGER;
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= least && value <= most)) {
    const range =
      (min === undefined ? '' : ` >= ${min}`) + (max === undefined ? '' : ` and <= ${max}`);
    throw new ArgumentError(option, `a whole number${range}`, value);
  }
}

export function milliseconds(option: string, value: number | undefined, min = 0): void {
  if (value !== undefined && !(Number.isFinite(value) && value >= min)) {
    throw new ArgumentError(option, `a finite number of milliseconds >= ${min}`, value);
  }
}

export function oneOf(option: string, value: string | undefined, choices: readonly string[]): void {
  if (value !== undefined && !choices.includes(value)) {
    throw new ArgumentError(option, `one of ${choices.join(', ')}`, value);
  }
}

export function nonEmpty(option: string, value: string | undefined): void {
  if (value !== undefined && (typeof value !== 'string' || value === '')) {
    throw new ArgumentError(option, 'a non-empty string', value);
  }
}
