import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  abortable,
  checkedController,
  onAbort,
  waitScope,
} from '../../../src/core/time/signals.js';
import { VirtualClock } from '../../../src/embed/virtual-clock.js';
import { ArgumentError, systemClock, WaitTimeoutError } from '../../../src/index.js';

describe('a checked signal', () => {
  it('checks before it says that it is not aborted', () => {
    let due = false;
    const reason = new Error('too late');
    const controller: AbortController = checkedController(() => {
      if (due) controller.abort(reason);
    });
    expect(controller.signal.aborted).toBe(false);
    controller.signal.throwIfAborted();
    due = true;
    expect(controller.signal.aborted).toBe(true);
    expect(() => controller.signal.throwIfAborted()).toThrow(reason);
  });

  it('works where a signal is expected', async () => {
    const controller = checkedController(() => {});
    const sleep = systemClock.sleep(60_000, controller.signal);
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(sleep).rejects.toBe(reason);
    expect(AbortSignal.any([controller.signal]).aborted).toBe(true);
  });
});

it('a signal may end as many calls as there are, without a warning', async () => {
  const warned = vi.fn<() => void>();
  process.on('warning', warned);
  onTestFinished(() => void process.off('warning', warned));
  const { signal } = new AbortController();
  const undo = Array.from({ length: 20 }, () => onAbort(signal, () => {}));
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  expect(warned).not.toHaveBeenCalled();
  for (const stop of undo) stop();
});

describe('the scope of a wait', () => {
  const life = new AbortController().signal;

  it('ends with the reason of the caller', () => {
    const controller = new AbortController();
    const scope = waitScope({ signal: controller.signal }, life, new VirtualClock());
    controller.abort('why');
    expect(scope.signal.reason).toBe('why');
  });

  it('ends with the life it belongs to', () => {
    const ending = new AbortController();
    const scope = waitScope({ timeout: 10 }, ending.signal, new VirtualClock());
    ending.abort('over');
    expect(scope.signal.reason).toBe('over');
  });

  it('ends after its timeout, unless it was let go', async () => {
    const clock = new VirtualClock();
    const scope = waitScope({ timeout: 10 }, life, clock);
    const disposed = waitScope({ timeout: 10 }, life, clock);
    disposed.dispose();
    await clock.advance(10);
    expect(scope.signal.reason).toEqual(new WaitTimeoutError(10));
    expect(disposed.signal.aborted).toBe(false);
  });

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY, '5' as never])(
    'refuses a timeout of %s',
    (timeout) => {
      expect(() => waitScope({ timeout }, life, new VirtualClock())).toThrow(ArgumentError);
    },
  );
});

it('leaves no listener behind when a promise was quicker than the signal', async () => {
  const { signal } = new AbortController();
  const added: string[] = [];
  signal.addEventListener = (type: string) => added.push(type);
  signal.removeEventListener = (type: string) => added.splice(added.indexOf(type), 1);
  expect(await abortable(Promise.resolve(1), signal)).toBe(1);
  expect(added).toEqual([]);
});
