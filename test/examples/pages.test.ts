import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { built } from '../support/built.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();

/** What a page shows first runs as it stands: in so many processes at once. */
const pages: Readonly<Record<string, number>> = {
  'read-write-lock': 1,
  semaphore: 1,
  'multi-lock': 1,
  gate: 1,
  latch: 1,
  'cyclic-barrier': 3,
  'double-barrier': 3,
  counter: 1,
  sequence: 1,
  value: 1,
  schedule: 2,
  mirror: 2,
  balancing: 2,
  group: 2,
  partitioner: 2,
  queue: 1,
  discovery: 2,
  tenants: 1,
};

it.each(Object.entries(pages))('the example of %s runs', async (page, processes) => {
  const text = await readFile(`docs/${page}.md`, 'utf8');
  const [, code = ''] = /^```ts\n(.*?)^```/ms.exec(text) ?? [];
  expect(code).toContain("'127.0.0.1:2379'");
  // Beside our sources, so that it finds what they find.
  const dir = await mkdtemp(join('test', 'examples', '.page-'));
  try {
    const program = join(dir, 'page.ts');
    const source = code
      .replace("from 'etcd-recipes'", `from '${built('src/index.ts')}'`)
      .replace('127.0.0.1:2379', etcd.endpoint);
    await writeFile(program, source);
    const run = (): Promise<unknown> =>
      promisify(execFile)(process.execPath, ['--import', 'tsx', program]);
    await Promise.all(Array.from({ length: processes }, run));
  } finally {
    await rm(dir, { recursive: true });
  }
});
