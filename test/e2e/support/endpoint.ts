import { inject } from 'vitest';

/** The server that foreign clients are tried on: its client URL. */
export function endpointUnderTest(): string {
  return inject('endpoint');
}
