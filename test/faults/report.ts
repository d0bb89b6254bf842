import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Cell, Episode } from './episode.js';
import type { Figure } from './figures.js';
import { verbNames } from './verbs.js';

const page = new URL('../../docs/reliability.md', import.meta.url);
const biome = new URL('../../node_modules/.bin/biome', import.meta.url);

/** What became of every verb under every fault, as Markdown. */
export function tableOf(episodes: readonly Episode[]): string {
  const rows = episodes.map(({ fault, cells }) => [fault.name, ...cells.map(shown)]);
  return markdown(['', ...verbNames], rows);
}

/** What was measured, as Markdown. */
export function figuresOf(figures: readonly Figure[]): string {
  const text = (value: number | undefined): string =>
    value === undefined ? '' : Math.round(value).toLocaleString('en');
  const rows = figures.map(({ what, unit, samples, p50, p99, max, target }) => {
    const wanted = target === undefined ? '' : `≤ ${text(target)} ${unit}`;
    const reached = target === undefined ? '' : p99 <= target ? 'yes' : '**no**';
    const measured = [p50, p99, max].map((value) => `${text(value)} ${unit}`);
    return [what, String(samples.length), ...measured, wanted, reached];
  });
  return markdown(['', 'rounds', 'p50', 'p99', 'max', 'target', 'reached'], rows);
}

/** Puts a text where the page has its place, or else at its end. */
export async function publish(section: 'faults' | 'figures', text: string): Promise<void> {
  const [begin, end] = [`<!-- ${section}: begin -->`, `<!-- ${section}: end -->`];
  const old = await readFile(page, 'utf8');
  const [before = '', rest = ''] = old.split(begin);
  const gap = old.includes(begin) ? '' : '\n';
  const after = rest.split(end)[1] ?? '\n';
  await writeFile(page, `${before}${gap}${begin}\n\n${text}\n\n${end}${after}`);
  // Columns are to be aligned as in all our pages.
  await promisify(execFile)(fileURLToPath(biome), ['format', '--write', fileURLToPath(page)]);
}

function shown({ expected, failures, pause, wrong }: Cell): string {
  const took = `${(pause / 1_000).toFixed(1)} s`;
  const what = outcomeOf(expected, [...failures.keys()]);
  return `${wrong.length > 0 ? '**wrong** ' : ''}${what}${took}`;
}

function outcomeOf(expected: Cell['expected'], failures: readonly string[]): string {
  if (expected.is === 'does not apply') return 'n/a, ';
  const [failure] =
    expected.is === 'lost' ? failures.filter((text) => text.startsWith('lost')) : failures;
  return failure === undefined ? '' : `${failure.replace('ERR_', '')}, `;
}

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
