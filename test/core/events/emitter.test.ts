import { expect, it, onTestFinished, vi } from 'vitest';
import { Emitter } from '../../../src/core/events/emitter.js';

it('a listener that throws costs no other listener the event', () => {
  const fault = new Error('of a listener');
  const thrown: unknown[] = [];
  vi.stubGlobal('queueMicrotask', (raise: () => void) => {
    try {
      raise();
    } catch (error) {
      thrown.push(error);
    }
  });
  onTestFinished(() => void vi.unstubAllGlobals());
  const told: string[] = [];
  const emitter = new Emitter<{ change: [string] }>();
  const failing = (): never => {
    throw fault;
  };
  emitter.on('change', failing);
  emitter.once('change', failing);
  emitter.once('change', (what) => told.push(`once ${what}`));
  emitter.on('change', (what) => told.push(what));
  expect(emitter.emit('change', 'first')).toBe(true);
  expect(emitter.emit('change', 'second')).toBe(true);
  expect(told).toEqual(['once first', 'first', 'second']);
  expect(thrown).toEqual([fault, fault, fault]);
});
