import type { Change } from '../../central/planner/query/changes.ts';
import type { Objective } from '../../central/planner/query/demands.ts';
import { blocksOfStage, inBlocks } from '../../central/planner/query/in-blocks.ts';
import type { Ranked, Ranking } from '../../central/planner/query/rank.ts';
import type { Problem } from '../../central/planner/strategy.ts';
import { type Column, table } from '../output.ts';

/** Milliseconds for people: three digits, whole ones from 100. */
export function msText(ms: number): string {
  return `${ms >= 100 ? Math.round(ms) : Number(ms.toPrecision(3))} ms`;
}

/** Bytes for people. */
export function bytesText(bytes: number): string {
  if (bytes < 999.5) return `${Math.round(bytes)} bytes`;
  const [value, unit] = bytes < 999_500 ? [bytes / 1e3, 'kB'] : [bytes / 1e6, 'MB'];
  return `${Number(value.toPrecision(3))} ${unit}`;
}

/** `blocks 0-18 on edge-1, 19-21 on cloud`. */
export function stagesText(problem: Problem, ranked: Ranked): string {
  return inBlocks(problem, ranked)
    .stages.map(({ node, blocks: [first, last], parts }) => {
      const what = first === last ? `${first}` : `${first}-${last}`;
      return `${what} on ${node}${parts === undefined ? '' : ` in ${parts} parts`}`;
    })
    .join(', ');
}

const OBJECTIVE_COLUMNS: Readonly<Record<Objective, Column<Ranked>[]>> = {
  latency: [],
  transfer: [],
  throughput: [column('frames/s', ({ prediction }) => (1000 / prediction.period_ms).toPrecision(3))],
  energy: [
    column('energy', ({ prediction }) => {
      const joules = prediction.machines.reduce((sum, { energy_j }) => sum + (energy_j ?? 0), 0);
      return `${Number(joules.toPrecision(3))} J`;
    }),
  ],
  misses: [column('late', ({ prediction }) => `${(100 * (prediction.late_share ?? 0)).toFixed(1)} %`)],
};

function column(title: string, cell: (row: Ranked) => string): Column<Ranked> {
  return { title, align: 'right', cell };
}

/** The ranked plans as a table, the best first. */
export function rankedLines(problem: Problem, ranked: readonly Ranked[]): string[] {
  const { objective = 'latency' } = problem.constraints;
  const isCertain = ranked.every(({ prediction }) => prediction.error === 0 || prediction.error === null);
  const columns: Column<Ranked>[] = [
    column('', (row) => `${ranked.indexOf(row) + 1}`),
    column('latency', ({ prediction }) => msText(prediction.latency_ms)),
    ...(isCertain
      ? []
      : [
          column('+-', ({ prediction }) =>
            prediction.error === null ? '?' : `${(100 * prediction.error).toFixed(0)} %`,
          ),
        ]),
    ...OBJECTIVE_COLUMNS[objective],
    column('sent', ({ prediction }) => bytesText(prediction.transferred_bytes)),
    { title: 'strategy', cell: ({ plan }) => plan.strategy },
    { title: 'blocks', cell: (row) => stagesText(problem, row) },
  ];
  return table(columns, ranked);
}

/** What each stage and hop of a plan costs. */
export function costLines(problem: Problem, { plan, prediction }: Ranked): string[] {
  const lines: { at: number; text: string }[] = [];
  const together = new Map<string, (typeof prediction.hops)[number][]>();
  for (const hop of prediction.hops) {
    const name = `${hop.from} ${hop.to} ${hop.start_ms} ${hop.end_ms}`;
    together.set(name, [...(together.get(name) ?? []), hop]);
  }
  for (const hops of together.values()) {
    const { from, to, start_ms, end_ms } = hops[0]!;
    const bytes = hops.reduce((sum, hop) => sum + hop.bytes, 0);
    lines.push({
      at: start_ms,
      text: `${msText(end_ms - start_ms)}  ${from} sends ${bytesText(bytes)} to ${to}: ${hops.map(({ tensor }) => tensor).join(', ')}`,
    });
  }
  for (const stage of plan.stages) {
    const [first, last] = blocksOfStage(problem.graph, stage);
    const what = first === last ? `block ${first}` : `blocks ${first} to ${last}`;
    for (const { node, t_id, start_ms, end_ms } of prediction.stages[stage.id]!.parts) {
      const part = prediction.stages[stage.id]!.parts.length > 1 ? `part ${t_id} of ` : '';
      lines.push({ at: start_ms, text: `${msText(end_ms - start_ms)}  ${node} computes ${part}${what}` });
    }
  }
  return lines.sort((a, b) => a.at - b.at).map(({ text }) => `  ${text}`);
}

const BAR = 56;

/** When each machine computes and each transfer takes place, as bars. */
export function timelineLines({ prediction }: Ranked): string[] {
  const { latency_ms, stages, hops } = prediction;
  if (latency_ms <= 0) return [];
  const rows = new Map<string, [start: number, end: number, sign: string][]>();
  const add = (name: string, start: number, end: number, sign: string): void => {
    rows.set(name, [...(rows.get(name) ?? []), [start, end, sign]]);
  };
  for (const { from, to, start_ms, end_ms } of hops) add(`${from} > ${to}`, start_ms, end_ms, '-');
  for (const { parts } of stages) for (const { node, start_ms, end_ms } of parts) add(node, start_ms, end_ms, '#');
  const sorted = [...rows].sort(([, a], [, b]) => a[0]![0] - b[0]![0]);
  const width = Math.max(...sorted.map(([name]) => name.length));
  const place = (ms: number): number => Math.round((BAR * ms) / latency_ms);
  return sorted.map(([name, bars]) => {
    const cells = new Array<string>(BAR).fill(' ');
    for (const [start, end, sign] of bars) {
      const from = Math.min(place(start), BAR - 1);
      cells.fill(sign, from, Math.max(from + 1, Math.min(BAR, place(end))));
    }
    return `  ${name.padEnd(width)} |${cells.join('')}|`;
  });
}

/** What would change the answer. */
export function changeLines(problem: Problem, changes: readonly Change[]): string[] {
  return changes.map(({ kind, name, from, to, winner }) => {
    const digits = (value: number): number => Number(value.toPrecision(2));
    const when =
      kind === 'link'
        ? `with ${digits(to)} Mbps instead of ${digits(from)} on the link ${name}`
        : `with ${name} ${to > 1 ? `${digits(to)} times as fast` : `at ${digits(100 * to)} % of its speed`}`;
    return `  ${when}: ${stagesText(problem, winner)}`;
  });
}

/** Everything that `tessera plan` says to people about a ranking. */
export function reportLines(
  problem: Problem,
  { ranked, compared }: Ranking,
  top: number,
  changes: readonly Change[],
): string[] {
  const best = ranked[0]!;
  const whys = [`compared: ${compared} ${compared === 1 ? 'plan' : 'plans'}`, ''];
  const others = changeLines(problem, changes);
  return [
    ...rankedLines(problem, ranked.slice(0, top)),
    ...whys,
    `the best: ${best.plan.reason}`,
    ...costLines(problem, best),
    `  = ${msText(best.prediction.latency_ms)} for a frame, and a frame every ${msText(best.prediction.period_ms)}`,
    '',
    'one frame:',
    ...timelineLines(best),
    '',
    ...(others.length === 0
      ? ['no link or node, 16 times as fast or as slow, would make another plan the best']
      : ['another plan would be the best', ...others]),
  ];
}
