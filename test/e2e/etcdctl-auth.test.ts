import { beforeEach, describe, expect, it } from 'vitest';
import { useEtcd } from '../support/etcd.js';
import { type Etcdctl, etcdctlFor } from './support/etcdctl.js';

const etcd = useEtcd();
const DENIED = 'Error: etcdserver: permission denied';
const ROOT = ['--user', 'root:secret'];
const ALICE = ['--user', 'alice:wonder'];

let ctl: Etcdctl;

beforeEach(async () => {
  ctl = etcdctlFor(await etcd.startOwn());
  etcd.defer(() => ctl.stopAll());
});

/** `root` may do all, `alice` may use what begins with `app/` and read `shared`. */
async function setUp(): Promise<void> {
  await ctl.run('user', 'add', 'root', '--new-user-password=secret');
  await ctl.run('user', 'add', 'alice', '--new-user-password=wonder');
  await ctl.run('role', 'add', 'app');
  await ctl.run('role', 'grant-permission', 'app', 'readwrite', 'app/', '--prefix');
  await ctl.run('role', 'grant-permission', 'app', 'read', 'shared');
  await ctl.run('user', 'grant-role', 'alice', 'app');
  await ctl.run('role', 'add', 'root');
  await ctl.run('user', 'grant-role', 'root', 'root');
  await ctl.run('auth', 'enable');
}

describe('etcdctl user, role and auth', () => {
  it('keep users and roles', async () => {
    expect(await ctl.refusal('auth', 'enable')).toBe('Error: etcdserver: root user does not exist');
    expect(await ctl.run('user', 'add', 'root', '--new-user-password=secret')).toBe(
      'User root created\n',
    );
    expect(await ctl.refusal('user', 'add', 'root', '--no-password')).toBe(
      'Error: etcdserver: user name already exists',
    );
    expect(await ctl.run('role', 'add', 'app')).toBe('Role app created\n');
    expect(await ctl.refusal('role', 'add', 'app')).toBe(
      'Error: etcdserver: role name already exists',
    );
    await ctl.run('role', 'grant-permission', 'app', 'readwrite', 'app/', '--prefix');
    await ctl.run('role', 'grant-permission', 'app', 'read', 'a', 'c');
    await ctl.run('role', 'grant-permission', 'app', 'write', 'z', '--from-key');
    expect(await ctl.run('role', 'get', 'app')).toBe(
      'Role app\nKV Read:\n\t[a, c)\n\t[app/, app0) (prefix app/)\n' +
        'KV Write:\n\t[app/, app0) (prefix app/)\n\t[z, <open ended>\n',
    );
    expect(await ctl.run('role', 'revoke-permission', 'app', 'a', 'c')).toBe(
      'Permission of range [a, c) is revoked from role app\n',
    );
    expect(await ctl.refusal('role', 'revoke-permission', 'app', 'a')).toBe(
      'Error: etcdserver: permission is not granted to the role',
    );
    await ctl.run('user', 'add', 'bob', '--no-password');
    expect(await ctl.run('user', 'grant-role', 'bob', 'app')).toBe(
      'Role app is granted to user bob\n',
    );
    expect(await ctl.run('user', 'get', 'bob')).toBe('User: bob\nRoles: app\n');
    expect(await ctl.run('user', 'list')).toBe('bob\nroot\n');
    expect(await ctl.run('role', 'list')).toBe('app\n');
    expect(await ctl.run('role', 'delete', 'app')).toBe('Role app deleted\n');
    expect(await ctl.run('user', 'get', 'bob')).toBe('User: bob\nRoles:\n');
    expect(await ctl.run('user', 'delete', 'bob')).toBe('User bob deleted\n');
    expect(await ctl.refusal('user', 'get', 'bob')).toBe('Error: etcdserver: user name not found');
  });

  it('switch authentication on and off', async () => {
    await setUp();
    expect(await ctl.run(...ROOT, 'auth', 'status')).toMatch(
      /^Authentication Status: true\nAuthRevision: \d+\n$/,
    );
    expect(await ctl.refusal('get', 'a')).toBe('Error: etcdserver: user name is empty');
    const wrong = ['--user', 'root:guess', 'get', 'a'];
    expect(await ctl.refusal(...wrong)).toBe(
      'Error: etcdserver: authentication failed, invalid user ID or password',
    );
    expect(await ctl.refusal(...ROOT, 'user', 'delete', 'root')).toBe(
      'Error: etcdserver: invalid auth management',
    );
    expect(await ctl.refusal(...ALICE, 'user', 'list')).toBe(DENIED);
    expect(await ctl.run(...ROOT, 'auth', 'disable')).toBe('Authentication Disabled\n');
    expect(await ctl.run('get', 'a')).toBe('');
  });

  it('let users do what their roles permit', async () => {
    await setUp();
    const alice = (...args: readonly string[]): Promise<string> => ctl.run(...ALICE, ...args);
    const refused = (...args: readonly string[]): Promise<string> => ctl.refusal(...ALICE, ...args);
    expect(await alice('put', 'app/1', 'x')).toBe('OK\n');
    expect(await alice('get', 'app/', '--prefix')).toBe('app/1\nx\n');
    expect(await alice('get', 'shared')).toBe('');
    for (const args of [
      ['put', 'shared', 'x'],
      ['get', 'shared', '--from-key'],
      ['get', '', '--prefix'],
      ['del', 'app', '--prefix'],
      ['compact', '1'],
    ]) {
      expect({ args, said: await refused(...args) }).toEqual({ args, said: DENIED });
    }
    const watched = await ctl.attempt(...ALICE, 'watch', 'other');
    expect(watched.stderr).toContain('permission denied');
    expect(await alice('user', 'get', 'alice')).toBe('User: alice\nRoles: app\n');
    expect(await refused('user', 'get', 'root')).toBe(DENIED);
    expect(await ctl.run(...ROOT, 'get', '', '--prefix')).toBe('app/1\nx\n');
  });
});
