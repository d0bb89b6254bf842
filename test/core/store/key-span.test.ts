import { expect, it } from 'vitest';
import { covers, spanOf } from '../../../src/core/store/key-span.js';

it('a range whose end has no byte is one key, as it is to etcd', () => {
  for (const end of ['', Buffer.of()]) {
    const span = spanOf({ key: 'a', end });
    expect(span).toEqual(spanOf({ key: 'a' }));
    expect(covers(span, 'a')).toBe(true);
  }
});
