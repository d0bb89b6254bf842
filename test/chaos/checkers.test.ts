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
import { Jobs } from './checkers/jobs.js';
import { linearizability, type RegisterOperation } from './checkers/linearizable.js';
import { Liveness } from './checkers/liveness.js';
import { Measures, percentile } from './checkers/measures.js';
import { Mirrors } from './checkers/mirrors.js';
import { Numbers } from './checkers/numbers.js';
import { Permits } from './checkers/permits.js';
import { Registers } from './checkers/registers.js';
import { RevisionOrder } from './checkers/revision-order.js';
import { Rounds } from './checkers/rounds.js';
import { Sessions } from './checkers/sessions.js';
import { Shards } from './checkers/shards.js';
import { SharedLock } from './checkers/shared-lock.js';
import { Sums } from './checkers/sums.js';
import { Terms } from './checkers/terms.js';
import { Watches } from './checkers/watches.js';
import { type Digested, digestOf } from './digest.js';
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

describe('jobs', () => {
  const call = (i: number, queue = 'any', p = 'w1'): Fields & { p: string } => ({
    p,
    f: 'put job',
    e: 'invoke',
    i,
    key: queue,
    value: `${p}:${i}`,
  });
  const putAt = (i: number, rev: number, queue = 'any', p = 'w1'): (Fields & { p: string })[] => [
    call(i, queue, p),
    { p, f: 'put job', e: 'ok', i, key: queue, rev },
  ];
  const begun = (
    value: string,
    token: number,
    version = 1,
    key = 'any',
  ): Fields & { p: string } => ({
    p: 'w2',
    f: 'job',
    e: 'info',
    key,
    value,
    token,
    version,
  });
  const ended = (value: string, i = 1, reason = 'done'): (Fields & { p: string })[] => [
    { p: 'w2', f: 'end job', e: 'invoke', i, key: 'any', value, reason },
    { p: 'w2', f: 'end job', e: 'ok', i, key: 'any' },
  ];
  const dead = (rev: number, value: string, header = '{"reason":"no use"}'): Change =>
    put(rev, 'queue/any/dead/x', `${header}\n"${value}"`);

  it('are done once, or given up with a reason', () => {
    const both = [...putAt(1, 10), ...putAt(2, 11), begun('w1:1/0', 12), begun('w1:2/0', 13)];
    const ends = log(put(14, 'done/w1:1/0', '12|any'), dead(15, 'w1:2/0'));
    const told = [...ended('w1:1/0'), ...ended('w1:2/0', 2, 'dead')];
    expect(found(new Jobs(), ...both, ends, ...told)).toEqual([]);
    expect(found(new Jobs(), call(1), begun('w1:1/0', 12))).toEqual([]);
  });

  it('are neither lost, nor done twice, nor begun once they are done', () => {
    const [one, begin] = [putAt(1, 10), begun('w1:1/0', 12)];
    const done = log(put(14, 'done/w1:1/0', '12|any'));
    expect(found(new Jobs(), ...one, begin)).toEqual(['w1:1/0 of any is lost']);
    const twice = log(put(14, 'done/w1:1/0', ''), put(15, 'done/w1:1/0', '', 2, 14));
    expect(found(new Jobs(), ...one, begin, twice)[0]).toBe('w1:1/0 was done twice');
    expect(found(new Jobs(), ...one, begin, done, log(dead(15, 'w1:1/0')))).toHaveLength(1);
    expect(found(new Jobs(), ...one, begin, done, begun('w1:1/0', 20, 2))).toEqual([
      'w1:1/0 was begun after it was ended at 14',
    ]);
    expect(found(new Jobs(), ...one, begin, begin, done)).toHaveLength(1);
    expect(found(new Jobs(), ...one, done)).toEqual(['w1:1/0 was ended, and not begun']);
    expect(found(new Jobs(), begin, done)).toEqual(['w1:1/0, which nobody put, was done']);
    expect(found(new Jobs(), ...one, begin, log(dead(14, 'w1:1/0', '{}')))).toHaveLength(1);
  });

  it('that were put together are each done, in their order', () => {
    const own = 'own-w2';
    const [invoke, ok] = putAt(1, 10, own) as [Fields & { p: string }, Fields & { p: string }];
    const puts = [{ ...invoke, delta: 2 }, ok];
    const brief = (place: number, i: number): (Fields & { p: string })[] => [
      {
        p: 'w2',
        f: 'end job',
        e: 'invoke',
        i,
        key: own,
        value: `w1:1/${place}`,
        reason: 'done',
        token: 20 + i,
        version: 1,
      },
      { p: 'w2', f: 'end job', e: 'ok', i, key: own },
    ];
    const done = (place: number): Change => put(30 + place, `done/w1:1/${place}`, '');
    const all = log(done(0), done(1));
    expect(found(new Jobs(), ...puts, ...brief(0, 1), ...brief(1, 2), all)).toEqual([]);
    expect(found(new Jobs(), ...puts, ...brief(0, 1), log(done(0)))).toEqual([
      'w1:1/1 of own-w2 is lost',
    ]);
    expect(found(new Jobs(), ...puts, ...brief(1, 1), ...brief(0, 2), all)).toEqual([
      'w2 own-w2 began w1:1/0 after w1:1/1, which was put later',
    ]);
  });

  it('are done where that was told', () => {
    const one = [...putAt(1, 10), begun('w1:1/0', 12)];
    const done = log(put(14, 'done/w1:1/0', '12|any'));
    expect(found(new Jobs(), ...one, ...ended('w1:1/0', 1, 'dead'), done)).toHaveLength(1);
    expect(found(new Jobs(), ...one, ...ended('w1:1/0'), ...ended('w1:1/0', 2), done)).toEqual([
      'w1:1/0 of any was ended twice',
    ]);
  });

  describe('in batches', () => {
    const ready = (place: number): string => `queue/batches/ready/5-${place}`;
    const claim = (place: number, owner = 'x'): string => `${ready(place)}!c/${owner}`;
    const record = (rev: number, place: number, key = ready(place), header = '{}'): Change =>
      put(rev, key, `${header}\n"w1:1/${place}"`);
    const buried = (rev: number, place: number, header = '{"reason":"no use"}'): Change =>
      record(rev, place, `queue/batches/dead/5-${place}`, header);
    /** A record that goes, and whose claim does with it. */
    const without = (rev: number, place: number): Change[] => [
      gone(rev, ready(place)),
      gone(rev, claim(place)),
    ];
    const begins = (place: number, token: number): Fields & { p: string } =>
      begun(`w1:1/${place}`, token, 1, 'batches');
    const tell = (place: number, e: 'ok' | 'fail' | 'unknown', token: number, reason?: string) => {
      const rest = { p: 'w2', f: 'end job', i: place, key: 'batches' } as const;
      return [
        { ...rest, e: 'invoke', value: `w1:1/${place}`, token } as const,
        { ...rest, e, ...(reason !== undefined && { reason }) },
      ];
    };
    const [invoke, ok] = putAt(1, 10, 'batches') as [
      Fields & { p: string },
      Fields & { p: string },
    ];
    /** Two that were put and claimed together, and begun. */
    const both = [
      { ...invoke, delta: 2 },
      ok,
      log(record(10, 0), record(10, 1)),
      log(put(12, claim(0), ''), put(12, claim(1), '')),
      begins(0, 12),
      begins(1, 12),
    ];
    const told = (...rest: Parameters<typeof history>): readonly string[] =>
      found(new Jobs(), ...both, ...rest);

    it('are done where their records go, and given up where they are moved', () => {
      const checker = new Jobs();
      const end = log(...without(14, 0), ...without(14, 1));
      const ends = [...tell(0, 'ok', 12, 'done'), ...tell(1, 'ok', 12, 'done')];
      expect(found(checker, ...both, end, ...ends)).toEqual([]);
      expect(checker.counts).toMatchObject({ done: 2, 'ended with others': 1 });
      const moved = log(...without(14, 0), ...without(14, 1), buried(14, 1));
      expect(told(moved, ...tell(1, 'ok', 12, 'dead'))).toEqual([]);
      expect(told(log(...without(14, 0), ...without(14, 1), buried(14, 1, '{}')))).toEqual([
        'w1:1/1 was given up without a reason',
      ]);
    });

    it('may come back, and are ended then', () => {
      const delayed = 'queue/batches/delayed/5-1';
      const back = [
        log(...without(13, 0), ...without(13, 1), record(13, 1, delayed)),
        log(gone(15, delayed), record(15, 1)),
        log(put(16, claim(1, 'y'), '')),
        begins(1, 16),
      ];
      const end = log(gone(17, ready(1)), gone(17, claim(1, 'y')));
      const ends = [...tell(1, 'ok', 12, 'returned'), ...tell(1, 'ok', 16, 'done')];
      expect(told(...back, end, ...ends)).toEqual([]);
      expect(told(...back)).toEqual(['w1:1/1 of batches is lost']);
      expect(told(...back.slice(0, 1), log(gone(15, delayed)))).toEqual([
        'w1:1/1 was done at 15, when nobody had it',
      ]);
    });

    it('are neither lost, nor ended twice, nor begun afterwards', () => {
      const [one, other] = [log(...without(14, 0)), log(...without(15, 1))];
      expect(told(one)).toEqual(['w1:1/1 of batches is lost']);
      const again = log(record(16, 1), put(17, claim(1), ''));
      expect(told(one, other, again, begins(1, 17))).toEqual([
        'w1:1/1 was begun after it was ended at 15',
      ]);
      const twice = told(one, other, again, begins(1, 17), log(...without(18, 1)));
      expect(twice).toEqual(['w1:1/1 was done, and then done']);
      expect(told(one, other, log(buried(16, 1)))[0]).toBe('w1:1/1 was done, and then dead');
    });

    it('are ended by the one who has them, and has begun them', () => {
      const one = log(...without(14, 0));
      expect(told(one, log(gone(13, claim(1)), gone(14, ready(1))))).toEqual([
        'w1:1/1 was done at 14, when nobody had it',
      ]);
      const next = put(14, claim(1, 'y'), '');
      const end = log(gone(15, ready(1)), gone(15, claim(1, 'y')));
      expect(told(one, log(gone(13, claim(1)), next), end)).toEqual([
        'w1:1/1 was done at 15 by token 14, not begun',
      ]);
      expect(told(one, log(next), begins(1, 14), end)).toEqual([
        'w1:1/1 was given to two at once: tokens 12, 14',
      ]);
    });

    it('are ended by whom that was told, and by nobody who was told otherwise', () => {
      const end = log(...without(14, 0), ...without(14, 1));
      expect(told(log(...without(14, 0)), ...tell(1, 'ok', 12, 'done'))).toEqual([
        'w1:1/1 of batches is lost',
        'w1:1/1 was told to be done, and is not',
      ]);
      expect(told(end, ...tell(1, 'ok', 11, 'done'))).toEqual([
        'w1:1/1 was done at 14 by token 12, and told to token 11',
      ]);
      const lie = ['w1:1/1 was done at 14 by token 12, who was told it was not'];
      expect(told(end, ...tell(1, 'fail', 12))).toEqual(lie);
      expect(told(end, ...tell(1, 'ok', 12, 'returned'))).toEqual(lie);
      expect(told(end, ...tell(1, 'unknown', 12))).toEqual([]);
      expect(told(end, ...tell(1, 'fail', 11))).toEqual([]);
    });
  });

  it('are begun in the order of their puts where one process consumes', () => {
    const own = 'own-w2';
    const puts = [...putAt(1, 10, own), ...putAt(2, 11, own), ...putAt(1, 9, own, 'w3')];
    const [first, second, other] = ['w1:1/0', 'w1:2/0', 'w3:1/0'] as const;
    const done = log(...[first, second, other].map((value, i) => put(90 + i, `done/${value}`, '')));
    const order = (...values: readonly string[]): Fields[] =>
      values.map((value, i) => begun(value, 20 + i, 1, own));
    const told = (...begins: Fields[]): readonly string[] =>
      found(new Jobs(), ...puts, ...(begins as ReturnType<typeof begun>[]), done);
    expect(told(...order(first, other, second))).toEqual([]);
    expect(told(...order(second, other, first))).toEqual([
      'w2 own-w2 began w1:1/0 after w1:2/0, which was put later',
    ]);
    expect(told(...order(second, other), begun(first, 30, 2, own))).toEqual([]);
    // One that has died is there for as long as its lease: what is nearer to it is left to it for a moment.
    const key = `queue/${own}/ready!consumers/w2.1`;
    const many = log(put(2, key.replace('.1', '.2'), ''), put(3, key, ''));
    const alone = log(gone(22, key));
    const one = (value: string, token: number): Fields => begun(value, token, 1, own);
    expect(told(many, one(second, 20), one(other, 21), alone, one(first, 30))).toEqual([]);
    const late = (value: string, token: number): Fields =>
      Object.assign(one(value, token), { at: 11_000 + token });
    expect(told(many, one(other, 21), alone, late(second, 30), late(first, 31))).toEqual([
      'w2 own-w2 began w1:1/0 after w1:2/0, which was put later',
    ]);
  });
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
    ({ p: 'harness', f: 'stopped', e: 'info', target, at }) as const;
  const resume = (target: string, at: number) =>
    ({ p: 'harness', f: 'continued', e: 'info', target, at }) as const;

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

  describe('between ways to hold a lock', () => {
    const as = (mode: string, p: string, token: number, at: number) => [
      acquire(p, token, at),
      { ...grant(p, token, token, at), mode },
    ];
    const upgrade = (p: string, token: number, at: number) =>
      ({ p, i: 7, f: 'upgrade', e: 'ok', lock: 'vault', token, at }) as const;
    const see = (mode: string, p: string, token: number, at: number) =>
      ({ ...look(p, token, null, at), mode }) as const;

    it.each([
      ['read', 'read', 0],
      ['read', 'upgradeable', 0],
      ['upgradeable', 'read', 0],
      ['permits', 'permits', 0],
      ['upgradeable', 'upgradeable', 1],
      ['read', 'write', 1],
      ['write', 'read', 1],
      ['write', 'upgradeable', 1],
      ['write', 'write', 1],
    ])('is there of %s and %s where one excludes the other', (first, second, broken) => {
      const lines = [...as(first, 'w1.1', 5, 0), ...as(second, 'w2.1', 8, 10)];
      expect(found(new Exclusion(TTL), ...lines, see(first, 'w1.1', 5, 2_500))).toHaveLength(
        broken,
      );
    });

    it('is none of readers and who has written before', () => {
      const lines = [...as('write', 'w1.1', 5, 0), ...as('read', 'w2.1', 8, 10)];
      expect(found(new Exclusion(TTL), ...lines, see('read', 'w1.1', 5, 2_500))).toEqual([]);
    });

    it('is there of readers and who writes after reading', () => {
      const lines = [...as('upgradeable', 'w1.1', 5, 0), ...as('read', 'w2.1', 8, 10)];
      const written = [...lines, upgrade('w1.1', 5, 20), see('write', 'w1.1', 5, 30)];
      expect(found(new Exclusion(TTL), ...written)).toEqual([]);
      expect(found(new Exclusion(TTL), ...written, see('read', 'w2.1', 8, 2_500))).toHaveLength(1);
      const letIn = [...written, ...as('read', 'w3.1', 9, 40), see('write', 'w1.1', 5, 2_500)];
      expect(found(new Exclusion(TTL), ...letIn)).toHaveLength(1);
    });
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

  it('may be none where a condition did not hold, which nobody knows if only the answer was lost', () => {
    const swap = (e: Entry['e']) => ({ ...add(e), f: 'cas' }) as const;
    const sure = { ...swap('unknown'), applied: true };
    expect(found(new Effects(), swap('invoke'), sure)).toEqual([]);
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

  it('are not held to account for what is before them, however much of the log was forgotten meanwhile', () => {
    const from = 100_001;
    const noise = Array.from({ length: 30_000 }, (_, i) => put(i + 1, 'data/n', `${i}`, i + 1, 1));
    const late = put(from + 1, 'data/a', 'late');
    const lines = [
      log(...noise),
      open({ from }),
      log(...noise.map((change, i) => put(30_001 + i, change[2], change[3], 30_001 + i, 1))),
      log(put(99_000, 'data/a', 'early')),
      log(late),
      told(late),
    ];
    expect(found(new Watches(), ...lines)).toEqual([]);
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
  const revoked = (at: number) =>
    ({
      p: 'harness',
      i: 1,
      f: 'fault',
      e: 'info',
      kind: 'revoke',
      target: 'w1.1',
      lease: '7',
      at,
    }) as const;
  const standstill = (from: number, to: number) =>
    [
      { p: 'harness', f: 'stopped', e: 'info', target: 'w1.1', at: from },
      { p: 'harness', f: 'continued', e: 'info', target: 'w1.1', at: to },
    ] as const;

  it('hold while they are renewed', () => {
    expect(
      found(new Sessions(), opened, alive(5_000), ...standstill(6_000, 7_000), alive(7_001)),
    ).toEqual([]);
  });

  it('must not believe in a lease that was revoked', () => {
    expect(found(new Sessions(), opened, revoked(100), alive(1_000))).toEqual([]);
    expect(found(new Sessions(), opened, revoked(100), alive(5_000))).toHaveLength(1);
  });

  it('must not believe in a lease that they could not renew', () => {
    expect(found(new Sessions(), opened, ...standstill(100, 2_500), alive(2_501))).toHaveLength(1);
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
  const harness = { p: 'harness', e: 'info', target: 'w1.1' } as const;

  it('holds where all calls settle in the time their processes had', () => {
    expect(
      found(
        new Liveness(),
        read(1, 'invoke', 0),
        { ...harness, f: 'stopped', at: 10 },
        { ...harness, f: 'continued', at: 5_000 },
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
    const kill = { ...harness, f: 'fault', kind: 'kill-worker', at: 10 } as const;
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

const mark = (rev: number, lock: string, token: number, as = '', by = 'w1.1:1') =>
  put(rev, `mark/${lock}/w1`, `${token}:${as}|${by}`);

describe('a shared lock', () => {
  const folder = 'read-write-lock/shared';
  const r5 = put(5, `${folder}/r/a`, '');
  const r6 = put(6, `${folder}/r/b`, '');
  const w7 = put(7, `${folder}/w/c`, '');
  const twin7 = put(7, `${folder}/r/c`, '');
  const u8 = put(8, `${folder}/u/d`, '');
  const marker = put(30, `${folder}/x/d`, '');
  const marked = (rev: number, token: number, as: string) => mark(rev, 'shared', token, as);

  it('has many readers, then one writer, who may go on as one of many readers', () => {
    const lines = [
      log(r5, r6, w7, twin7, marked(8, 5, 'read'), marked(9, 6, 'read')),
      log(gone(10, `${folder}/r/a`), gone(11, `${folder}/r/b`), marked(12, 7, 'write')),
      log(put(13, `${folder}/r/e`, ''), gone(14, `${folder}/w/c`), marked(15, 13, 'read')),
      log(marked(16, 7, 'read')),
    ];
    expect(found(new SharedLock(), ...lines)).toEqual([]);
  });

  it('has who is to write later beside readers, and alone while it writes', () => {
    const lines = [log(r5, u8, marked(9, 8, 'upgradeable'), marked(10, 5, 'read'), marker)];
    const alone = [log(gone(31, `${folder}/r/a`), marked(32, 8, 'write'))];
    const after = log(gone(33, `${folder}/x/d`), put(34, `${folder}/r/f`, ''));
    expect(found(new SharedLock(), ...lines, ...alone, after, log(marked(35, 34, 'read')))).toEqual(
      [],
    );
    expect(found(new SharedLock(), ...lines, log(marked(32, 8, 'write')))).toHaveLength(1);
    const early = [...lines, ...alone, log(put(33, `${folder}/r/f`, ''), marked(34, 33, 'read'))];
    expect(found(new SharedLock(), ...early)).toHaveLength(1);
  });

  it('is broken by a reader beside a writer, whoever came first', () => {
    expect(
      found(new SharedLock(), log(r5, w7, twin7, marked(8, 5, 'read'), marked(9, 7, 'write'))),
    ).toHaveLength(1);
    const late = put(8, `${folder}/r/f`, '');
    expect(
      found(new SharedLock(), log(w7, twin7, marked(9, 7, 'write'), late, marked(10, 8, 'read'))),
    ).toHaveLength(1);
  });

  it('is broken by who goes on writing as a reader', () => {
    const lines = [w7, twin7, marked(8, 7, 'write'), gone(9, `${folder}/w/c`)];
    expect(found(new SharedLock(), log(...lines, marked(10, 7, 'write')))).toHaveLength(1);
    expect(found(new SharedLock(), log(...lines, marked(10, 7, 'read')))).toEqual([]);
  });

  it('is broken by two writers', () => {
    const two = [w7, put(8, `${folder}/w/f`, ''), marked(9, 7, 'write'), marked(10, 8, 'write')];
    expect(found(new SharedLock(), log(...two))).toHaveLength(1);
  });

  it('is broken by a mark of somebody whose key is gone', () => {
    expect(
      found(new SharedLock(), log(r5, gone(6, `${folder}/r/a`), marked(7, 5, 'read'))),
    ).toHaveLength(1);
  });
});

describe('permits', () => {
  const limit = (rev: number, n: number) => put(rev, `semaphore/permits/limit/${rev}`, String(n));
  const come = (rev: number) => put(rev, `semaphore/permits/permits/2/${rev}`, '');
  const go = (rev: number, token: number) => gone(rev, `semaphore/permits/permits/2/${token}`);
  const use = (rev: number, token: number, n: number) => mark(rev, 'permits', token, String(n));

  it('are as many as the limit, and given again when they are given back', () => {
    const lines = [limit(2, 4), come(5), come(6), come(7), use(8, 5, 2), use(9, 6, 2), go(10, 5)];
    expect(found(new Permits(), log(...lines, use(11, 7, 2), use(12, 6, 2)))).toEqual([]);
  });

  it('stay with who has them when the limit becomes less, and are not given to others', () => {
    const lines = [limit(2, 4), come(5), come(6), use(8, 5, 2), use(9, 6, 2), limit(10, 3)];
    expect(found(new Permits(), log(...lines, use(11, 5, 2), come(12)))).toEqual([]);
    expect(found(new Permits(), log(...lines, come(12), use(13, 12, 1)))).toHaveLength(1);
    // Let in before, he may be late to use them.
    const late = [limit(2, 4), come(5), come(6), use(8, 5, 2), limit(9, 3), use(10, 6, 2)];
    expect(found(new Permits(), log(...late))).toEqual([]);
  });

  it('are no more than the limit', () => {
    const lines = [limit(2, 4), come(5), come(6), use(8, 5, 2)];
    expect(found(new Permits(), log(...lines, use(9, 6, 3)))).toHaveLength(1);
  });

  it('are not used by somebody whose key is gone', () => {
    expect(found(new Permits(), log(limit(2, 4), come(5), go(6, 5), use(7, 5, 1)))).toHaveLength(1);
  });
});

describe('terms', () => {
  const key = (who: string) => `election/office/terms/${who}`;
  const lead = (rev: number, who: string, value = who, create = rev) =>
    put(rev, key(who), JSON.stringify({ value }), 1, create);
  const told = (rev: number, token: number, value: string | null, missed = false) =>
    ({ p: 'w1.1', f: 'told', e: 'info', lock: 'office', rev, token, value, missed }) as const;
  const begin = { p: 'w1.1', f: 'begin', e: 'info' } as const;
  const untold = (at: number) =>
    ({ p: 'w1.1', f: 'untold', e: 'info', lock: 'office', at }) as const;
  const one = [lead(5, 'a'), mark(6, 'office', 5), lead(7, 'a', 'new', 5)];
  const two = [lead(9, 'b'), gone(9, key('a')), mark(10, 'office', 9), gone(11, key('b'))];
  const all = [told(5, 5, 'a'), told(7, 5, 'new'), told(9, 9, 'b'), told(11, 0, null)];

  it('follow one another, and everybody is told', () => {
    expect(found(new Terms(), begin, log(...one, ...two), ...all)).toEqual([]);
    expect(found(new Terms(), begin, ...all, log(...one, ...two), untold(90_000))).toEqual([]);
  });

  it('are one at a time', () => {
    expect(found(new Terms(), log(lead(5, 'a'), lead(6, 'b')))).toHaveLength(1);
  });

  it('have no effect after they have ended, nor when others have begun', () => {
    expect(found(new Terms(), log(...one, ...two, mark(12, 'office', 9)))).toHaveLength(1);
    const late = [...two.slice(0, 3), mark(11, 'office', 5)];
    expect(found(new Terms(), log(...one, ...late))).toHaveLength(1);
  });

  it.each([
    ['leave a leader out', [all[0], all[1], all[3]]],
    ['leave a value out', [all[0], all[2], all[3]]],
    ['tell of one twice', [all[0], all[0]]],
    ['tell of them in another order', [all[0], all[2], all[1]]],
    ['make one up', [all[0], told(7, 5, 'old')]],
    ['tell of one too late', [all[0], told(8, 5, 'new')]],
    ['tell of a gap where nothing is missing', [all[0], all[1], told(9, 9, 'b', true)]],
  ])('are not watched by who would %s', (_, lines) => {
    const given = lines as typeof all;
    expect(found(new Terms(), begin, log(...one, ...two), ...given)).not.toEqual([]);
  });

  it('may be missed by who is told that something may be missing, where it was compacted', () => {
    const compacted = { p: 'h', f: 'fault', e: 'ok', kind: 'compacted', rev: 8 } as const;
    const lines = [begin, log(...one, ...two), told(5, 5, 'a'), told(7, 5, 'new'), compacted];
    expect(found(new Terms(), ...lines, told(10, 9, 'b', true), told(11, 0, null))).toEqual([]);
    const twice = [told(9, 9, 'b', true), told(10, 9, 'b', true)];
    expect(found(new Terms(), ...lines, ...twice, told(11, 0, null))).toEqual([]);
  });

  it('are told of in time', () => {
    const lines = [begin, log(...one, ...two), all[0] as (typeof all)[0]];
    expect(found(new Terms(), ...lines, untold(1_000))).toEqual([]);
    expect(found(new Terms(), ...lines, untold(90_000))).toHaveLength(1);
  });
});

describe('rounds', () => {
  const folder = 'cyclic-barrier/circle/000000000001';
  const wait = (p: string) => ({ p, i: 1, f: 'await', e: 'invoke', lock: 'circle' }) as const;
  const pass = (p: string, index: number, generation = 1) =>
    ({ p, i: 1, f: 'await', e: 'ok', lock: 'circle', generation, index }) as const;
  const come = (rev: number, at = folder) => put(rev, `${at}/parties/${rev}`, '');
  const over = (rev: number, what: object, at = folder) =>
    put(rev, `${at}/round`, JSON.stringify({ count: 3, ...what }));
  const tripped = { tripped: ['5', '6', '7'] };
  const waits = ['w1.1', 'w2.1', 'w3.1'].map(wait);
  const passes = ['w1.1', 'w2.1', 'w3.1'].map((p, i) => pass(p, i));
  const round = log(come(5), come(6), come(7), over(8, tripped));

  it('are passed by all who came', () => {
    expect(found(new Rounds(), ...waits, round, ...passes)).toEqual([]);
    // Who was there when the last came, and gave up then, has come.
    const gave = log(come(5), come(6), come(7), gone(8, `${folder}/parties/5`), over(9, tripped));
    expect(found(new Rounds(), ...waits, ...passes.slice(1), gave)).toEqual([]);
  });

  it('are not passed before all have come', () => {
    const [first, second] = waits as [(typeof waits)[0], (typeof waits)[0]];
    expect(found(new Rounds(), round, first, second, pass('w1.1', 0))).toHaveLength(1);
    const late = [...waits, pass('w1.1', 0), wait('w4.1'), pass('w4.1', 1)];
    expect(found(new Rounds(), round, ...late)).toHaveLength(1);
  });

  it('are passed by each as another', () => {
    const twins = [pass('w1.1', 0), pass('w2.1', 0)];
    expect(found(new Rounds(), round, ...waits, ...twins)).toHaveLength(1);
    expect(found(new Rounds(), round, ...waits, pass('w1.1', 3))).toHaveLength(1);
  });

  it('trip with as many as they wait for, who are there', () => {
    const lines = [log(come(5), come(6), over(8, { tripped: ['5', '6'] }))];
    expect(found(new Rounds(), ...lines)).toHaveLength(1);
    expect(found(new Rounds(), log(come(5), come(7), over(8, tripped)))).toHaveLength(1);
    const other = 'cyclic-barrier/circle/000000000002';
    const mixed = [come(5), come(6, other), come(7), over(8, tripped)];
    expect(found(new Rounds(), log(...mixed))).toHaveLength(1);
    const left = [come(5), gone(6, `${folder}/parties/5`), come(6), come(7), over(8, tripped)];
    expect(found(new Rounds(), log(...left))).toHaveLength(1);
  });

  it('are over once, and either tripped or broken', () => {
    const broken = { broken: { reason: 'lost' } };
    expect(found(new Rounds(), round, log(over(9, broken)))).toHaveLength(1);
    expect(found(new Rounds(), ...waits, log(over(8, broken)), ...passes)).toHaveLength(1);
    const told = { ...wait('w1.1'), e: 'fail', error: 'circle: round 1 is broken by x' } as const;
    expect(found(new Rounds(), ...waits, round, told)).toHaveLength(1);
    expect(found(new Rounds(), ...waits, log(over(8, broken)), told)).toEqual([]);
  });

  it('of a double barrier are left when all others have left', () => {
    const stage = 'double-barrier/stage/000000000001';
    const both = log(...[5, 6, 7].map((rev) => come(rev, stage)), over(8, tripped, stage));
    const step = (f: 'enter' | 'look', token: number, tokens: number[] = []) =>
      ({ p: 'w1.1', i: 1, f, e: 'ok', lock: 'stage', token, tokens }) as const;
    expect(found(new Rounds(), step('enter', 5), both, step('look', 5, [9]))).toEqual([]);
    expect(found(new Rounds(), both, step('look', 5, [6, 9]))).toHaveLength(1);
    expect(found(new Rounds(), both, step('enter', 9))).toHaveLength(1);
  });
});

describe('sums', () => {
  const key = 'counter/1/value';
  const add = (i: number, e: Entry['e'], delta: number, after = 0) =>
    ({ p: 'w1.1', i, f: 'sum', e, key, delta, after }) as const;
  const read = (i: number, e: Entry['e'], after = 0) =>
    ({ p: 'w2.1', i, f: 'total', e, key, after }) as const;
  const ends = (value: number) => log(put(9, key, String(value)));
  const one = [add(1, 'invoke', 2), add(1, 'ok', 2, 2)];
  const two = [add(1, 'invoke', 2), add(2, 'invoke', 3), add(1, 'ok', 2, 2)];

  it('are of all that was added, and perhaps of what nobody knows of', () => {
    expect(found(new Sums(), ...two, add(2, 'ok', 3, 5), ends(5))).toEqual([]);
    expect(found(new Sums(), ...two, add(2, 'unknown', 3), ends(5))).toEqual([]);
    expect(found(new Sums(), ...two, add(2, 'unknown', 3), ends(2))).toEqual([]);
    expect(found(new Sums(), ...two, ends(5))).toEqual([]);
    const refused = [add(2, 'invoke', 3), { ...add(2, 'ok', 3, 5), succeeded: false }];
    expect(found(new Sums(), ...one, ...refused, ends(2))).toEqual([]);
  });

  it('must not count twice, nor forget', () => {
    expect(found(new Sums(), ...two, add(2, 'fail', 3), ends(5))).toHaveLength(1);
    expect(found(new Sums(), ...two, add(2, 'unknown', 3), ends(8))).toHaveLength(1);
    expect(found(new Sums(), ...two, add(2, 'ok', 3, 5), ends(2))).toHaveLength(1);
  });

  it('must not take two for one', () => {
    expect(found(new Sums(), ...two, add(2, 'ok', 3, 3), ends(3))).not.toEqual([]);
  });

  it('must not go back behind what was seen', () => {
    const seen = [...two, add(2, 'ok', 3, 5), read(1, 'invoke')];
    expect(found(new Sums(), ...seen, read(1, 'ok', 5), ends(5))).toEqual([]);
    expect(found(new Sums(), ...seen, read(1, 'ok', 2), ends(5))).toHaveLength(1);
    const late = [...two, read(1, 'invoke'), read(1, 'ok', 5), add(3, 'invoke', 1)];
    expect(
      found(new Sums(), ...late, add(3, 'ok', 1, 3), add(2, 'ok', 3, 6), ends(6)),
    ).toHaveLength(2);
  });

  it('must not be what they never were', () => {
    const lines = [...two, read(1, 'invoke')];
    const end = [add(2, 'ok', 3, 5), ends(5)];
    expect(found(new Sums(), ...lines, read(1, 'ok', 3), ...end)).toHaveLength(1);
    expect(found(new Sums(), ...lines, read(1, 'ok', 9), ...end)).toHaveLength(1);
  });
});

describe('numbers', () => {
  const ask = (p: string, i: number, key = 'single') =>
    ({ p, i, f: 'number', e: 'invoke', key }) as const;
  const give = (p: string, i: number, after: number, key = 'single') =>
    ({ ...ask(p, i, key), e: 'ok', after }) as const;

  it('are given once each, and grow', () => {
    const lines = [ask('w1.1', 1), ask('w2.1', 1), give('w1.1', 1, 2), give('w2.1', 1, 1)];
    expect(found(new Numbers(), ...lines, ask('w2.1', 2), give('w2.1', 2, 3))).toEqual([]);
  });

  it('must not be given twice', () => {
    const lines = [ask('w1.1', 1), ask('w2.1', 1), give('w1.1', 1, 1)];
    expect(found(new Numbers(), ...lines, give('w2.1', 1, 1))).toHaveLength(1);
  });

  it('must not become smaller; out of blocks not for one process', () => {
    const lines = (p: string, key: string) => [
      ask('w1.1', 1, key),
      give('w1.1', 1, 5, key),
      ask(p, 2, key),
      give(p, 2, 4, key),
    ];
    expect(found(new Numbers(), ...lines('w2.1', 'single'))).toHaveLength(1);
    expect(found(new Numbers(), ...lines('w2.1', 'blocks'))).toEqual([]);
    expect(found(new Numbers(), ...lines('w1.1', 'blocks'))).toHaveLength(1);
  });
});

describe('shards', () => {
  const own = (rev: number, name = String(rev)): Change =>
    put(rev, `partitioner/shards/shards/3/${name}`, '');
  const writes = (rev: number, token: number): Change =>
    put(rev, 'mark/shard 3/w1', `${token}:|w1.1:${rev}`);
  const assign = (rev: number, ids: string): Change => {
    const members = [...new Set(ids.split(''))];
    const owners = ids.split('').map((id) => members.indexOf(id));
    return put(
      rev,
      'partitioner/shards/assignment',
      JSON.stringify({ shards: ids.length, members, owners }),
    );
  };

  it('have one owner after the other, who alone makes marks', () => {
    const line = [own(5), own(6), writes(7, 5), gone(8, 'partitioner/shards/shards/3/5')];
    expect(found(new Shards(), log(...line, writes(9, 6)))).toEqual([]);
    expect(found(new Shards(), log(own(5), own(6), writes(7, 6)))).toEqual([
      'w1.1:7 made a mark in shard 3 with token 6 at 7, when it was that of token 5',
    ]);
    expect(found(new Shards(), log(...line, writes(9, 5)))).toHaveLength(1);
  });

  it('are divided evenly, and moved no more than that takes', () => {
    const decide = (...all: string[]): readonly string[] =>
      found(new Shards(), log(...all.map((ids, i) => assign(10 + i, ids))));
    expect(decide('aaaa', 'aabb', 'aabc', 'abbc')).toEqual([
      '1 shards were moved, where 0 must be',
    ]);
    expect(decide('aaab')).toEqual(['shards are not divided evenly: 3,1']);
    expect(decide('aabb', 'bbaa')).toEqual(['4 shards were moved, where 0 must be']);
    expect(decide('aabb', 'bbbb', 'bbab')).toHaveLength(1);
  });
});

describe('mirrors', () => {
  const state = (key: string, value: string, mod: number): Digested => ({
    key,
    value,
    modRevision: mod,
    createRevision: mod,
    version: 1,
  });
  const shows = (rev: number, ...keys: Digested[]) =>
    ({ p: 'w1', f: 'mirror', e: 'info', rev, value: digestOf(keys), state: 'current' }) as const;
  const [a, b] = [state('data/a', '1', 5), state('data/b', '2', 7)];
  const changes = log(
    put(5, 'data/a', '1'),
    put(6, 'x', ''),
    put(7, 'data/b', '2'),
    gone(9, 'data/a'),
  );

  it('are as etcd was, before the log comes there and after', () => {
    const early = [shows(4), shows(6, a), shows(7, a, b), shows(8, a, b), shows(9, b)];
    expect(found(new Mirrors(), ...early, changes)).toEqual([]);
    expect(found(new Mirrors(), changes, ...early)).toEqual([]);
  });

  it('must not be otherwise, go back, or fail', () => {
    const wrong = ['the mirror of w1 is not as etcd was at 7'];
    expect(found(new Mirrors(), shows(7, a), changes)).toEqual(wrong);
    expect(found(new Mirrors(), changes, shows(7, b))).toEqual(wrong);
    expect(found(new Mirrors(), changes, shows(7, a, b), shows(6, a))).toHaveLength(1);
    const failed = { p: 'w1', f: 'mirror', e: 'info', error: 'no' } as const;
    expect(found(new Mirrors(), failed)).toHaveLength(1);
  });
});

describe('a run', () => {
  it('has the plan of its seed', () => {
    expect(planOf(1, 600_000, TTL)).toEqual(planOf(1, 600_000, TTL));
    expect(planOf(1, 600_000, TTL)).not.toEqual(planOf(2, 600_000, TTL));
    const { cluster, workers } = planOf(1, 3_600_000, TTL);
    expect(cluster.length + workers.length).toBeGreaterThan(1_200);
    expect(new Set(cluster.map(({ kind }) => kind)).size).toBe(20);
    expect(planOf(1, 600_000, TTL, ['kill']).workers).toEqual([]);
    expect(() => planOf(1, 600_000, TTL, ['kil'])).toThrow('there is no fault "kil"');
  });

  it('means nothing where too little happened', () => {
    const plan = planOf(1, 60_000, TTL);
    const nothing = tooSeldom({ plan }, new Measures(), {});
    expect(nothing.join()).toMatch(/stale writes: 0 times, should be 1 at least/);
    expect(nothing.join()).toMatch(/fault: pause-worker/);
    const jobs = tooSeldom({ plan, workloads: ['jobs'], jobs: 1_000 }, new Measures(), {});
    expect(jobs.join()).toMatch(/jobs done: 0 times, should be 1000 at least/);
    expect(jobs.join()).not.toMatch(/stale writes/);
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
