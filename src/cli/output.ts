import { UnavailableError } from '../core/store/errors.js';

/** Is told the exit status. */
export type Done = (status: number) => void;

/** Text that others chose, such as labels and keys, without what could steer a terminal or break a line. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ').trim();
}

/** What is known, a line for each. */
export function linesOf(facts: Readonly<Record<string, string>>): string {
  const width = Math.max(0, ...Object.keys(facts).map((name) => name.length));
  const lines = Object.entries(facts).map(([name, fact]) => `${name.padEnd(width)}  ${fact}`);
  return lines.map(printable).join('\n');
}

/** Says one line on standard error. */
export function say(line: string): void {
  process.stderr.write(`etcd-recipes: ${printable(line)}\n`);
}

/** An error in one line: what it says, and what each endpoint said. */
export function lineOf(error: unknown): string {
  if (error instanceof UnavailableError) {
    const said = error.failures.map((each) => `${each.endpoint}: ${each.status} ${each.message}`);
    return `etcd is unavailable (${said.join('; ')})`;
  }
  return error instanceof Error ? error.message : String(error);
}

/** Prints text on standard output, and resolves when it is out: we may exit next. Gives whether anybody is there to read it. */
export function print(text: string): Promise<boolean> {
  return new Promise((resolve) => {
    process.stdout.write(`${text}\n`, (error) => resolve(!error));
  });
}

/** Prints what is known: a line for each, or as JSON, `about` what it is. */
export function printFacts(
  facts: Readonly<Record<string, string | number | boolean | null>>,
  { json = false }: { readonly json?: boolean },
  about: { readonly name?: string } = {},
): Promise<boolean> {
  const words = Object.entries(facts).map(([fact, value]) => [fact, String(value ?? '-')] as const);
  return print(json ? JSON.stringify({ ...about, ...facts }) : linesOf(Object.fromEntries(words)));
}
