import {
  type Hold,
  HoldLostError,
  type Mutex,
  type Store,
  UnavailableError,
} from '../../src/index.js';
import { readCounter, writeCounter } from './counter.js';
import { type Kind, now, type Outcome, type Section } from './messages.js';

/** What a section is run with. */
export interface SectionContext {
  readonly worker: string;
  readonly mutex: Mutex;
  readonly store: Store;
  /** Ends the wait for the lock. */
  readonly signal: AbortSignal;
  /** Called between read and write. */
  readonly between: (hold: Hold, kind: Kind) => Promise<void>;
}

type Result = Pick<Section, 'outcome' | 'error'>;

/** Adds one to a counter under the lock; `undefined` if the lock was lost before it began. */
export async function runSection(
  { worker, mutex, store, signal, between }: SectionContext,
  kind: Kind,
): Promise<Section | undefined> {
  const asked = now();
  await using hold = await mutex.acquire({ signal });
  const since = now();
  if (hold.lost) return undefined;
  let until = since;
  const checkpoint = (): void => {
    const at = now();
    if (!hold.lost) until = at;
  };
  const result = await attempt(async () => {
    const value = await readCounter(store, kind);
    checkpoint();
    await between(hold, kind);
    checkpoint();
    await writeCounter(store, hold, kind, value + 1);
  });
  checkpoint();
  return { worker, kind, token: hold.token, waited: since - asked, since, until, ...result };
}

async function attempt(increment: () => Promise<void>): Promise<Result> {
  try {
    await increment();
    return { outcome: 'acknowledged' };
  } catch (error) {
    return { outcome: outcomeOf(error), error: (error as Error).message };
  }
}

function outcomeOf(error: unknown): Outcome {
  if (error instanceof HoldLostError) return 'refused';
  if (error instanceof UnavailableError) {
    return error.outcome === 'applied' ? 'acknowledged' : error.outcome;
  }
  throw error;
}
