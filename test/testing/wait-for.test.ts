import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { ArgumentError, CoordinationError } from '../../src/index.js';
import { waitFor } from '../../src/testing/index.js';

const failure = async (promise: Promise<unknown>): Promise<CoordinationError> => {
  const error: unknown = await promise.catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(CoordinationError);
  return error as CoordinationError;
};

describe('waiting for a condition', () => {
  it('looks once more when time is up during a pause', async () => {
    let value = false;
    setTimeout(() => {
      value = true;
    }, 20);
    expect(await waitFor(() => value, { timeout: 100, interval: 10_000 })).toBe(true);
  });

  it('gives what it gave when it was there', async () => {
    const answers = [undefined, null, false, 'there', 'not looked at'];
    expect(await waitFor(() => answers.shift(), { interval: 0 })).toBe('there');
    expect(answers).toEqual(['not looked at']);
  });

  it.each([0, '', 0n])('takes %o for something', async (value) => {
    expect(await waitFor(() => value)).toBe(value);
  });

  it('goes on while it throws or rejects', async () => {
    let looks = 0;
    const condition = async (): Promise<boolean> => {
      looks += 1;
      if (looks < 3) throw new Error('not yet');
      return true;
    };
    expect(await waitFor(condition, { interval: 0 })).toBe(true);
    const sync = (): boolean => {
      looks += 1;
      if (looks < 6) throw new Error('not yet');
      return true;
    };
    expect(await waitFor(sync, { interval: 0 })).toBe(true);
    expect(looks).toBe(6);
  });

  it('looks once even without any time', async () => {
    expect(await waitFor(() => 'there', { timeout: 0 })).toBe('there');
  });

  it('does not look again before a look has ended', async () => {
    let inside = 0;
    let looks = 0;
    const condition = async (): Promise<boolean> => {
      inside += 1;
      expect(inside).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 5));
      inside -= 1;
      looks += 1;
      return looks === 3;
    };
    await waitFor(condition, { interval: 0 });
    expect(looks).toBe(3);
  });

  it('rejects after its time with the last error as cause, and says what it waited for', async () => {
    let looks = 0;
    const condition = (): boolean => {
      looks += 1;
      throw new Error(`look ${looks} failed`);
    };
    const error = await failure(waitFor(condition, { timeout: 30, interval: 1 }));
    expect(error.code).toBe('ERR_WAIT_TIMEOUT');
    expect(error.cause).toEqual(new Error(`look ${looks} failed`));
    expect(error.message).toMatch(/^not fulfilled within 30 ms: \(\) => \{ looks \+= 1;/);
    expect(error.message).toMatch(new RegExp(`; it threw: look ${looks} failed$`));
    expect(looks).toBeGreaterThan(1);
  });

  it('says what it gave last, where it did not throw', async () => {
    const list: number[] = [];
    const error = await failure(waitFor(() => list.length === 3, { timeout: 5 }));
    expect(error.message).toBe('not fulfilled within 5 ms: () => list.length === 3; it gave false');
    expect(error.cause).toBe(undefined);
  });

  it('gives a condition up that never comes to an end', async () => {
    const error = await failure(waitFor(() => new Promise<boolean>(() => {}), { timeout: 5 }));
    expect(error.message).toMatch(/; it never came to an end$/);
  });

  it('shows of a long condition the beginning', async () => {
    const condition = Object.assign(() => false, { toString: () => 'x'.repeat(1_000) });
    const error = await failure(waitFor(condition, { timeout: 0 }));
    expect(error.message).toContain(`: ${'x'.repeat(200)}...; it gave false`);
  });

  it('rejects with the reason of its signal, and lets go of it', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    await waitFor(() => true, { signal });
    const wait = waitFor(() => false, { signal });
    expect(getEventListeners(signal, 'abort').length).toBe(1);
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(wait).rejects.toBe(reason);
    await expect(waitFor(() => true, { signal })).rejects.toBe(reason);
  });

  it.each([
    [{ timeout: -1 }, /timeout must be a number of milliseconds from 0/],
    [{ timeout: Number.NaN }, /timeout must be .* got NaN/],
    [{ interval: -1 }, /interval must be a number of milliseconds from 0/],
  ])('refuses %o', async (options, message) => {
    const wait = waitFor(() => true, options);
    await expect(wait).rejects.toThrow(ArgumentError);
    await expect(wait).rejects.toThrow(message);
  });

  it('refuses what is not a function', async () => {
    await expect(waitFor(true as never)).rejects.toThrow(/condition must be a function, got true/);
  });
});
