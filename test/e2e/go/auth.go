package main

import (
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// authChecks need a server of their own: they switch authentication on.
func authChecks() []check {
	return []check{
		{"users may do what their roles permit", permissions},
		{"who lost a token logs in again", logInAgain},
	}
}

// users makes root, and a user whose role may use what begins with the prefix of the check, and gives their clients.
func (t *test) users() (root, user *clientv3.Client) {
	must(t.UserAdd(t.ctx, "root", "secret"))
	must(t.RoleAdd(t.ctx, "root"))
	must(t.UserGrantRole(t.ctx, "root", "root"))
	must(t.UserAdd(t.ctx, "user", "word"))
	must(t.RoleAdd(t.ctx, "role"))
	end := clientv3.GetPrefixRangeEnd(t.prefix)
	must(t.RoleGrantPermission(t.ctx, "role", t.prefix, end, clientv3.PermissionType(clientv3.PermReadWrite)))
	must(t.UserGrantRole(t.ctx, "user", "role"))
	must(t.AuthEnable(t.ctx))
	root = t.clientOf("root", "secret")
	t.after(func() {
		must(root.AuthDisable(t.ctx))
		for _, name := range []string{"root", "user"} {
			must(t.UserDelete(t.ctx, name))
		}
		for _, name := range []string{"root", "role"} {
			must(t.RoleDelete(t.ctx, name))
		}
	})
	return root, t.clientOf("user", "word")
}

func (t *test) clientOf(user, password string) *clientv3.Client {
	client := must(clientv3.New(configOf(t.endpoint, user, password)))
	t.after(func() { client.Close() })
	return client
}

func permissions(t *test) {
	root, user := t.users()
	equal("status", must(root.AuthStatus(t.ctx)).Enabled, true)
	must(user.Put(t.ctx, t.key("a"), "1"))
	equal("prefix", len(must(user.Get(t.ctx, t.prefix, clientv3.WithPrefix())).Kvs), 1)
	equal("roles", must(user.UserGet(t.ctx, "user")).Roles, []string{"role"})
	_, err := user.Get(t.ctx, "", clientv3.WithPrefix())
	refused("everything", err, rpctypes.ErrPermissionDenied)
	_, err = user.Put(t.ctx, "other", "1")
	refused("another key", err, rpctypes.ErrPermissionDenied)
	_, err = user.Txn(t.ctx).If(clientv3.Compare(clientv3.Version("other"), "=", 0)).Commit()
	refused("a condition", err, rpctypes.ErrPermissionDenied)
	_, err = user.UserList(t.ctx)
	refused("a list of users", err, rpctypes.ErrPermissionDenied)
	response := receive(t, "the end", user.Watch(t.ctx, "other"))
	equal("cancelled", response.Canceled, true)
	equal("error", response.Err().Error(), rpctypes.ErrGRPCPermissionDenied.Error())
	_, err = t.Get(t.ctx, t.key("a"))
	refused("nobody", err, rpctypes.ErrUserEmpty)
	_, err = clientv3.New(configOf(t.endpoint, "user", "guess"))
	refused("a guess", err, rpctypes.ErrAuthFailed)
}

func logInAgain(t *test) {
	root, user := t.users()
	lease := must(user.Grant(t.ctx, 60))
	must(user.Put(t.ctx, t.key("a"), "1", clientv3.WithLease(lease.ID)))
	must(root.UserChangePassword(t.ctx, "user", "word"))
	must(user.Put(t.ctx, t.key("a"), "2"))
	must(user.KeepAliveOnce(t.ctx, lease.ID))
}
