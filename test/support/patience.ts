import { vi } from 'vitest';

const { waitFor } = vi;

/** Has tests wait for what they wait for as long as it takes, on a machine that is busy elsewhere too: Vitest gives it a second. */
export function bePatient(): void {
  vi.waitFor = (condition, options = {}) => {
    const given = typeof options === 'number' ? { timeout: options } : options;
    return waitFor(condition, { timeout: 60_000, interval: 10, ...given });
  };
}
