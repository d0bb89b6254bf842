import { readFile } from 'node:fs/promises';
import { request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import { EtcdGatewayError } from '../errors.js';

const CALL_TIMEOUT = 5000;
const NOT_AUTHENTICATED = /user name is empty|invalid auth token/;
const SMALLEST_KEY = Buffer.from([0]).toString('base64');

/** The files for talking to a member over TLS; read for each call, for etcd may still have to make them. */
export interface GatewayTls {
  /** What to trust. */
  readonly ca: string;
  /** What to present, if anything. */
  readonly cert?: string;
  /** The private key of `cert`. */
  readonly key?: string;
}

/** The JSON form of etcd's API at one member: enough to steer it without a gRPC client. */
export class EtcdGateway {
  readonly #base: string;
  readonly #tls: GatewayTls | undefined;
  readonly #password: string | undefined;
  #token: string | undefined;

  constructor(base: string, tls: GatewayTls | undefined, password: string | undefined) {
    this.#base = base;
    this.#tls = tls;
    this.#password = password;
  }

  /**
   * Resolves when the member is healthy and answers a linearizable read within `timeout` milliseconds.
   * @throws Error when it does not
   */
  async probe(timeout: number, signal?: AbortSignal): Promise<void> {
    // A member that only ran out of its quota still serves what a client needs to repair that.
    await this.#send('GET', '/health?exclude=NOSPACE', undefined, timeout, signal);
    const read = { key: SMALLEST_KEY, keys_only: true };
    await this.#send('POST', '/v3/kv/range', read, timeout, signal).catch((error: unknown) => {
      // etcd asks who we are only after it has made sure that it may answer.
      if (!needsToken(error)) {
        throw error;
      }
    });
  }

  /**
   * Calls one method within 5 s, as `root` when authentication is on and the password is known.
   *
   * @param path such as `/v3/maintenance/defragment`
   * @param body the request; bytes are base64 and 64-bit numbers strings
   * @throws EtcdGatewayError when etcd refuses
   */
  async call<T = unknown>(path: string, body: object): Promise<T> {
    try {
      return await this.#send<T>('POST', path, body);
    } catch (error) {
      if (!needsToken(error) || this.#password === undefined) {
        throw error;
      }
      await this.authenticate(this.#password);
      return this.#send<T>('POST', path, body);
    }
  }

  /** Logs in as `root` for the calls that follow. @throws EtcdGatewayError when etcd refuses */
  async authenticate(password: string): Promise<void> {
    this.#token = undefined;
    const credentials = { name: 'root', password };
    const answer = await this.#send<{ token: string }>(
      'POST',
      '/v3/auth/authenticate',
      credentials,
    );
    this.#token = answer.token;
  }

  async #send<T>(
    method: string,
    path: string,
    body: object | undefined,
    timeout: number = CALL_TIMEOUT,
    signal?: AbortSignal,
  ): Promise<T> {
    const expiry = AbortSignal.timeout(timeout);
    const options: RequestOptions = {
      method,
      agent: false,
      signal: signal === undefined ? expiry : AbortSignal.any([expiry, signal]),
      headers: this.#token === undefined ? {} : { authorization: this.#token },
      ...(await this.#credentials()),
    };
    const answer = await exchange(new URL(path, this.#base), options, body).catch(
      (cause: unknown) => {
        signal?.throwIfAborted();
        throw expiry.aborted ? new Error(`${path}: no answer in ${timeout} ms`) : cause;
      },
    );
    if (answer.status !== 200) {
      throw new EtcdGatewayError(path, answer.text);
    }
    return JSON.parse(answer.text) as T;
  }

  async #credentials(): Promise<Record<string, Buffer>> {
    const files = Object.entries(this.#tls ?? {}) as [string, string][];
    return Object.fromEntries(
      await Promise.all(files.map(async ([name, file]) => [name, await readFile(file)] as const)),
    );
  }
}

function needsToken(error: unknown): boolean {
  return error instanceof EtcdGatewayError && NOT_AUTHENTICATED.test(error.message);
}

async function exchange(
  url: URL,
  options: RequestOptions,
  body: object | undefined,
): Promise<{ status: number | undefined; text: string }> {
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = send(url, options, (response) => {
      text(response).then(
        (answer) => resolve({ status: response.statusCode, text: answer }),
        reject,
      );
    });
    request.once('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
