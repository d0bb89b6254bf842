import { start } from '../../src/embed/index.js';
import { Etcd3Store, type Store } from '../../src/index.js';
import { openRaw } from '../peers/raw-grpc.js';
import { type Turn, takeTurns, turn } from './turns.js';

/** How a server is reached. */
type Contender =
  | { readonly through: 'store' | 'raw'; readonly endpoint: string }
  /** An in-process server of the measuring process, with a connection or without. */
  | { readonly through: 'direct' | 'own socket' };

/** What to measure. */
export interface EmbedPaceTask {
  readonly contenders: readonly Contender[];
  readonly operation: 'put' | 'read';
  /** How many ask at the same time. */
  readonly callers: number;
  /** Length of all turns of one of them together. */
  readonly seconds: number;
}

/** Operations per second, in the order of the contenders. */
export type EmbedPaceReport = readonly number[];

interface Subject {
  readonly act: () => Promise<unknown>;
  close(): unknown;
}

const turns = 8;
const warmUp = 1_000;
const value = Buffer.alloc(100, 'v');
const keys = Array.from({ length: 1_000 }, (_, i) => `pace/${String(i).padStart(4, '0')}`);

/** Has the contenders do the same by turns. */
export async function embedPace(task: EmbedPaceTask): Promise<EmbedPaceReport> {
  const { callers, seconds, operation } = task;
  const subjects: Subject[] = [];
  for (const contender of task.contenders) subjects.push(await prepare(contender, operation));
  for (const { act } of subjects) await turn(act, callers, warmUp);
  const length = (seconds * 1_000) / turns;
  const found = await takeTurns(
    turns,
    subjects.map(
      ({ act }) =>
        () =>
          turn(act, callers, length),
    ),
  );
  await Promise.all(subjects.map((subject) => subject.close()));
  return found.map(perSecond);
}

/** Each turn counts as much as another, so that one that was disturbed does not decide. */
function perSecond(found: readonly Turn[]): number {
  const paces = found.map(({ count, ms }) => (count / ms) * 1_000).toSorted((a, b) => a - b);
  const middle = (paces.length - 1) / 2;
  const at = (index: number): number => paces[index] ?? Number.NaN;
  return (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2;
}

async function prepare(
  contender: Contender,
  operation: EmbedPaceTask['operation'],
): Promise<Subject> {
  if (contender.through === 'raw') {
    const raw = openRaw(contender.endpoint);
    if (operation === 'read') throw new Error('raw reads are not measured');
    return { act: () => raw.put(nextKey(), value), close: () => raw.close() };
  }
  if (contender.through === 'store') {
    const store = new Etcd3Store({ endpoints: [contender.endpoint] });
    return subjectOf(store, operation, () => store.close());
  }
  const server = await start();
  const { endpoints } = server;
  const store = contender.through === 'direct' ? server.store() : new Etcd3Store({ endpoints });
  return subjectOf(store, operation, async () => {
    store.close();
    await server.stop();
  });
}

async function subjectOf(
  store: Store,
  operation: EmbedPaceTask['operation'],
  close: Subject['close'],
): Promise<Subject> {
  const put = (): Promise<unknown> =>
    store.commit({ success: [{ put: { key: nextKey(), value } }] });
  if (operation === 'put') return { act: put, close };
  for (let i = 0; i < keys.length; i += 1) await put();
  return { act: () => store.read({ key: nextKey() }), close };
}

let next = 0;

function nextKey(): string {
  next = (next + 1) % keys.length;
  return keys[next] as string;
}
