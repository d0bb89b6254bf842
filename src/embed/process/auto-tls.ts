import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const CERTIFICATE = 'cert.pem';
const KEY = 'key.pem';
const LOOK_INTERVAL = 10;

/** The certificate that etcd makes for its clients with `--auto-tls`. */
export function autoCertificate(dataDir: string): string {
  return join(directory(dataDir), CERTIFICATE);
}

/**
 * Gives the certificate made by one member to others that have not started yet. Were each to make its own, all would
 * have the same name, and OpenSSL, which looks authorities up by name, would trust only one of them.
 */
export async function shareAutoCertificate(
  from: string,
  to: readonly string[],
  stillComing: () => boolean,
): Promise<void> {
  // The key is written last.
  while (!(await isComplete(join(directory(from), KEY)))) {
    if (!stillComing()) {
      return;
    }
    await delay(LOOK_INTERVAL);
  }
  for (const target of to.map(directory)) {
    await mkdir(target, { recursive: true, mode: 0o700 });
    await copyFile(join(directory(from), CERTIFICATE), join(target, CERTIFICATE));
    await copyFile(join(directory(from), KEY), join(target, KEY));
  }
}

function directory(dataDir: string): string {
  return join(dataDir, 'fixtures', 'client');
}

async function isComplete(file: string): Promise<boolean> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return /-----END [A-Z ]*PRIVATE KEY-----\s*$/.test(text);
}
