import { createPrivateKey, X509Certificate } from 'node:crypto';
import { ArgumentError } from '../core/store/errors.js';
import type { EtcdTlsFiles } from '../embed/index.js';
import { pem } from './connection-options.js';

/** What the command line says about TLS. */
export interface ServeTlsFlags {
  readonly cert?: string;
  readonly key?: string;
  readonly cacert?: string;
  readonly clientCertAuth?: boolean;
}

/**
 * The files for TLS, or `undefined` if none is asked for. What is in them is looked at too, because Node takes an
 * authority that is no certificate, and a key of another kind than that of the certificate, and then serves nobody.
 *
 * @throws ArgumentError naming the first option that is not usable.
 */
export function tlsFiles(flags: ServeTlsFlags): EtcdTlsFiles | undefined {
  const { cert, key, cacert, clientCertAuth } = flags;
  if (cert === undefined || key === undefined) {
    const given = Object.entries({ '--cert': cert, '--key': key, '--cacert': cacert })
      .concat([['--client-cert-auth', clientCertAuth ? '' : undefined]])
      .flatMap(([name, value]) => (value === undefined ? [] : [name]));
    if (given.length === 0) return undefined;
    throw new ArgumentError('TLS', 'given both --cert and --key', given.join(' '));
  }
  checkKey(key, certificate('--cert', cert));
  if (cacert !== undefined) certificate('--cacert', cacert);
  return {
    cert,
    key,
    ...(cacert !== undefined && { ca: cacert }),
    clientCertAuth: !!clientCertAuth,
  };
}

function certificate(option: string, file: string): X509Certificate {
  const text = pem(option, file)?.toString('latin1') ?? '';
  try {
    // It would take DER too, but a server does not.
    return new X509Certificate(text.slice(text.indexOf('-----BEGIN')));
  } catch {
    throw new ArgumentError(option, 'a file with a certificate in PEM form', file);
  }
}

function checkKey(file: string, cert: X509Certificate): void {
  const key = pem('--key', file) ?? '';
  try {
    if (cert.checkPrivateKey(createPrivateKey(key))) return;
  } catch {
    // Said below.
  }
  throw new ArgumentError('--key', 'a file with the private key of --cert in PEM form', file);
}
