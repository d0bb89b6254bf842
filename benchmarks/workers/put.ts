import { cpuUsage } from 'node:process';
import { Metadata } from '@grpc/grpc-js';
import { makeStore } from '../../src/container.js';
import { Endpoint } from '../../src/core/etcd3/endpoint.js';
import { Client, Etcd3Store } from '../../src/index.js';
import { openRaw } from '../peers/raw-grpc.js';
import { takeTurns, turn } from './turns.js';

/** What to measure. */
export interface PutTask {
  readonly endpoint: string;
  /** How many put at the same time. */
  readonly callers: number;
  /** Length of all turns of one of them together. */
  readonly seconds: number;
}

/** What one way of putting gave. */
export interface PutFigures {
  /** Puts per second. */
  readonly pace: number;
  /** Processor time of this process for each of them, in microseconds. */
  readonly cpu: number;
}

/** `client.put` as users call it, which is applied exactly once and travels in groups; our store; etcd3's typed client on our connection alone; and bare grpc-js. */
export interface PutReport {
  readonly client: PutFigures;
  readonly store: PutFigures;
  readonly typed: PutFigures;
  readonly raw: PutFigures;
}

interface Subject {
  put(): Promise<unknown>;
  close(): void;
}

const turns = 8;
const warmUp = 1_000;
const value = Buffer.alloc(100, 'v');
const keys = Array.from({ length: 1_000 }, (_, i) => `put/${String(i).padStart(4, '0')}`);
let next = 0;

/** Has all put by turns. */
export async function put({ endpoint, callers, seconds }: PutTask): Promise<PutReport> {
  const subjects = [clientOn(endpoint), storeOn(endpoint), typedOn(endpoint), rawOn(endpoint)];
  for (const subject of subjects) await turn(() => subject.put(), callers, warmUp);
  const length = (seconds * 1_000) / turns;
  const measured = subjects.map((subject) => () => measure(subject, callers, length));
  const [client, store, typed, raw] = (await takeTurns(turns, measured)).map(middleOf);
  for (const subject of subjects) subject.close();
  if (!client || !store || !typed || !raw) throw new Error('nothing was measured');
  return { client, store, typed, raw };
}

async function measure(subject: Subject, callers: number, ms: number): Promise<PutFigures> {
  const before = cpuUsage();
  const { count, ms: took } = await turn(() => subject.put(), callers, ms);
  const { user, system } = cpuUsage(before);
  return { pace: (count / took) * 1_000, cpu: (user + system) / count };
}

/** Each turn counts as much as another, so that one that was disturbed does not decide. */
function middleOf(figures: readonly PutFigures[]): PutFigures {
  const middle = (pick: (figure: PutFigures) => number): number => {
    const sorted = figures.map(pick).toSorted((a, b) => a - b);
    const at = (index: number): number => sorted[index] ?? Number.NaN;
    return (at(Math.floor((sorted.length - 1) / 2)) + at(Math.ceil((sorted.length - 1) / 2))) / 2;
  };
  return { pace: middle(({ pace }) => pace), cpu: middle(({ cpu }) => cpu) };
}

function clientOn(endpoint: string): Subject {
  const store = makeStore({ endpoints: [endpoint] });
  const client = new Client(store);
  return { put: () => client.put(nextKey(), value), close: () => store.close() };
}

function storeOn(endpoint: string): Subject {
  const store = new Etcd3Store({ endpoints: [endpoint] });
  return {
    put: () =>
      store.commit({ success: [{ put: { key: nextKey(), value } }] }, { idempotent: true }),
    close: () => store.close(),
  };
}

function typedOn(endpoint: string): Subject {
  const client = new Endpoint({
    name: endpoint,
    address: endpoint.replace(/^http:\/\//, ''),
    tls: undefined,
    metadata: new Metadata(),
    transport: 'http2',
    maxReceiveBytes: undefined,
    maxSendBytes: 2 ** 21,
  });
  return {
    put: () => client.kv.put({ key: Buffer.from(nextKey()), value }),
    close: () => client.close(),
  };
}

function rawOn(endpoint: string): Subject {
  const raw = openRaw(endpoint);
  return { put: () => raw.put(nextKey(), value), close: () => raw.close() };
}

function nextKey(): string {
  next = (next + 1) % keys.length;
  return keys[next] as string;
}
