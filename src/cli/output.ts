import { UnavailableError } from '../core/errors.js';

/** Text that others chose, such as labels and keys, without what could steer a terminal or break a line. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ').trim();
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

/** Prints text on standard output, and resolves when it is out: we may exit next. */
export function print(text: string): Promise<void> {
  return new Promise((resolve) => {
    // A reader that has gone away needs no answer.
    process.stdout.once('error', () => resolve());
    process.stdout.write(`${text}\n`, () => resolve());
  });
}
