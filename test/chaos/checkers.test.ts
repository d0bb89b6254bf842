import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Checker, check } from './checkers/checker.js';
import { Counters } from './checkers/counters.js';
import { Effects } from './checkers/effects.js';
import { Exclusion } from './checkers/exclusion.js';
import { FencedStore } from './checkers/fenced-store.js';
import { GuardedList } from './checkers/guarded-list.js';
import { linearizability, type RegisterOperation } from './checkers/linearizable.js';
import { Liveness } from './checkers/liveness.js';
import { Measures, percentile } from './checkers/measures.js';
import { Registers } from './checkers/registers.js';
import { RevisionOrder } from './checkers/revision-order.js';
import { Sessions } from './checkers/sessions.js';
import { Watches } from './checkers/watches.js';
import { type Change, type Entry, type Fields, Recorder, readHistory } from './history.js';
import { tooSeldom } from './judge.js';
import { planOf } from './plan.js';
import { Random } from './random.js';

const TTL = 2_000;

/** A history, with a millisecond between two lines unless `at` says when, in milliseconds. */
function history(...lines: (Fields & { p: string; at?: number })[]): Entry[] {
  let last = 0;
  return lines.map((line) => {
    last = line.at ?? last + 1;
    return Object.assign({ t: last * 1_000 }, line);
  });
}

const found = (checker: Checker, ...lines: Parameters<typeof history>): readonly string[] =>
  check(checker, history(...lines)).violations.map(({ what }) => what);

const put = (rev: number, key: string, value: string, version = 1, create = rev): Change => [
  rev,
  'put',
  key,
  value,
  version,
  create,
  '0',
];
const gone = (rev: number, key: string): Change => [rev, 'delete', key, '', 0, 0, '0'];
const log = (...changes: Change[]): Fields & { p: string } => ({
  p: 'log',
  f: 'log',
  e: 'info',
  changes,
});

describe('the fenced store', () => {
  const write = (op: string, token: number, base: string, accepted = true, kind = 'fenced') =>
    ({ p: 'vault', f: 'verdict', e: 'info', kind, token, op, base, accepted }) as const;

  it('may accept updates in the order of tokens, and refuse older ones', () => {
    const lines = [write('a', 1, ''), write('b', 2, 'a'), write('c', 1, 'a', false)] as const;
    const checker = check(new FencedStore(), history(...lines, write('d', 2, 'b')));
    expect(checker.violations).toEqual([]);
    expect(checker.counts['stale writes refused']).toBe(1);
  });

  it('must not accept an older token', () => {
    expect(found(new FencedStore(), write('a', 2, ''), write('b', 1, 'a'))).toHaveLength(1);
  });

  it('must not lose an update', () => {
    expect(found(new FencedStore(), write('a', 1, ''), write('b', 2, ''))).toHaveLength(1);
  });

  it('may lose updates where it knows no tokens, and that is counted', () => {
    const lines = [write('a', 2, '', true, 'unfenced'), write('b', 1, '', true, 'unfenced')];
    const checker = check(new FencedStore(), history(...lines));
    expect(checker.violations).toEqual([]);
    expect(checker.counts['unfenced updates lost']).toBe(1);
  });
});

describe('exclusion', () => {
  const acquire = (p: string, i: number, at?: number) =>
    ({ p, i, f: 'acquire', e: 'invoke', lock: 'vault', ...(at !== undefined && { at }) }) as const;
  const grant = (p: string, i: number, token: number, at?: number) =>
    ({
      ...acquire(p, i, at),
      e: 'ok',
      token,
      lease: p,
    }) as const;
  const look = (p: string, token: number, lost: string | null, at: number) =>
    ({ p, i: 9, f: 'vault', e: 'invoke', lock: 'vault', token, lost, at }) as const;
  const pause = (target: string, at: number) =>
    ({ p: 'harness', i: 1, f: 'fault', e: 'info', kind: 'pause-worker', target, at }) as const;
  const resume = (target: string, at: number) =>
    ({ p: 'harness', i: 1, f: 'healed', e: 'ok', kind: 'pause-worker', target, at }) as const;

  it('holds where tokens grow and losses are told of', () => {
    expect(
      found(
        new Exclusion(TTL),
        acquire('w1.1', 1),
        grant('w1.1', 1, 5),
        pause('w1.1', 10),
        acquire('w2.1', 1),
        grant('w2.1', 1, 8, 2_500),
        resume('w1.1', 4_000),
        look('w1.1', 5, 'no-contact', 4_001),
      ),
    ).toEqual([]);
  });

  it('is broken by a token given twice', () => {
    const lines = [acquire('w1.1', 1), acquire('w2.1', 1), grant('w1.1', 1, 5)];
    expect(found(new Exclusion(TTL), ...lines, grant('w2.1', 1, 5))).toHaveLength(1);
  });

  it('is broken by a token older than one given before it was asked for', () => {
    const lines = [acquire('w1.1', 1), grant('w1.1', 1, 5), acquire('w2.1', 1)];
    expect(found(new Exclusion(TTL), ...lines, grant('w2.1', 1, 4))).toHaveLength(1);
  });

  it('is broken by a hold that is kept by who could not renew it', () => {
    expect(
      found(
        new Exclusion(TTL),
        acquire('w1.1', 1),
        grant('w1.1', 1, 5),
        pause('w1.1', 10),
        acquire('w2.1', 1),
        grant('w2.1', 1, 8, 2_500),
        resume('w1.1', 3_000),
        look('w1.1', 5, null, 3_001),
      ),
    ).toHaveLength(1);
  });

  it('is broken by a hold that is kept long after its key was taken away', () => {
    const lines = [acquire('w1.1', 1), grant('w1.1', 1, 5), acquire('w2.1', 1)];
    const removed = [...lines, grant('w2.1', 1, 8, 100)];
    expect(found(new Exclusion(TTL), ...removed, look('w1.1', 5, null, 200))).toEqual([]);
    expect(found(new Exclusion(TTL), ...removed, look('w1.1', 5, null, 2_200))).toHaveLength(1);
  });
});

describe('the guarded list', () => {
  const key = 'list/1';
  const append = (p: string, i: number, e: 'invoke' | 'ok') =>
    ({ p, i, f: 'append', e, key, value: `${p}:${i}` }) as const;
  const line = log(put(5, 'mutex/list/a', ''), put(6, 'mutex/list/b', ''));

  it('holds where each holder adds to what was there', () => {
    expect(
      found(
        new GuardedList(),
        line,
        append('w1.1', 1, 'invoke'),
        log(put(7, key, '5|w1.1:1')),
        append('w1.1', 1, 'ok'),
        log(gone(8, 'mutex/list/a')),
        append('w2.1', 1, 'invoke'),
        log(put(9, key, '6|w1.1:1,w2.1:1', 2, 7)),
        append('w2.1', 1, 'ok'),
      ),
    ).toEqual([]);
  });

  it('is broken by a write of somebody who does not hold the lock', () => {
    expect(found(new GuardedList(), line, log(put(7, key, '6|w2.1:1')))).toHaveLength(1);
  });

  it('is broken by a write that undoes another', () => {
    const first = log(put(7, key, '5|w1.1:1'));
    expect(found(new GuardedList(), line, first, log(put(8, key, '5|w1.1:2')))).toHaveLength(1);
  });

  it('is broken by a token that comes back', () => {
    expect(
      found(
        new GuardedList(),
        log(put(6, 'mutex/list/b', '')),
        log(put(7, key, '6|w2.1:1')),
        log(put(8, key, '5|w2.1:1,w1.1:1')),
      ),
    ).toHaveLength(2);
  });

  it('is broken by an acknowledged element that is not there', () => {
    expect(
      found(new GuardedList(), append('w1.1', 1, 'invoke'), append('w1.1', 1, 'ok')),
    ).toHaveLength(1);
  });

  it('is broken by an element that is there twice', () => {
    expect(
      found(
        new GuardedList(),
        line,
        append('w1.1', 1, 'invoke'),
        log(put(7, key, '5|w1.1:1')),
        log(put(8, key, '5|w1.1:1,w1.1:1')),
        append('w1.1', 1, 'ok'),
      ),
    ).toHaveLength(1);
  });
});

describe('effects', () => {
  const add = (e: Entry['e'], rev = 0) =>
    ({ p: 'w1.1', i: 1, f: 'add', e, key: 'data/cnt/1', value: 'w1.1:1', rev }) as const;
  const applied = (rev: number) => log(put(rev, 'data/cnt/1', 'w1.1:1'));

  it('are one for each acknowledged write, before or after its answer', () => {
    expect(found(new Effects(), add('invoke'), applied(5), add('ok', 5))).toEqual([]);
    expect(found(new Effects(), add('invoke'), add('ok', 5), applied(5))).toEqual([]);
    expect(found(new Effects(), add('invoke'), add('unknown'), applied(5))).toEqual([]);
    expect(found(new Effects(), add('invoke'), add('unknown'))).toEqual([]);
  });

  it('must not be missing', () => {
    expect(found(new Effects(), add('invoke'), add('ok', 5))).toHaveLength(1);
    const sure = { ...add('unknown'), applied: true };
    expect(found(new Effects(), add('invoke'), sure)).toHaveLength(1);
  });

  it('must not be two', () => {
    const twice = [add('invoke'), applied(5), applied(6)];
    expect(found(new Effects(), ...twice, add('ok', 6))).toHaveLength(1);
    expect(found(new Effects(), ...twice, add('unknown'))).toHaveLength(1);
  });

  it('must not be those of a write that failed', () => {
    expect(found(new Effects(), add('invoke'), add('fail'), applied(5))).toHaveLength(1);
  });

  it('must be at the revision of the answer', () => {
    expect(found(new Effects(), add('invoke'), applied(5), add('ok', 6))).toHaveLength(1);
  });
});

describe('the order of revisions', () => {
  const write = (i: number, e: Entry['e'], rev = 0) =>
    ({ p: 'w1.1', i, f: 'write', e, key: 'k', rev }) as const;
  const read = (i: number, e: Entry['e'], rev = 0) =>
    ({ p: 'w2.1', i, f: 'read', e, key: 'k', rev }) as const;

  it('is that of time', () => {
    const lines = [write(1, 'invoke'), write(2, 'invoke'), write(1, 'ok', 6), write(2, 'ok', 5)];
    expect(found(new RevisionOrder(), ...lines)).toEqual([]);
  });

  it('is broken by a read of the past', () => {
    const lines = [write(1, 'invoke'), write(1, 'ok', 6), read(1, 'invoke')];
    expect(found(new RevisionOrder(), ...lines, read(1, 'ok', 5))).toHaveLength(1);
    expect(found(new RevisionOrder(), ...lines, read(1, 'ok', 6))).toEqual([]);
  });

  it('is broken by a write that changed nothing', () => {
    const lines = [write(1, 'invoke'), write(1, 'ok', 6), write(2, 'invoke')];
    expect(found(new RevisionOrder(), ...lines, write(2, 'ok', 6))).toHaveLength(1);
  });
});

describe('linearizability', () => {
  let id = 0;
  const operation = (
    kind: RegisterOperation['kind'],
    value: string | null,
    invoked: number,
    completed: number,
    wanted?: string | null,
  ): RegisterOperation => ({
    id: String((id += 1)),
    kind,
    value,
    invoked,
    completed,
    ...(wanted !== undefined && { expect: wanted }),
  });
  const never = Number.POSITIVE_INFINITY;

  it('allows any order of what goes on at the same time', () => {
    expect(
      linearizability([
        operation('write', 'a', 0, 10),
        operation('write', 'b', 0, 10),
        operation('read', 'b', 2, 3),
        operation('read', 'a', 4, 5),
      ]),
    ).toBe('yes');
  });

  it('forbids what was overwritten to come back', () => {
    expect(
      linearizability([
        operation('write', 'a', 0, 1),
        operation('write', 'b', 2, 3),
        operation('read', 'a', 4, 5),
      ]),
    ).toBe('no');
  });

  it('allows a write without an answer to take effect at any later time, or never', () => {
    const written = [operation('write', 'a', 0, 1), operation('write', 'b', 2, never)];
    expect(linearizability([...written, operation('read', 'a', 9, 10)])).toBe('yes');
    expect(
      linearizability([...written, operation('read', 'a', 9, 10), operation('read', 'b', 11, 12)]),
    ).toBe('yes');
    expect(
      linearizability([...written, operation('read', 'b', 9, 10), operation('read', 'a', 11, 12)]),
    ).toBe('no');
  });

  it('lets one of two compare-and-sets win', () => {
    const write = operation('write', 'a', 0, 1);
    const first = operation('cas', 'b', 2, 5, 'a');
    expect(linearizability([write, first, operation('read', 'b', 2, 5)])).toBe('yes');
    expect(linearizability([write, first, operation('cas', 'c', 2, 5, 'a')])).toBe('no');
  });

  it('agrees with a register that is asked by many, and not with one that lies', () => {
    for (let seed = 1; seed <= 30; seed += 1) {
      const random = new Random('register', seed);
      const operations: RegisterOperation[] = [];
      let value: string | null = null;
      for (let t = 0; t < 60; t += 1) {
        const [invoked, completed] = [t - random.between(0, 4), t + random.between(0, 4)];
        if (random.chance(0.5)) operations.push(operation('read', value, invoked, completed));
        else {
          const write = operation(
            'write',
            `v${t}`,
            invoked,
            random.chance(0.1) ? never : completed,
          );
          operations.push(write);
          ({ value } = write);
        }
      }
      expect(linearizability(operations)).toBe('yes');
      const lie = operation(
        'read',
        operations.find(({ kind, completed }) => kind === 'write' && completed < never)?.value ??
          '',
        90,
        91,
      );
      expect(linearizability([...operations, operation('write', 'last', 80, 81), lie])).toBe('no');
    }
  });

  it('gives up where there is too much to try', () => {
    const many = Array.from({ length: 12 }, (_, i) => operation('write', `v${i}`, 0, 100));
    expect(linearizability([...many, operation('read', 'nobody', 0, 100)], 50)).toBe('undecided');
  });
});

describe('registers', () => {
  const key = 'data/reg/1/0';
  const write = (i: number, e: Entry['e'], rev = 0) =>
    ({
      p: 'w1.1',
      i,
      f: 'write',
      e,
      key,
      ...(e === 'invoke' ? { value: `w1.1:${i}` } : { rev }),
    }) as const;
  const read = (i: number, e: Entry['e'], value: string | null = null, mod = 0, rev = 0) =>
    ({ p: 'w2.1', i, f: 'read', e, key, ...(e === 'ok' && { value, mod, rev }) }) as const;
  const swap = (i: number, e: Entry['e'], rest: Partial<Entry>) =>
    ({ p: 'w3.1', i, f: 'cas', e, key, ...rest }) as const;
  const two = [write(1, 'invoke'), write(1, 'ok', 5), write(2, 'invoke'), write(2, 'ok', 6)];

  it('hold where reads see the last write', () => {
    const lines = [...two, read(1, 'invoke'), read(1, 'ok', 'w1.1:2', 6, 7)];
    expect(found(new Registers(), ...lines)).toEqual([]);
  });

  it('are broken by a read of what was overwritten, by revisions and by search', () => {
    const lines = [...two, read(1, 'invoke'), read(1, 'ok', 'w1.1:1', 5, 7)];
    expect(found(new Registers(), ...lines)).toHaveLength(2);
  });

  it('are broken by a value that came back at another revision', () => {
    const lines = [...two, read(1, 'invoke'), read(1, 'ok', 'w1.1:1', 7, 7)];
    expect(found(new Registers(), ...lines).join()).toMatch(/as of 7; it was written at 5/);
  });

  it('are broken by a compare-and-set that found what was not there', () => {
    const lines = [...two, swap(1, 'invoke', { expect: 'w1.1:1', value: 'w3.1:1' })];
    expect(
      found(new Registers(), ...lines, swap(1, 'ok', { succeeded: true, rev: 8 })),
    ).toHaveLength(2);
    expect(
      found(
        new Registers(),
        ...lines,
        swap(1, 'ok', { succeeded: false, rev: 8, value: 'w1.1:2', mod: 6 }),
      ),
    ).toEqual([]);
  });

  it('are broken by two writes at one revision', () => {
    const lines = [write(1, 'invoke'), write(1, 'ok', 5), write(2, 'invoke'), write(2, 'ok', 5)];
    expect(found(new Registers(), ...lines).join()).toMatch(/both written/);
  });
});

describe('counters', () => {
  const add = (i: number, e: Entry['e'], rev = 0) =>
    ({ p: 'w1.1', i, f: 'add', e, key: 'k', rev }) as const;
  const count = (i: number, e: Entry['e'], version = 0) =>
    ({ p: 'w2.1', i, f: 'count', e, key: 'k', version }) as const;
  const one = [add(1, 'invoke'), add(1, 'ok', 5)];

  it('count what was acknowledged, and perhaps what nobody knows of', () => {
    for (const version of [1, 2]) {
      const lines = [...one, add(2, 'invoke'), add(2, 'unknown'), count(1, 'invoke')];
      expect(found(new Counters(), ...lines, count(1, 'ok', version))).toEqual([]);
    }
  });

  it('must not forget', () => {
    expect(found(new Counters(), ...one, count(1, 'invoke'), count(1, 'ok', 0))).toHaveLength(1);
  });

  it('must not count twice', () => {
    expect(found(new Counters(), ...one, count(1, 'invoke'), count(1, 'ok', 2))).toHaveLength(1);
  });

  it('must not take two adds for one', () => {
    expect(found(new Counters(), ...one, add(2, 'invoke'), add(2, 'ok', 5))).toHaveLength(1);
  });
});

describe('watches', () => {
  const written = [
    put(5, 'data/a', '1'),
    put(6, 'data/b', '1'),
    put(6, 'data/c', '1'),
    put(7, 'data/a', '2', 2, 5),
    gone(8, 'data/b'),
    put(9, 'data/a', '3', 3, 5),
  ] as const;
  const [a1, b1, c1, a2, b2, a3] = written;
  const open = (fields: Partial<Entry> = {}) =>
    ({ p: 'w1.1', i: 1, f: 'watch', e: 'info', key: 'data/', end: 'data0', ...fields }) as const;
  const say = (f: Entry['f'], fields: Partial<Entry>) =>
    ({ p: 'w1.1', i: 1, f, e: 'info', ...fields }) as const;
  const told = (...changes: Change[]) => say('events', { changes });
  const ready = say('ready', { since: 5 });
  const closed = say('unwatch', { through: 9 });
  const compacted = (rev: number) =>
    ({ p: 'harness', f: 'fault', e: 'ok', kind: 'compacted', rev }) as const;

  it('tell of everything in order', () => {
    const all = [told(a1), told(b1, c1, a2), told(b2, a3)];
    expect(found(new Watches(), open(), ready, ...all, log(...written), closed)).toEqual([]);
    expect(found(new Watches(), log(...written), open(), ready, ...all, closed)).toEqual([]);
  });

  it('tell of what they were asked for', () => {
    const puts = open({ only: 'put', from: 6, key: 'data/a', end: 'data/b' });
    expect(found(new Watches(), puts, log(...written), told(a2, a3), closed)).toEqual([]);
  });

  it.each([
    ['leave a change out', [told(a1), told(b1, c1), told(b2, a3)]],
    ['leave the end out', [told(a1), told(b1, c1, a2), told(b2)]],
    ['leave the beginning out', [told(b1, c1, a2), told(b2, a3)]],
    ['tell of a change twice', [told(a1), told(a1), told(b1, c1, a2, b2, a3)]],
    ['tell of the last change twice', [told(a1, b1, c1, a2, b2, a3), told(a3)]],
    ['tell of changes in another order', [told(a1), told(a2), told(b1, c1, b2, a3)]],
    ['tear a revision apart', [told(a1, b1), told(c1, a2, b2, a3)]],
    ['leave half of a revision out', [told(a1, b1), told(a2, b2, a3)]],
    ['make a change up', [told(a1, b1, c1, put(7, 'data/a', 'x', 2, 5), b2, a3)]],
    ['say that a key is new', [told(a1, b1, c1, put(7, 'data/a', '2'), b2, a3)]],
  ])('must not %s', (_, lines) => {
    const before = found(new Watches(), open(), ready, log(...written), ...lines, closed);
    expect(before).not.toEqual([]);
    const after = found(new Watches(), open(), ready, ...lines, closed, log(...written));
    expect(after).not.toEqual([]);
  });

  it('must not tell of what they were not asked for', () => {
    const puts = open({ only: 'put' });
    const lines = [told(a1, b1, c1, a2), told(b2, a3)];
    expect(found(new Watches(), puts, ready, log(...written), ...lines, closed)).not.toEqual([]);
    const narrow = open({ end: 'data/b' });
    const wide = [told(a1, b1, c1, a2, b2, a3)];
    expect(found(new Watches(), narrow, ready, log(...written), ...wide, closed)).not.toEqual([]);
  });

  it('give what was before', () => {
    const asked = open({ previous: true, key: 'data/a', end: 'data/b' });
    const lines = (previous: string): ReturnType<typeof told> =>
      told(
        [...a1.slice(0, 7), null] as unknown as Change,
        [...a2.slice(0, 7), '1'] as unknown as Change,
        [...a3.slice(0, 7), previous] as unknown as Change,
      );
    const logged = log(...written);
    expect(found(new Watches(), asked, ready, logged, lines('2'), closed)).toEqual([]);
    expect(found(new Watches(), asked, ready, logged, lines('1'), closed)).toHaveLength(1);
  });

  it('may tell of a gap where history was compacted, and go on after it', () => {
    const lines = [open(), ready, log(...written), told(a1), compacted(7), say('gap', { rev: 8 })];
    expect(found(new Watches(), ...lines, told(a3), closed)).toEqual([]);
    expect(found(new Watches(), ...lines, closed)).toHaveLength(1);
  });

  it('must not tell of a gap where nothing is missing', () => {
    const lines = [open(), ready, log(...written), told(a1), say('gap', { rev: 8 }), told(a3)];
    expect(found(new Watches(), ...lines, closed)).toHaveLength(1);
  });

  it('must not be closed by themselves', () => {
    const lines = [open(), ready, log(...written), say('closed', { error: 'no more' })];
    expect(found(new Watches(), ...lines)).toHaveLength(1);
  });
});

describe('sessions', () => {
  const opened = { p: 'w1.1', i: 1, f: 'open', e: 'ok', lease: '7', ttl: TTL, at: 0 } as const;
  const alive = (at: number) =>
    ({
      p: 'w1.1',
      f: 'session',
      e: 'info',
      lease: '7',
      state: 'open',
      remaining: 900,
      at,
    }) as const;
  const fault = (kind: string, at: number) =>
    ({ p: 'harness', i: 1, f: 'fault', e: 'info', kind, target: 'w1.1', lease: '7', at }) as const;
  const healed = (at: number) =>
    ({
      p: 'harness',
      i: 1,
      f: 'healed',
      e: 'ok',
      kind: 'pause-worker',
      target: 'w1.1',
      at,
    }) as const;

  it('hold while they are renewed', () => {
    expect(
      found(
        new Sessions(),
        opened,
        alive(5_000),
        fault('pause-worker', 6_000),
        healed(7_000),
        alive(7_001),
      ),
    ).toEqual([]);
  });

  it('must not believe in a lease that was revoked', () => {
    expect(found(new Sessions(), opened, fault('revoke', 100), alive(1_000))).toEqual([]);
    expect(found(new Sessions(), opened, fault('revoke', 100), alive(5_000))).toHaveLength(1);
  });

  it('must not believe in a lease that they could not renew', () => {
    expect(
      found(new Sessions(), opened, fault('pause-worker', 100), healed(2_500), alive(2_501)),
    ).toHaveLength(1);
  });

  it('must leave neither leases nor keys, and members that agree', () => {
    const remains = { p: 'harness', f: 'remains', e: 'info' } as const;
    expect(found(new Sessions(), { ...remains, leases: [], keys: [], hashes: ['1', '1'] })).toEqual(
      [],
    );
    expect(found(new Sessions(), { ...remains, leases: ['7'] })).toHaveLength(1);
    expect(found(new Sessions(), { ...remains, keys: ['mutex/a'] })).toHaveLength(1);
    expect(found(new Sessions(), { ...remains, hashes: ['1', '2'] })).toHaveLength(1);
  });
});

describe('liveness', () => {
  const read = (i: number, e: Entry['e'], at: number, rest: Partial<Entry> = {}) =>
    ({ p: 'w1.1', i, f: 'read', e, at, ...(e === 'invoke' && { limit: 1_000 }), ...rest }) as const;
  const pause = { p: 'harness', i: 1, e: 'info', kind: 'pause-worker', target: 'w1.1' } as const;

  it('holds where all calls settle in the time their processes had', () => {
    expect(
      found(
        new Liveness(),
        read(1, 'invoke', 0),
        { ...pause, f: 'fault', at: 10 },
        { ...pause, f: 'healed', at: 5_000 },
        read(1, 'ok', 5_010),
      ),
    ).toEqual([]);
  });

  it('is broken by a call that is late, or never settles', () => {
    expect(found(new Liveness(), read(1, 'invoke', 0), read(1, 'ok', 4_000))).toHaveLength(1);
    const end = { p: 'w1.1', f: 'end', e: 'info', at: 9_000 } as const;
    expect(found(new Liveness(), read(1, 'invoke', 0), end)).toHaveLength(1);
  });

  it('does not ask of the dead', () => {
    const kill = { ...pause, f: 'fault', kind: 'kill-worker', at: 10 } as const;
    expect(found(new Liveness(), read(1, 'invoke', 0), kill, { ...kill, at: 9_000 })).toEqual([]);
  });

  it('is broken by what nobody handles, by an odd error, and by a death', () => {
    const crash = { p: 'w1.1', f: 'crash', e: 'info', error: 'unhandledRejection: x' } as const;
    expect(found(new Liveness(), crash)).toHaveLength(1);
    const odd = { error: 'TypeError: x', unexpected: true };
    expect(found(new Liveness(), read(1, 'invoke', 0), read(1, 'unknown', 5, odd))).toHaveLength(1);
    const died = { p: 'harness', f: 'died', e: 'info', target: 'w1.1', reason: 'ended' } as const;
    expect(found(new Liveness(), died)).toHaveLength(1);
  });
});

describe('a run', () => {
  it('has the plan of its seed', () => {
    expect(planOf(1, 600_000, TTL)).toEqual(planOf(1, 600_000, TTL));
    expect(planOf(1, 600_000, TTL)).not.toEqual(planOf(2, 600_000, TTL));
    const { cluster, workers } = planOf(1, 3_600_000, TTL);
    expect(cluster.length + workers.length).toBeGreaterThan(1_200);
    expect(new Set(cluster.map(({ kind }) => kind)).size).toBe(13);
  });

  it('means nothing where too little happened', () => {
    const plan = planOf(1, 60_000, TTL);
    const nothing = tooSeldom(plan, new Measures(), {});
    expect(nothing.join()).toMatch(/stale writes: 0 times, should be 1 at least/);
    expect(nothing.join()).toMatch(/fault: pause-worker/);
  });

  it('has its history read in order, without what its writers did not finish', () => {
    const directory = mkdtempSync(join(tmpdir(), 'history-'));
    try {
      const [a, b] = [new Recorder(directory, 'a'), new Recorder(directory, 'b', 'b.1')];
      for (let i = 1; i <= 3; i += 1) {
        a.write({ f: 'read', e: 'invoke', i });
        b.write({ f: 'read', e: 'invoke', i });
      }
      writeFileSync(join(directory, 'b.jsonl'), '{"t":1,"p":"b.1","f":"re', { flag: 'a' });
      new Recorder(directory, 'b', 'b.2').write({ f: 'read', e: 'ok', i: 1 });
      const read = [...readHistory(directory)].map(({ p, i }) => `${p}:${i}`);
      expect(read).toEqual(['a:1', 'b.1:1', 'a:2', 'b.1:2', 'a:3', 'b.1:3', 'b.2:1']);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('is measured in percentiles', () => {
    const values = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect([50, 99, 100].map((percent) => percentile(values, percent))).toEqual([51, 100, 100]);
  });
});
