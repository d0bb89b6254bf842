import { count, duration, paint, table } from './format.js';
import type { Ledger } from './ledger.js';
import type { Kind } from './messages.js';
import { type Check, lostUpdates, type Remains } from './verdict.js';

const KINDS: readonly Kind[] = ['guarded', 'plain'];

/** The report at the end, as lines. `elapsed` is the time of work, in milliseconds. */
export function report(
  ledger: Ledger,
  remains: Remains,
  checks: readonly Check[],
  elapsed: number,
): string[] {
  return [
    '',
    ...counters(ledger, remains),
    '',
    ...speed(ledger, elapsed),
    '',
    ...checks.flatMap(verdictOn),
    ...lesson(ledger, remains),
    '',
  ];
}

function counters({ tallies }: Ledger, { values }: Remains): string[] {
  const row = (title: string, cell: (kind: Kind) => number): string[] => [
    title,
    ...KINDS.map((kind) => count(cell(kind))),
  ];
  const lost = (kind: Kind): number => lostUpdates(tallies[kind], values[kind]);
  const [heading = '', ...rows] = table([
    ['counter', ...KINDS],
    row('acknowledged increments', (kind) => tallies[kind].acknowledged),
    row('value at the end', (kind) => values[kind]),
    row('lost updates', lost),
    row('refused (HoldLostError)', (kind) => tallies[kind].refused),
    row('unknown outcome', (kind) => tallies[kind].unknown),
  ]);
  const losses = KINDS.some((kind) => lost(kind) > 0);
  return [
    paint.bold(heading),
    ...rows.map((line) => (losses && line.startsWith('lost') ? paint.yellow(line) : line)),
  ];
}

function speed(ledger: Ledger, elapsed: number): string[] {
  const { sections, faults } = ledger;
  const waits = ledger.calmWaits();
  const outages = faults.map((fault) => ledger.recovery(fault));
  const calm = elapsed - outages.reduce<number>((sum, outage) => sum + (outage ?? 0), 0);
  const rate = (over: number): string => count(Math.round((sections.length * 1_000) / over));
  const wait = (percent: number): string => duration(waits.percentile(percent) / 1_000);
  const recovered = faults.map(({ signal }, n) => {
    const outage = outages[n];
    return `${signal} ${outage === undefined ? 'never' : duration(outage)}`;
  });
  return [
    `hand-offs   ${rate(calm)}/s, or ${rate(elapsed)}/s with the faults: ${count(sections.length)} in ${duration(elapsed)}`,
    `wait        p50 ${wait(50)}, p99 ${wait(99)}, where no fault was in the way`,
    `recovery    ${recovered.join(', ')}`,
  ];
}

function verdictOn({ claim, violations }: Check): string[] {
  if (violations.length === 0) return [`${paint.green('✔')} ${claim}`];
  const shown = violations.slice(0, 5).map((violation) => `    ${violation}`);
  const more = violations.length > 5 ? [`    and ${violations.length - 5} more`] : [];
  return [paint.red(`✘ not true: ${claim}`), ...shown, ...more];
}

function lesson({ tallies }: Ledger, { values }: Remains): string[] {
  const lost = lostUpdates(tallies.plain, values.plain);
  if (lost === 0) return [];
  return [
    '',
    `The plain counter lost ${count(lost)} ${lost === 1 ? 'update' : 'updates'}, as was to be expected: a worker that was`,
    'stopped in the middle of its section woke up, did not know that its lock had',
    'gone to others, and wrote what it had worked out from an old value.',
    ...(tallies.guarded.refused > 0
      ? ['The same happened in a guarded section, and there the write was refused.']
      : []),
  ];
}
