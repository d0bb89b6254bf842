import { EventEmitter } from 'node:events';
import type { IDuplexStream } from 'etcd3';
import { describe, expect, it, vi } from 'vitest';
import type { Endpoint } from '../../../src/core/etcd3/endpoint.js';
import type { EndpointPool } from '../../../src/core/etcd3/pool.js';
import { Rotation } from '../../../src/core/etcd3/rotation.js';
import { statusOf } from '../../../src/core/etcd3/status.js';
import { SteadyStream } from '../../../src/core/etcd3/stream.js';
import { Patience } from '../../../src/core/time/patience.js';
import { VirtualClock } from '../../../src/embed/virtual-clock.js';

class Duplex extends EventEmitter {
  write(): void {}
  cancel(): void {}
}

/** A stream over endpoints `a` and `b`, of which those in `ill` fail to prove that they are well. */
const streamOver = () => {
  const clock = new VirtualClock();
  const ill = new Set<string>();
  const [a, b] = ['a', 'b'].map((name) => ({ name, renewStreams: () => {} }) as Endpoint) as [
    Endpoint,
    Endpoint,
  ];
  const rotation = new Rotation([a, b], clock, async ({ name }) => !ill.has(name));
  const patience = new Patience(500);
  const pool = {
    rotation,
    patience,
    pick: async (tried?: ReadonlySet<Endpoint>) => rotation.pick(tried),
    login: async () => {},
    setAside: (endpoint: Endpoint) => rotation.setAside(endpoint),
  } as unknown as EndpointPool;
  const opened: string[] = [];
  const reasons: string[] = [];
  const streams: Duplex[] = [];
  const stream = new SteadyStream<string, string>(pool, clock, {
    async open({ name }) {
      opened.push(name);
      const duplex = new Duplex();
      streams.push(duplex);
      return duplex as unknown as IDuplexStream<string, string>;
    },
    opened: () => {},
    data: () => {},
    lost: (_, error) => reasons.push(statusOf(error).details),
    needed: () => true,
  });
  const abandon = (...names: string[]): void => {
    for (const hear of rotation.onAbandon) hear(({ name }) => names.includes(name));
  };
  const start = async (): Promise<void> => {
    stream.send('hello');
    await clock.advance(0);
  };
  return { clock, ill, a, rotation, patience, stream, streams, opened, reasons, abandon, start };
};

describe('a stream, when it is known that somebody is well', () => {
  it('begins anew if it owes an answer', async () => {
    const { clock, stream, opened, reasons, abandon, start } = streamOver();
    await start();
    stream.expect();
    abandon('b');
    await clock.advance(0);
    expect(opened).toEqual(['a']);
    abandon('a');
    await clock.advance(0);
    expect(opened).toEqual(['a', 'a']);
    expect(reasons).toEqual(['what is owed since an outage is asked for anew']);
  });

  it('stays where it is if it owes none, unless its endpoint is ill', async () => {
    const { clock, ill, a, rotation, opened, abandon, start } = streamOver();
    await start();
    abandon('a', 'b');
    await clock.advance(0);
    expect(opened).toEqual(['a']);
    for (const name of ['a', 'b']) ill.add(name);
    // Nobody is better.
    for (const endpoint of rotation.endpoints.toReversed()) rotation.setAside(endpoint);
    expect([rotation.isAside(a), rotation.best()]).toEqual([true, rotation.endpoints[0]]);
    ill.delete('b');
    await clock.advance(500);
    expect(opened).toEqual(['a', 'b']);
  });

  it('does not wait for the end of its pause', async () => {
    const { clock, ill, streams, opened, start } = streamOver();
    await start();
    for (const name of ['a', 'b']) ill.add(name);
    for (let i = 0; i < 10; i += 1) {
      streams.at(-1)?.emit('error', { code: 14, details: 'dropped' });
      await clock.advance(250);
    }
    streams.at(-1)?.emit('error', { code: 14, details: 'dropped' });
    const { length } = opened;
    ill.clear();
    await clock.advance(300);
    expect(opened.length).toBeGreaterThan(length);
  });
});

it('a stream waits for answers as long as calls do', async () => {
  const { clock, patience, stream, opened, start } = streamOver();
  await start();
  patience.answered(2_000, 8_000);
  stream.expect();
  await clock.advance(3_900);
  expect(opened.length).toBe(1);
  await clock.advance(400);
  await new Promise(setImmediate);
  await clock.advance(100);
  expect(opened.length).toBe(2);
});

describe('a stream on which nothing has come yet', () => {
  it('waits twice as long where answers are known to be slow: a connection may have to be made first', async () => {
    const { clock, patience, stream, opened, start } = streamOver();
    await clock.advance(1);
    await start();
    patience.answered(2_000, 8_000);
    stream.expect(1_000);
    await clock.advance(7_900);
    await new Promise(setImmediate);
    expect(opened.length).toBe(1);
    await clock.advance(200);
    await new Promise(setImmediate);
    await clock.advance(100);
    expect(opened.length).toBe(2);
  });

  it('is waited for while nobody answers anywhere: all may be slow', async () => {
    const { clock, ill, rotation, stream, opened, start } = streamOver();
    await start();
    for (const endpoint of rotation.endpoints.toReversed()) {
      ill.add(endpoint.name);
      rotation.setAside(endpoint);
    }
    const { length } = opened;
    stream.expect();
    const pass = async (ms: number): Promise<void> => {
      for (let passed = 0; passed < ms; passed += 100) {
        await clock.advance(100);
        await new Promise(setImmediate);
      }
    };
    await pass(7_400);
    expect(opened.length).toBe(length);
    await pass(3_000);
    expect(opened.length).toBeGreaterThan(length);
  });
});

it('a stream leaves an endpoint that answers calls, but breaks streams', async () => {
  const { clock, streams, opened, start } = streamOver();
  await start();
  streams.at(-1)?.emit('error', { code: 14, details: 'dropped' });
  await clock.advance(100);
  expect(opened).toEqual(['a', 'b']);
  streams.at(-1)?.emit('error', { code: 14, details: 'dropped' });
  await clock.advance(100);
  expect(opened).toEqual(['a', 'b', 'a']);
});

it('a stream that broke goes on where it was if the other endpoints are ill', async () => {
  const { clock, ill, rotation, streams, opened, start } = streamOver();
  await start();
  ill.add('b');
  rotation.setAside(rotation.endpoints[1] as Endpoint);
  streams.at(-1)?.emit('error', { code: 14, details: 'dropped' });
  await clock.advance(100);
  expect(opened).toEqual(['a', 'a']);
});

it('a stream that is closed in a pause leaves no timer behind', async () => {
  const { clock, rotation, stream, streams, start } = streamOver();
  const timers = new Set<unknown>();
  const after = clock.after.bind(clock);
  vi.spyOn(clock, 'after').mockImplementation((ms, callback) => {
    const timer = {};
    timers.add(timer);
    const stop = after(ms, () => {
      timers.delete(timer);
      callback();
    });
    return () => {
      timers.delete(timer);
      stop();
    };
  });
  await start();
  streams.at(-1)?.emit('error', { code: 14, details: 'dropped' });
  expect(timers.size).toBeGreaterThan(0);
  stream.close();
  rotation.close();
  expect(timers.size).toBe(0);
});
