import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** Makes a self-signed certificate for 127.0.0.1 that serves both sides of a connection. */
export function makeCertificate(dir: string): { cert: string; key: string } {
  const files = { cert: join(dir, 'cert.pem'), key: join(dir, 'key.pem') };
  const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1';
  const args = [
    ...`${request} -subj /CN=embed-test -out ${files.cert} -keyout ${files.key}`.split(' '),
    '-addext',
    'subjectAltName=IP:127.0.0.1,DNS:localhost',
    '-addext',
    'extendedKeyUsage=serverAuth,clientAuth',
  ];
  execFileSync('openssl', args, { stdio: 'ignore' });
  return files;
}
