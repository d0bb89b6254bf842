import { describe, expect, it } from 'vitest';
import { Ledger } from '../../examples/demo/ledger.js';
import type { Section } from '../../examples/demo/messages.js';
import { judge, type Remains } from '../../examples/demo/verdict.js';

const section = (n: number, changes: Partial<Section> = {}): Section => ({
  worker: `w${n % 4}`,
  kind: 'guarded',
  token: BigInt(n),
  waited: 1,
  since: n * 10,
  until: n * 10 + 5,
  outcome: 'acknowledged',
  ...changes,
});

const fault = { worker: 'w1', at: 11, aimed: true };

/** A ledger of a run in which everything went as promised, but for the sections given. */
const ledgerWith = (...sections: Section[]): Ledger => {
  const ledger = new Ledger();
  for (const one of [section(1), section(2, { outcome: 'refused' }), ...sections]) ledger.add(one);
  ledger.faults.push(
    { ...fault, signal: 'SIGKILL', kind: 'guarded', token: 0n },
    { ...fault, signal: 'SIGSTOP', kind: 'guarded', token: 2n },
    { ...fault, signal: 'SIGSTOP', kind: 'plain', token: 3n },
  );
  return ledger;
};

const violated = (ledger: Ledger, guarded: number, remains: Partial<Remains> = {}): string[] => {
  const all = { values: { guarded, plain: 0 }, keys: [], complaints: [], ...remains };
  return judge(ledger, all)
    .filter(({ violations }) => violations.length > 0)
    .map(({ claim }) => claim);
};

describe('the verdict of the demo', () => {
  it('finds nothing where nothing is wrong', () => {
    expect(violated(ledgerWith(section(3)), 2)).toEqual([]);
  });

  it('finds a lost guarded update', () => {
    expect(violated(ledgerWith(section(3)), 1)).toEqual([
      'no guarded update was lost, and none applied twice',
    ]);
  });

  it('allows for unknown outcomes, and for no more than those', () => {
    const ledger = ledgerWith(section(3, { outcome: 'unknown' }));
    expect([1, 2, 3].map((value) => violated(ledger, value).length)).toEqual([0, 0, 1]);
  });

  it('ignores what the plain counter lost', () => {
    expect(violated(ledgerWith(section(3, { kind: 'plain' })), 1)).toEqual([]);
  });

  it('finds a token that does not grow', () => {
    expect(violated(ledgerWith(section(3, { token: 2n })), 2)).toContain(
      'tokens grew from holder to holder',
    );
  });

  it('finds two sections that overlap', () => {
    expect(violated(ledgerWith(section(3, { since: 24 })), 2)).toEqual([
      'no two sections overlapped while both holds were good',
    ]);
  });

  it('finds a late guarded write that took effect', () => {
    const ledger = ledgerWith(section(3));
    ledger.faults.push({ ...fault, signal: 'SIGSTOP', kind: 'guarded', token: 3n });
    expect(violated(ledger, 2)).toEqual(['every late guarded write was refused']);
  });

  it('finds a fault that missed, keys that were left, and workers that did not finish', () => {
    const ledger = ledgerWith();
    ledger.faults.pop();
    expect(violated(ledger, 1, { keys: ['a'], complaints: ['w1 did not finish'] })).toEqual([
      'every fault hit a holder in the middle of its section',
      'every worker finished',
      'nothing was left in the line',
    ]);
  });
});
