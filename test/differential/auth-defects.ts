import type { Access } from '../../src/embed/server/auth/access.js';
import { AuthStore } from '../../src/embed/server/auth/auth-store.js';
import { KeyRanges } from '../../src/embed/server/auth/key-ranges.js';
import { Tokens } from '../../src/embed/server/auth/tokens.js';
import { Kv } from '../../src/embed/server/kv/kv.js';
import { intervalOf } from '../../src/embed/server/mvcc/interval.js';
import { type Defect, patch } from './defects.js';

const allow = (): void => {};

/** A mistake somebody might make in what users may do. */
export const authDefects: Readonly<Record<string, Defect>> = {
  'ranges that touch but do not count as one': patch(AuthStore, 'permits', (original) => {
    return function permits(this: AuthStore, user, ...what) {
      const [, key, rangeEnd] = what;
      const { low, high } = intervalOf(key, rangeEnd);
      const spans = this.rolesOf(user).flatMap((role) =>
        this.permissionsOf(role).map((one) => intervalOf(one.key, one.rangeEnd)),
      );
      const inOne = spans.some((span) => span.low <= low && high <= span.high);
      return original.call(this, user, ...what) && (inOne || this.isAdmin(user));
    };
  }),
  'a range that includes its end': patch(KeyRanges, 'covers', (original) => {
    return function covers(this: KeyRanges, { low, high }) {
      return original.call(this, { low, high: `${high}\0` });
    };
  }),
  'a put that needs no right to read what was before': patch(Kv, 'put', (original) => {
    return function put(this: Kv, request, access) {
      return original.call(this, request, access && but(access, { read: allow }));
    };
  }),
  'a lease that may be given to anybody': patch(Kv, 'put', (original) => {
    return function put(this: Kv, request, access) {
      if (!access) return original.call(this, request);
      const write = (key: string, end: string): void => {
        if (key === request.key) access.write(key, end);
      };
      return original.call(this, request, but(access, { write }));
    };
  }),
  'a transaction that may read everything': patch(Kv, 'txn', (original) => {
    return function txn(this: Kv, request, access) {
      return original.call(this, request, access && but(access, { read: allow }));
    };
  }),
  'a token that outlives its user': patch(Tokens, 'forget', () => allow),
};

function but(access: Access, other: Partial<Access>): Access {
  return {
    identify: () => access.identify(),
    propose: () => access.propose(),
    requireUser: () => access.requireUser(),
    requireAdmin: () => access.requireAdmin(),
    read: (...keys) => access.read(...keys),
    write: (...keys) => access.write(...keys),
    ...other,
  };
}
