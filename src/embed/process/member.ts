import { setTimeout as delay } from 'node:timers/promises';
import { ClosedError } from '../../core/store/errors.js';
import { EtcdStartError } from '../errors.js';
import { autoCertificate } from './auto-tls.js';
import { type EtcdExit, EtcdProcess } from './etcd-process.js';
import { EtcdGateway, type GatewayTls } from './gateway.js';
import type { Guard } from './guard.js';
import type { MemberLayout } from './layout.js';
import { LogTail } from './log-tail.js';
import type { EtcdOptions } from './options.js';

const START_TIMEOUT = 30_000;
const PROBE_INTERVAL = 25;
const SHORTEST_PROBE = 250;
const LONGEST_PROBE = 4000;

/** What a member is made of. */
export interface MemberSpec {
  readonly path: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly layout: MemberLayout;
  readonly options: EtcdOptions;
  readonly guard: Guard;
}

/** One member of a cluster: a real etcd process that can be made to fail. */
export class EtcdMember {
  /** Its name in the cluster. */
  readonly name: string;
  /** The URL clients use, such as `http://127.0.0.1:12345`; the same for every run. */
  readonly endpoint: string;
  /** The URL other members use; the same for every run. */
  readonly peerUrl: string;
  /** Where its data is; the same for every run. */
  readonly dataDir: string;
  /** A PEM file with what a client must trust, such as for `etcdctl --cacert`; `undefined` without TLS. */
  readonly caFile: string | undefined;
  /** etcd's JSON API at this member, for what needs no client, such as to compact, defragment or add a member. */
  readonly gateway: EtcdGateway;
  readonly #spec: MemberSpec;
  readonly #log: LogTail = new LogTail();
  #process: EtcdProcess | undefined;
  #starting: Promise<void> | undefined;
  #paused = false;

  /** @internal */
  constructor(spec: MemberSpec) {
    const { layout, options } = spec;
    this.#spec = spec;
    this.name = layout.name;
    this.endpoint = layout.advertiseClientUrls[0] as string;
    this.peerUrl = layout.advertisePeerUrls[0] as string;
    this.dataDir = layout.dataDir;
    const tls = clientTls(options, layout.dataDir);
    this.caFile = tls?.ca;
    const dial = (layout.listenClientUrls[0] as string).replace(
      /\/\/(0\.0\.0\.0|\[::\])/,
      '//127.0.0.1',
    );
    this.gateway = new EtcdGateway(dial, tls, options.auth?.password);
  }

  /** `paused` after `pause()`, `stopped` when no process runs, whatever ended it. */
  get state(): 'running' | 'paused' | 'stopped' {
    if (this.#process === undefined || this.#process.ended) {
      return 'stopped';
    }
    return this.#paused ? 'paused' : 'running';
  }

  /** The id of its process, `undefined` while it is stopped. */
  get pid(): number | undefined {
    return this.state === 'stopped' ? undefined : this.#process?.pid;
  }

  /** Resolves when the present process (of a stopped member, the last one) has ended, expected or not. Never rejects. */
  get exited(): Promise<EtcdExit> {
    if (this.#process === undefined) {
      throw new ClosedError(`etcd member "${this.name}"`);
    }
    return this.#process.exited;
  }

  /** The end of what it has logged in all its runs, up to 256 KiB. */
  log(): string {
    return this.#log.text();
  }

  /**
   * Starts it if it does not run, with the ports and data it had, and waits until it answers a linearizable read.
   * @throws EtcdStartError when it does not get that far; then it is stopped
   * @throws ClosedError after the cluster was stopped
   */
  start(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#starting ??= this.#start(options.signal).finally(() => {
      this.#starting = undefined;
    });
    return this.#starting;
  }

  /** Stops it if it runs, and starts it. @throws what `start()` throws */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Ends it in order: it gives up leadership, syncs and exits, or is killed after 5 s. */
  async stop(): Promise<void> {
    await this.#process?.end('SIGTERM');
  }

  /** Ends it at once (SIGKILL), as a crash would. */
  async kill(): Promise<void> {
    await this.#process?.end('SIGKILL');
  }

  /** Freezes it (SIGSTOP): its connections stay open and nothing answers. @throws ClosedError when it is stopped */
  pause(): void {
    this.#run().signal('SIGSTOP');
    this.#paused = true;
  }

  /** Lets a paused one go on (SIGCONT). @throws ClosedError when it is stopped */
  resume(): void {
    this.#run().signal('SIGCONT');
    this.#paused = false;
  }

  #run(): EtcdProcess {
    if (this.#process === undefined || this.#process.ended) {
      throw new ClosedError(`etcd member "${this.name}"`);
    }
    return this.#process;
  }

  async #start(signal: AbortSignal | undefined): Promise<void> {
    const { path, args, env, guard } = this.#spec;
    signal?.throwIfAborted();
    if (guard.sealed) {
      throw new ClosedError('etcd cluster');
    }
    if (this.state !== 'stopped') {
      return;
    }
    this.#paused = false;
    const run = EtcdProcess.spawn(path, args, env, guard, this.#log);
    this.#process = run;
    try {
      await this.#untilReady(run, signal);
    } catch (error) {
      await run.end('SIGKILL');
      throw error;
    }
  }

  async #untilReady(run: EtcdProcess, signal: AbortSignal | undefined): Promise<void> {
    const timeout = this.#spec.options.startTimeout ?? START_TIMEOUT;
    const deadline = performance.now() + timeout;
    let answer: unknown;
    // A read that etcd took in before it had a leader may never be answered, unlike the next one.
    let patience = SHORTEST_PROBE;
    while (!run.ended) {
      signal?.throwIfAborted();
      if (performance.now() >= deadline) {
        const message = `etcd "${this.name}" was not ready within ${timeout} ms (${String(answer)})`;
        throw new EtcdStartError(message, this.log(), { cause: answer });
      }
      try {
        const probe = this.gateway.probe(patience, signal).then(() => 'ready');
        if ((await Promise.race([probe, run.exited])) === 'ready') {
          return;
        }
      } catch (error) {
        answer = error;
        patience = Math.min(2 * patience, LONGEST_PROBE);
        await Promise.race([delay(PROBE_INTERVAL), run.exited]);
      }
    }
    const { code, signal: killer } = await run.exited;
    const how = killer === null ? `exited with code ${code}` : `was ended by ${killer}`;
    throw new EtcdStartError(`etcd "${this.name}" ${how} before it was ready`, this.log());
  }
}

function clientTls({ tls }: EtcdOptions, dataDir: string): GatewayTls | undefined {
  if (tls === undefined) {
    return undefined;
  }
  if (tls === 'auto') {
    return { ca: autoCertificate(dataDir) };
  }
  const ca = tls.ca ?? tls.cert;
  return tls.clientCertAuth === true ? { ca, cert: tls.cert, key: tls.key } : { ca };
}
