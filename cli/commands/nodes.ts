import { counted } from '../../shared/counted.ts';
import type { NodeRecord } from '../../shared/protocol/node-registry.ts';
import { defineCommand } from '../command.ts';
import { connectionOptions, connectionSettings } from '../options.ts';
import { type Column, table } from '../output.ts';
import { newestPlans, planState, refusalOf } from '../plan-state.ts';

/** A figure in few characters, also one that a faulty node made up. */
const number = (value: number | undefined, digits = 0): string => {
  if (value === undefined) return '-';
  return Math.abs(value) < 1e7 ? value.toFixed(digits) : value.toExponential(1);
};

/** A node, and why central gives it no work, where it does not. */
type Row = NodeRecord & { readonly leftOut: string | undefined; readonly isDrained: boolean };

const columns: readonly Column<Row>[] = [
  { title: 'node', cell: ({ id }) => id },
  {
    title: 'status',
    cell: ({ online, heartbeat, leftOut, isDrained }) => {
      if (!online) return 'offline';
      if (heartbeat === undefined) return 'silent';
      if (leftOut !== undefined) return 'left out';
      return isDrained ? 'drained' : 'online';
    },
  },
  { title: 'version', cell: ({ info }) => info?.version ?? '-' },
  { title: 'tier', cell: ({ info }) => info?.tier ?? '-' },
  {
    title: 'hardware',
    cell: ({ info }) => (info === undefined ? '-' : `${info.hardware} (${counted(info.cores, 'core')})`),
  },
  { title: 'cpu %', align: 'right', cell: ({ heartbeat }) => number(heartbeat?.cpu_percent) },
  { title: 'memory %', align: 'right', cell: ({ heartbeat }) => number(heartbeat?.memory_percent) },
  { title: 'agent MB', align: 'right', cell: ({ heartbeat }) => number(heartbeat?.rss_mb) },
  { title: 'C', align: 'right', cell: ({ heartbeat }) => number(heartbeat?.temp_c ?? undefined) },
  { title: 'queue', align: 'right', cell: ({ heartbeat }) => number(heartbeat?.queue) },
  { title: 'tiles/s', align: 'right', cell: ({ heartbeat }) => number(heartbeat?.tiles_per_s, 1) },
  {
    title: 'models',
    cell: ({ info, heartbeat }) => {
      const plans = newestPlans(heartbeat);
      // Models whose pieces the node has, without a plan to prepare.
      const others =
        info?.models.map(({ name }) => name).filter((name) => plans.every(({ model }) => model !== name)) ?? [];
      return [...plans.map(planState), ...new Set(others)].join(', ') || '-';
    },
  },
];

/** `tessera nodes`: the nodes as they announce themselves. */
export const command = defineCommand({
  description:
    'Shows every node that the broker knows: status, machine, load, and progress with ' +
    'the models that central asked it to prepare: ready, waiting, loading, refused, or the megabytes downloaded so far. ' +
    '`silent` means online without heartbeats, `drained` that somebody drained it, `left out` that it answered wrongly and gets no ' +
    'work until it is restarted or readmitted. Takes about a second.',
  options: connectionOptions,
  examples: [
    ['nodes', 'the nodes at the broker on this machine'],
    ['nodes --broker mqtt://192.168.1.10 --json', 'an object for each node, for programs'],
    ['nodes forget pi-3', 'removes a node that will not come back'],
  ],
  async run({ options, json, out, signal, config: loadConfig }) {
    const { config } = await loadConfig(await connectionSettings(options));
    const [{ connectCommand, openLog }, { topics }, { readFleet }] = await Promise.all([
      import('../connect.ts'),
      import('../../shared/protocol/topics.ts'),
      import('../read-fleet.ts'),
    ]);
    const bus = await connectCommand(config, 'nodes', await openLog(config, 'nodes'));
    const { nodes, leftOut, drained, central, hidden } = await readFleet(bus, topics(config.mqtt.base_topic), {
      heartbeats: true,
      signal,
    }).finally(() => bus.stop());
    if (hidden.has('nodes')) throw hidden.get('nodes');
    if (json) {
      for (const { id, online, info, heartbeat, heardAt } of nodes)
        out.json({
          id,
          online,
          left_out: leftOut.get(id) ?? null,
          drained: drained.has(id),
          info: info ?? null,
          heartbeat: heartbeat ?? null,
          heard_at: heardAt === undefined ? null : heardAt / 1000,
        });
      return 0;
    }
    const rows = nodes.map((node) => ({ ...node, leftOut: leftOut.get(node.id), isDrained: drained.has(node.id) }));
    if (rows.length === 0) out.note('no nodes; `tessera agent` starts one');
    else for (const line of table(columns, rows)) out.line(line);
    for (const { id, leftOut: reason } of rows)
      if (reason !== undefined)
        out.note(`${id} is left out: ${reason}; \`tessera node readmit ${id}\` gives it work again`);
    for (const { id, heartbeat } of rows)
      for (const plan of newestPlans(heartbeat)) if (plan.state === 'refused') out.note(`${id} ${refusalOf(plan)}`);
    if (!central)
      out.note('no central is online, so frames are not processed; `tessera central` or `tessera up` starts one');
    return 0;
  },
});
