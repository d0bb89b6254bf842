import { expect, it } from 'vitest';
import { LogTail } from '../../../src/embed/process/log-tail.js';

it('keeps the end of a log and forgets its beginning', () => {
  const log = new LogTail();
  const line = `${'x'.repeat(1023)}\n`;
  log.push('first\n');
  for (let count = 0; count < 1000; count += 1) {
    log.push(line);
  }
  log.push('last\n');
  expect(log.text().length).toBeLessThanOrEqual(256 * 1024);
  expect(log.text().length).toBeGreaterThan(250 * 1024);
  expect(log.text()).not.toContain('first');
  expect(log.text().endsWith('\nlast\n')).toBe(true);
});
