import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { ArgumentError } from '../store/errors.js';
import { toBytes } from '../store/keys.js';
import type { Clock } from '../time/clock.js';
import type { TlsOptions } from './options.js';
import type { TlsMaterial } from './transport/target.js';

/** Files are looked at again at most so often, in milliseconds. */
const freshness = 1_000;

const parts = [
  ['ca', 'caFile'],
  ['cert', 'certFile'],
  ['key', 'keyFile'],
] as const;

/** What the parts hold. */
type Pems = Partial<Record<'ca' | 'cert' | 'key', Buffer>>;

/** What TLS is made with. Certificates given as files are read again when they change, so that they can be replaced in place. */
export class TlsSource {
  /** As of the last look. */
  material: TlsMaterial;
  readonly #options: TlsOptions;
  readonly #clock: Clock;
  #lookedAt: number;

  /** @throws ArgumentError if a file cannot be read, or what it holds is of no use. */
  constructor(options: TlsOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    const pems: Pems = {};
    for (const [part, file] of parts) {
      const [given, path] = [options[part], options[file]];
      if (path !== undefined) pems[part] = readNow(path, file);
      else if (given !== undefined) pems[part] = toBytes(given);
    }
    this.material = this.#checked(pems);
    this.#lookedAt = clock.now();
  }

  /** Looks at the files, but not too often. Says whether they hold something new that is of use. */
  async refresh(): Promise<boolean> {
    const isDue = this.#clock.now() - this.#lookedAt >= freshness;
    if (!isDue || !parts.some(([, file]) => this.#options[file])) return false;
    this.#lookedAt = this.#clock.now();
    try {
      const fresh: Pems = {};
      for (const [part, file] of parts) {
        const path = this.#options[file];
        const bytes = path === undefined ? this.material[part] : await readFile(path);
        if (bytes) fresh[part] = bytes;
      }
      const known = this.material;
      if (parts.every(([part]) => !fresh[part] || known[part]?.equals(fresh[part]))) return false;
      this.material = this.#checked(fresh);
      return true;
    } catch {
      // Half written, or half replaced: what we have is good until all of it is.
      return false;
    }
  }

  #checked(pems: Pems): TlsMaterial {
    const { serverName } = this.#options;
    const material = serverName === undefined ? pems : { ...pems, serverName };
    try {
      createSecureContext(pems);
      // Of a text that holds none, the above just takes no certificate.
      for (const pem of [pems.ca, pems.cert]) if (pem) void new X509Certificate(pem).subject;
      return material;
    } catch (error) {
      throw new ArgumentError('tls', 'PEM certificates and a key that fits', String(error));
    }
  }
}

function readNow(path: string, option: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new ArgumentError(`tls.${option}`, 'a file that can be read', String(error));
  }
}
