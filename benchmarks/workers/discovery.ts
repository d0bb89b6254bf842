import { setTimeout as delay } from 'node:timers/promises';
import { folderOf } from '../../src/core/store/keys.js';
import { Etcd3Store, type Operation, Service, Session } from '../../src/index.js';

/** What to measure. */
export interface DiscoveryTask {
  readonly endpoint: string;
  readonly instances: number;
  /** How many directories of all of them there are. */
  readonly directories: number;
  /** Length of the measured window. */
  readonly seconds: number;
}

/** What was found. */
export interface DiscoveryReport {
  /** Watches at etcd. */
  readonly watches: number;
  /** Microseconds from a put until its answer, and until all directories have given a list that shows it. */
  readonly puts: readonly number[];
  readonly views: readonly number[];
}

const perSecond = 100;
const atATime = 100;
const idOf = (i: number): string => `instance-${String(i).padStart(7, '0')}`;

/** Has many directories of one service, and changes its instances at an even pace. */
export async function discovery({
  endpoint,
  instances: count,
  directories: views,
  seconds,
}: DiscoveryTask): Promise<DiscoveryReport> {
  const [writer, store] = [0, 1].map(() => new Etcd3Store({ endpoints: [endpoint] })) as [
    Etcd3Store,
    Etcd3Store,
  ];
  const name = 'web';
  const put = (i: number, port: number): Operation => {
    const value = { address: `10.0.${i >> 8}.${i & 255}:${port}`, zone: 'eu-1', tags: ['blue'] };
    return { put: { key: `${folderOf('service', name)}${idOf(i)}`, value: JSON.stringify(value) } };
  };
  const all = Array.from({ length: count }, (_, i) => put(i, 80));
  for (let i = 0; i < count; i += atATime) {
    await writer.commit({ success: all.slice(i, i + atATime) });
  }
  const session = await Session.open(store);
  const service = new Service(session, name);
  const directories = Array.from({ length: views }, () => service.directory());
  await Promise.all(directories.map((directory) => directory.ready()));
  const report = { sent: new Map<string, number>(), puts: [] as number[], views: [] as number[] };
  const shown = new Map<string, number>();
  for (const directory of directories) {
    directory.on('changed', ({ id, address }) => {
      const list = directory.instances();
      if (list.length !== count || list[Number(id.slice(-7))]?.address !== address) {
        throw new Error(`${id} is not shown`);
      }
      const times = (shown.get(id) ?? 0) + 1;
      shown.set(id, times);
      if (times < views) return;
      report.views.push((performance.now() - (report.sent.get(id) ?? 0)) * 1_000);
    });
  }
  const warmUp = perSecond;
  const total = warmUp + Math.ceil(perSecond * seconds);
  const from = performance.now();
  const change = async (i: number): Promise<void> => {
    const nth = (i * 7_919) % count;
    shown.delete(idOf(nth));
    const at = performance.now();
    report.sent.set(idOf(nth), at);
    await writer.commit({ success: [put(nth, 8_080 + i)] });
    report.puts.push((performance.now() - at) * 1_000);
  };
  const pending: Promise<void>[] = [];
  for (let i = 0; i < total; i += 1) {
    await delay(Math.max(0, from + (i * 1_000) / perSecond - performance.now()));
    pending.push(change(i));
  }
  await Promise.all(pending);
  while (report.views.length < total) await delay(10);
  const metrics = await (await fetch(`${endpoint}/metrics`)).text();
  const watches = Number(/^etcd_debugging_mvcc_watcher_total (\S+)$/m.exec(metrics)?.[1]);
  await session.close(0);
  for (const each of [writer, store]) each.close();
  return { watches, puts: report.puts.slice(warmUp), views: report.views.slice(warmUp) };
}
