import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { isClaim, isRecord, Records } from './checkers/records.js';
import type { ChaosCluster } from './cluster.js';
import type { Change, Recorder } from './history.js';

interface WireKv {
  readonly key: string;
  readonly value?: string;
  readonly create_revision: string;
  readonly mod_revision: string;
  readonly version: string;
  readonly lease?: string;
}

interface WireReply {
  readonly result?: {
    readonly header: { readonly revision: string };
    readonly canceled?: boolean;
    readonly compact_revision?: string;
    readonly events?: readonly { readonly type?: string; readonly kv: WireKv }[];
  };
}

/** Keys whose values say something; tickets in lines are of no interest. */
const SPEAKING =
  /^(data|list|mark|counter)\/|\/(limit|terms)\/|\/round$|\/assignment$|^queue\/[^/]+\/dead\//;
/** Keys of which there are many, and nobody asks what becomes of them, unless they tell of jobs that nothing else tells of. */
const TRANSIENT = /^queue\/[^/]+\/(ready|aliases)[/!](?!consumers\/)/;
/** What begins keys that say that a job was done; only that they are put is of interest. */
const DONE = 'done/';
const SILENCE = 1_500;
const text = (base64 = ''): string => Buffer.from(base64, 'base64').toString();

/**
 * All that ever happens in etcd, taken down by a client that is none of ours: etcd's own JSON, one member after the
 * other, always from where the last one left off.
 */
export class FullLog {
  /** Everything up to here has been taken down. */
  revision = 1;
  /** Whether etcd has forgotten what should have come next: then it is no full log. */
  torn = false;
  /** How many jobs were done. */
  done = 0;
  readonly #cluster: ChaosCluster;
  readonly #recorder: Recorder;
  readonly #records = new Records();
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(cluster: ChaosCluster, recorder: Recorder) {
    this.#cluster = cluster;
    this.#recorder = recorder;
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    for (let turn = 0; !this.#stop.signal.aborted && !this.torn; turn += 1) {
      const { controls } = this.#cluster;
      await this.#follow(controls[turn % controls.length] as string);
      await sleep(20);
    }
  }

  /** Follows one member until it breaks off, or says nothing for a while. */
  #follow(control: string): Promise<void> {
    return new Promise((resolve) => {
      const call = request(`${control}/v3/watch`, { method: 'POST', agent: false });
      const end = (): void => {
        clearTimeout(silence);
        this.#stop.signal.removeEventListener('abort', end);
        call.destroy();
        resolve();
      };
      let silence = setTimeout(end, SILENCE);
      let rest = '';
      this.#stop.signal.addEventListener('abort', end);
      call.on('error', end);
      call.on('response', (response) => {
        response.setEncoding('utf8');
        response.on('error', end).on('close', end);
        response.on('data', (chunk: string) => {
          clearTimeout(silence);
          silence = setTimeout(end, SILENCE);
          const lines = (rest + chunk).split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) if (line !== '') this.#take(JSON.parse(line) as WireReply);
        });
      });
      const everything = Buffer.from([0]).toString('base64');
      const start_revision = String(this.revision + 1);
      const create_request = { key: everything, range_end: everything, start_revision };
      call.end(JSON.stringify({ create_request: { ...create_request, progress_notify: true } }));
    });
  }

  #take({ result }: WireReply): void {
    if (!result) return;
    if (Number(result.compact_revision ?? 0) > 0) this.torn = true;
    const changes = (result.events ?? []).flatMap(({ type, kv }): Change[] => {
      const key = text(kv.key);
      const rev = Number(kv.mod_revision);
      const isTold = isRecord(key);
      const isOther = TRANSIENT.test(key) && !isTold && !isClaim(key);
      if (rev <= this.revision || isOther) return [];
      if (key.startsWith(DONE)) {
        if (type === 'DELETE') return [];
        this.done += 1;
      }
      if (type === 'DELETE') return [[rev, 'delete', key, '', 0, 0, '0']];
      const value = isTold || SPEAKING.test(key) ? text(kv.value) : '';
      const { version, create_revision: create, lease = '0' } = kv;
      return [[rev, 'put', key, value, Number(version), Number(create), lease]];
    });
    for (const { how } of this.#records.see(changes, () => {}).values()) {
      if (how === 'done') this.done += 1;
    }
    if (changes.length > 0) this.#recorder.write({ f: 'log', e: 'info', changes });
    this.revision = Math.max(this.revision, Number(result.events?.at(-1)?.kv.mod_revision ?? 0));
  }
}
