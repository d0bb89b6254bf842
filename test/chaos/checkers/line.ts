import type { Change, Entry } from '../history.js';

/** What somebody wrote under a hold: at which revision, and what as. */
export interface Mark {
  readonly t: number;
  readonly revision: number;
  readonly token: number;
  /** As what it was held. */
  readonly as: string;
  /** Whose operation it was. */
  readonly by: string;
}

/** The keys of a lock, by the full log: who is in it, waiting or not, as of the change that was taken last. */
export class Keys {
  readonly #folder: string;
  readonly #creates = new Map<string, number>();

  /** @param folder - of the lock; ends with a slash */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Takes a change; says whether it was one of these keys. */
  take([, type, key, , , create]: Change): boolean {
    if (!key.startsWith(this.#folder)) return false;
    if (type === 'put') this.#creates.set(key, create);
    else this.#creates.delete(key);
    return true;
  }

  /** Whether any key is there that begins so. */
  any(prefix: string): boolean {
    return [...this.#creates.keys()].some((key) => key.startsWith(this.#folder + prefix));
  }

  /** The keys of a token that are there. */
  of(token: number): string[] {
    return [...this.#creates].flatMap(([key, create]) => (create === token ? [key] : []));
  }
}

/** A mark of a lock, where a change is one. */
export function markIn(lock: string, change: Change, { t }: Entry): Mark | undefined {
  const [revision, type, key, value] = change;
  if (type !== 'put' || !key.startsWith(`mark/${lock}/`)) return undefined;
  const [hold = '', by = ''] = value.split('|');
  const [token = '', as = ''] = hold.split(':');
  return { t, revision, token: Number(token), as, by };
}
