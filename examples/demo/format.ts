import { stripVTControlCharacters, styleText } from 'node:util';

/** The colours used; on a terminal only, and not with `NO_COLOR`. */
export const paint: Record<'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan', Paint> = {
  bold: (text) => styleText('bold', text),
  dim: (text) => styleText('dim', text),
  red: (text) => styleText('red', text),
  green: (text) => styleText('green', text),
  yellow: (text) => styleText('yellow', text),
  cyan: (text) => styleText('cyan', text),
};

type Paint = (text: string) => string;

const LEVELS = '▁▂▃▄▅▆▇█';

/** A whole number with thousands set apart. */
export function count(value: number | bigint): string {
  return value.toLocaleString('en-US');
}

/** Milliseconds in a unit that suits them. */
export function duration(ms: number): string {
  return ms < 1_000 ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** A part of a bar `width` characters long; `share` is from 0 to 1. */
export function bar(share: number, width: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return paint.cyan('━'.repeat(full)) + paint.dim('─'.repeat(width - full));
}

/** Values as a line of small columns; nothing is a blank. */
export function sparkline(values: readonly number[]): string {
  const top = Math.max(1, ...values);
  return values
    .map((value) => (value > 0 ? (LEVELS[Math.floor((value / top) * 7.99)] ?? '█') : ' '))
    .join('');
}

/** How many columns a text takes, colours left out. */
export function widthOf(text: string): number {
  return Array.from(stripVTControlCharacters(text)).length;
}

/** Rows with their columns lined up: the first to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => widthOf(row[column] ?? ''))),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const gap = ' '.repeat((widths[column] ?? 0) - widthOf(cell));
        return column === 0 ? cell + gap : gap + cell;
      })
      .join('   '),
  );
}
