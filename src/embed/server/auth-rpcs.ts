import type { Caller } from './auth/caller.js';
import { checkPassword } from './auth/passwords.js';
import type { Backend } from './backend.js';
import type { RpcName } from './faults.js';
import { define, type UnaryRpc } from './unary-rpc.js';
import * as wire from './wire/auth.js';
import type { Codec } from './wire/codec.js';
import { Empty } from './wire/common.js';
import { HeaderOnly } from './wire/kv.js';

type Entry = [name: RpcName, rpc: UnaryRpc];

/** The calls of etcd's Auth service. */
export function authRpcs(backend: Backend): Entry[] {
  return [...loginRpcs(backend), ...userRpcs(backend), ...roleRpcs(backend)];
}

function loginRpcs(backend: Backend): Entry[] {
  const { auth } = backend;
  const call = define(backend);
  const change = changes(backend);
  return [
    ['Auth.AuthEnable', change(Empty, () => auth.enable())],
    ['Auth.AuthDisable', change(Empty, () => auth.disable())],
    [
      'Auth.AuthStatus',
      call(Empty, wire.AuthStatusResponse, (_, caller) => {
        caller.propose();
        return { enabled: auth.enabled, authRevision: auth.revision };
      }),
    ],
    [
      'Auth.Authenticate',
      call(wire.Credentials, wire.AuthenticateResponse, ({ name, password }) => ({
        token: auth.authenticate(name, password),
      })),
    ],
  ];
}

function userRpcs(backend: Backend): Entry[] {
  const { auth } = backend;
  const call = define(backend);
  const change = changes(backend);
  return [
    [
      'Auth.UserAdd',
      change(
        wire.UserAddRequest,
        (user) => auth.addUser(user),
        ({ password, options }) => {
          if (!options?.noPassword) checkPassword(password);
        },
      ),
    ],
    [
      'Auth.UserGet',
      call(wire.Named, wire.NamesResponse, ({ name }, caller) => {
        caller.propose();
        if (name !== caller.user) caller.requireAdmin();
        return { names: auth.rolesOf(name) };
      }),
    ],
    ['Auth.UserList', list(backend, () => auth.users())],
    ['Auth.UserDelete', change(wire.Named, ({ name }) => auth.deleteUser(name))],
    [
      'Auth.UserChangePassword',
      change(
        wire.Credentials,
        ({ name, password }) => auth.changePassword(name, password),
        ({ password }) => checkPassword(password),
      ),
    ],
    ['Auth.UserGrantRole', change(wire.UserRoleRequest, (r) => auth.grantRole(r.user, r.role))],
    ['Auth.UserRevokeRole', change(wire.UserRoleRequest, (r) => auth.revokeRole(r.user, r.role))],
  ];
}

function roleRpcs(backend: Backend): Entry[] {
  const { auth } = backend;
  const call = define(backend);
  const change = changes(backend);
  return [
    ['Auth.RoleAdd', change(wire.Named, ({ name }) => auth.addRole(name))],
    [
      'Auth.RoleGet',
      call(wire.Named, wire.RoleGetResponse, ({ name }, caller) => {
        caller.propose();
        if (!auth.hasRole(caller.user, name)) caller.requireAdmin();
        return { permissions: auth.permissionsOf(name) };
      }),
    ],
    ['Auth.RoleList', list(backend, () => auth.roles())],
    ['Auth.RoleDelete', change(wire.Named, ({ name }) => auth.deleteRole(name))],
    [
      'Auth.RoleGrantPermission',
      change(wire.RoleGrantPermissionRequest, (r) => auth.grantPermission(r.role, r.permission)),
    ],
    [
      'Auth.RoleRevokePermission',
      change(wire.RoleRevokePermissionRequest, (r) =>
        auth.revokePermission(r.role, r.key, r.rangeEnd),
      ),
    ],
  ];
}

function list(backend: Backend, names: () => readonly string[]): UnaryRpc {
  return define(backend)(Empty, wire.NamesResponse, (_, caller) => {
    admit(caller);
    return { names: names() };
  });
}

type Change = <Request extends object>(
  request: Codec<Request>,
  run: (request: Request) => void,
  check?: (request: Request) => void,
) => UnaryRpc;

/** Calls that change something; what they `check` comes before the question who calls. */
function changes(backend: Backend): Change {
  return (codec, run, check) =>
    define(backend)(codec, HeaderOnly, (request, caller) => {
      check?.(request);
      admit(caller);
      run(request);
      return {};
    });
}

function admit(caller: Caller): void {
  caller.propose();
  caller.requireAdmin();
}
