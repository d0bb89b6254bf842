import { readFile } from 'node:fs/promises';
import { Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { collect } from '../../src/prometheus/index.js';

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
  }[];
  readonly templating: { readonly list: readonly { readonly definition?: string }[] };
}

const file = new URL('../../docs/grafana-dashboard.json', import.meta.url);
const { panels, templating } = JSON.parse(await readFile(file, 'utf8')) as Dashboard;
const targets = panels.flatMap(({ targets: each = [] }) => each);

/** The labels of every series that `collect` gives, by its name. */
async function collected(): Promise<Map<string, readonly string[]>> {
  const register = new Registry();
  collect({ register });
  const series = new Map<string, readonly string[]>();
  for (const [, name = '', type] of (await register.metrics()).matchAll(/^# TYPE (\S+) (\S+)/gm)) {
    const { labelNames } = register.getSingleMetric(name) as unknown as { labelNames: string[] };
    if (type === 'histogram') {
      series.set(`${name}_bucket`, [...labelNames, 'le']);
      for (const end of ['sum', 'count']) series.set(`${name}_${end}`, labelNames);
    } else series.set(name, labelNames);
  }
  return series;
}

it('queries only what is collected, by labels that it has', async () => {
  const series = await collected();
  for (const { expr, legendFormat } of targets) {
    const [name = ''] = /etcd_recipes_\w+/.exec(expr) ?? [];
    expect([...series.keys()]).toContain(name);
    const [, by = ''] = /by \(([^)]*)\)/.exec(expr) ?? [];
    const [, conditions = ''] = /\{([^}]*)\}/.exec(expr) ?? [];
    const used = [
      ...by.split(/, */).filter((label) => label !== ''),
      ...[...conditions.matchAll(/(\w+)[=!]/g)].map(([, label]) => label),
    ];
    expect(['job', 'instance', ...(series.get(name) ?? [])]).toEqual(expect.arrayContaining(used));
    const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label);
    expect(used).toEqual(expect.arrayContaining(shown));
  }
});

it('shows all that is collected', async () => {
  const shown = targets.map(({ expr }) => expr).join('\n');
  const metrics = [...(await collected()).keys()].filter((name) => !/_(sum|count)$/.test(name));
  expect(metrics.length).toBeGreaterThan(10);
  for (const name of metrics) expect(shown).toContain(name);
});

it('offers the processes that there are to choose from', async () => {
  const series = await collected();
  const definitions = templating.list.flatMap(({ definition = [] }) => definition);
  expect(definitions.length).toBe(2);
  for (const definition of definitions) {
    expect([...series.keys()]).toContain(/etcd_recipes_\w+/.exec(definition)?.[0]);
  }
});

it('has a row for each part', () => {
  const rows = panels.filter(({ targets: each }) => !each).map(({ title }) => title);
  expect(rows).toEqual([
    'RPCs',
    'Endpoints',
    'Sessions',
    'Locks',
    'Watches',
    'Queues',
    'Services, groups and shards',
  ]);
});
