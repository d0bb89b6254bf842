import { EtcdGatewayError, EtcdStartError } from '../errors.js';
import type { EtcdGateway } from './gateway.js';

/**
 * Makes sure that authentication is on and that `root` has this password.
 * @throws EtcdStartError when it was on already, with another password
 */
export async function enableAuth(gateway: EtcdGateway, password: string): Promise<void> {
  const refusal = await refused(gateway.authenticate(password));
  if (refusal === undefined) {
    return;
  }
  if (!refusal.message.includes('authentication is not enabled')) {
    const message = `auth.password is not the one kept in the data: ${refusal.message}`;
    throw new EtcdStartError(message, '', { cause: refusal });
  }
  // A start that was interrupted may have left the user and the role, but not this password.
  if (
    (await refused(gateway.call('/v3/auth/user/add', { name: 'root', password }))) !== undefined
  ) {
    await gateway.call('/v3/auth/user/changepw', { name: 'root', password });
  }
  await refused(gateway.call('/v3/auth/role/add', { name: 'root' }));
  await gateway.call('/v3/auth/user/grant', { user: 'root', role: 'root' });
  await gateway.call('/v3/auth/enable', {});
}

async function refused(call: Promise<unknown>): Promise<EtcdGatewayError | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    if (error instanceof EtcdGatewayError) {
      return error;
    }
    throw error;
  }
}
