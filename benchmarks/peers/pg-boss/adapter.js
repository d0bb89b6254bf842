import { setTimeout as sleep } from 'node:timers/promises';
import PgBoss from 'pg-boss';

/** Milliseconds: the shortest interval at which `work` of pg-boss looks for jobs. */
const polling = 500;

/**
 * pg-boss by `fetch` and `complete`: its `work` pauses between two fetches even while there are jobs, for at least as
 * long as is paused here when there are none.
 */
export async function open(endpoint) {
  const boss = new PgBoss({ connectionString: endpoint, max: 16 });
  boss.on('error', (error) => console.error(error));
  await boss.start();
  const db = boss.getDb();
  await db.executeSql('create table if not exists bench_write (value text)');
  return {
    async queue(name) {
      await boss.createQueue(name);
      return {
        put: (value) => boss.send(name, { value }),
        putMany: (values) => boss.insert(values.map((value) => ({ name, data: { value } }))),
        consume: (handler, { concurrency }) => consume(boss, name, handler, concurrency),
      };
    },
    write: (value) => db.executeSql('insert into bench_write values ($1)', [value]),
    close: () => boss.stop({ graceful: false, wait: true }),
  };
}

/** As many jobs are fetched, handled and completed together as are to be worked on at once. */
function consume(boss, name, handler, batchSize) {
  const closing = new AbortController();
  const { signal } = closing;
  const loop = async () => {
    while (!signal.aborted) {
      const jobs = await boss.fetch(name, { batchSize });
      await Promise.all(jobs.map(({ data }) => handler(data.value)));
      if (jobs.length > 0)
        await boss.complete(
          name,
          jobs.map(({ id }) => id),
        );
      else await sleep(polling, undefined, { signal }).catch(() => {});
    }
  };
  const ended = loop();
  return {
    close() {
      closing.abort();
      return ended;
    },
  };
}
