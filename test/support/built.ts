import { join } from 'node:path';
import { inject } from 'vitest';

/** A program of this project as plain JavaScript; `source` is where it is, from the top. */
export function built(source: string): string {
  return join(inject('built'), source.replace(/ts$/, 'js'));
}
