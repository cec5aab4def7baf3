import type { PlanningGraph } from '../../central/planner/graph.ts';
import type { FleetNode } from '../../central/planner/profile/assemble.ts';
import { echoedLink } from '../../central/planner/profile/link-times.ts';
import { type BlockRange, planOfRun, runsToMeasure } from '../../central/planner/profile/runs.ts';
import { sampledTime } from '../../central/planner/profile/samples.ts';
import { TesseraError } from '../../shared/errors.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import { codecsMeasured, linkMeasured, stageMeasured, tunedAnswer } from '../../shared/protocol/messages/requests.ts';
import type { z } from '../../shared/schema.ts';
import type { Step } from '../progress.ts';
import { type KeptMeasurements, nodeKey } from './kept-measurements.ts';

/** What measuring a fleet needs. */
export interface MeasureFleetOptions {
  readonly nodes: readonly FleetNode[];
  readonly graph: PlanningGraph;
  /** SHA-256 of the skeleton. */
  readonly model: string;
  readonly repeats: number;
  /** One of several nodes of equal hardware is measured for all of them. */
  readonly shareEqual: boolean;
  /** Each node agent first searches its fastest settings for the model. */
  readonly tune: boolean;
  /** Nodes that are not measured. */
  readonly predict: readonly string[];
  readonly kept: KeptMeasurements;
  /** Sends a request to central. */
  readonly ask: <T>(command: string, body: Readonly<Record<string, unknown>>, answer: z.ZodType<T>) => Promise<T>;
  readonly progress: (step: Step) => void;
  readonly note: (text: string) => void;
}

/** Runs before the ones that count: sessions allocate, caches fill, clocks rise. */
const WARM_UP = 2;
/** After this time a run is not repeated more than three times, ms. */
const BUDGET_MS = 2000;
/** Echoes of each size. */
const ECHOES = 10;
/** After so many failures one after another a node is left alone. */
const MOST_FAILURES = 3;

type Task =
  | { readonly node: string; readonly blocks: BlockRange }
  | { readonly node: string; readonly tune: true }
  | { readonly node: string; readonly codecs: true }
  | { readonly from: string; readonly to: string };

/**
 * Measures every node, one after another, and then every link; what is kept already is not measured again. A node that
 * fails is named and left out, and the rest goes on. Returns the nodes that have the times of another one of equal
 * hardware, and which. Throws what `ask` throws, but for failures of a node or link.
 */
export async function measureFleet(options: MeasureFleetOptions): Promise<ReadonlyMap<string, string>> {
  const { nodes, graph, kept, shareEqual, predict, progress, note } = options;
  kept.forgetChanged(nodes);
  const failed = new Set<string>();
  const runs = runsToMeasure(graph.blocks.length);
  const tuningOf = (node: string): Task[] => {
    if (!options.tune || node === CENTRAL || kept.isTuned(node)) return [];
    // Times with other settings do not count.
    kept.forget(node);
    return [{ node, tune: true }];
  };
  const tasksOf = (node: string | undefined): Task[] => {
    if (node === undefined) return [];
    return [...tuningOf(node), ...missing(kept, node, runs).map((blocks) => ({ node, blocks }))];
  };
  const groups = groupsOf(nodes, predict, shareEqual);
  const measuredOf = (group: readonly string[]): string | undefined => group.find((node) => !failed.has(node));
  let queue = groups.flatMap(([first, ...others]) => [...tasksOf(first), ...others.flatMap(tuningOf)]);
  queue.push(...missingCodecs(kept, nodes, predict), ...missingLinks(kept, nodes));

  let done = 0;
  let failures = 0;
  for (let task = queue.shift(); task !== undefined; task = queue.shift()) {
    const ahead = queue.length + 1;
    progress({ work: 'profile', what: wordsOf(task), done, of: done + ahead, unit: 'measurements' });
    try {
      await carryOut(options, task);
      done++;
      failures = 0;
    } catch (error) {
      if (!isOfNode(error)) throw error;
      if (!('node' in task) || (error.code === 'TESSERA_RUN_FAILED' && ++failures < MOST_FAILURES)) {
        note(`${wordsOf(task)} is not measured: ${error.message}`);
        continue;
      }
      const { node } = task;
      failures = 0;
      failed.add(node);
      note(`node ${node} is not measured any further: ${error.message}`);
      const group = groups.find((members) => members.includes(node))!;
      queue = [...tasksOf(measuredOf(group)), ...queue.filter((other) => !concerns(other, node))];
    }
  }
  const shared = groups.flatMap((group) => {
    const measured = measuredOf(group);
    return group.flatMap((node) => (measured === undefined || node === measured ? [] : [[node, measured] as const]));
  });
  return new Map(shared);
}

function concerns(task: Task, node: string): boolean {
  return 'node' in task ? task.node === node : task.from === node || task.to === node;
}

/** Whether a failure is one of a node or link, which concerns no other one. */
function isOfNode(error: unknown): error is TesseraError {
  return error instanceof TesseraError && ['TESSERA_NO_NODES', 'TESSERA_RUN_FAILED'].includes(error.code);
}

/** Nodes to measure; of each group one is enough. */
function groupsOf(nodes: readonly FleetNode[], predict: readonly string[], shareEqual: boolean): string[][] {
  const groups = new Map<string, string[]>();
  for (const node of nodes) {
    if (predict.includes(node.id)) continue;
    const key = shareEqual && node.hardware !== undefined ? nodeKey(node) : node.id;
    groups.set(key, [...(groups.get(key) ?? []), node.id]);
  }
  return [...groups.values()];
}

function missing(kept: KeptMeasurements, node: string, runs: readonly BlockRange[]): BlockRange[] {
  const known = new Set(kept.times.filter((time) => time.node === node).map(({ blocks }) => blocks.join()));
  return runs.filter((blocks) => !known.has(blocks.join()));
}

function missingCodecs({ codecs }: KeptMeasurements, nodes: readonly FleetNode[], predict: readonly string[]): Task[] {
  const isMissing = ({ id }: FleetNode): boolean => !predict.includes(id) && !codecs.some(({ node }) => node === id);
  return nodes.filter(isMissing).map(({ id }) => ({ node: id, codecs: true }));
}

function missingLinks({ links }: KeptMeasurements, nodes: readonly FleetNode[]): Task[] {
  const known = new Set(links.map(({ from, to }) => `${from} ${to}`));
  return nodes.flatMap(({ id: from }) =>
    nodes.flatMap(({ id: to }) => (from === to || known.has(`${from} ${to}`) ? [] : [{ from, to }])),
  );
}

function carryOut(options: MeasureFleetOptions, task: Task): Promise<void> {
  if ('tune' in task) return tune(options, task.node);
  if ('codecs' in task) return measureCodecs(options, task.node);
  return 'node' in task ? measureRun(options, task.node, task.blocks) : measureLink(options, task);
}

async function tune({ graph, model, repeats, kept, ask, note }: MeasureFleetOptions, node: string): Promise<void> {
  if (kept.isTuned(node)) return;
  const plan = planOfRun(graph, model, [0, graph.blocks.length - 1], node);
  const { settings, ms, usual_ms } = await ask('tune', { node, plan, repeats, budget_ms: BUDGET_MS }, tunedAnswer);
  kept.setTuned(node);
  const words = Object.entries(settings).map(([name, value]) => `${name} ${value}`);
  note(`node ${node} takes ${ms.toPrecision(3)} ms instead of ${usual_ms.toPrecision(3)} with ${words.join(', ')}`);
}

async function measureRun(options: MeasureFleetOptions, node: string, blocks: BlockRange): Promise<void> {
  const { graph, model, repeats, kept, ask } = options;
  const plan = planOfRun(graph, model, blocks, node);
  if (plan === undefined) {
    kept.addTime({ node, blocks, ms: 0, p10_ms: 0, p90_ms: 0, repeats, others: 0 });
    return;
  }
  const body = { node, plan, warmup: WARM_UP, repeats, budget_ms: BUDGET_MS };
  const { ms, others } = await ask('measure-stage', body, stageMeasured);
  kept.addTime({ node, blocks, ...sampledTime(ms), repeats: ms.length, others });
}

async function measureCodecs({ kept, ask }: MeasureFleetOptions, node: string): Promise<void> {
  kept.addCodecs({ node, ...(await ask('measure-codecs', { node }, codecsMeasured)) });
}

async function measureLink(
  { kept, ask }: MeasureFleetOptions,
  link: { readonly from: string; readonly to: string },
): Promise<void> {
  const { echoes, message_ms } = await ask('measure-link', { ...link, repeats: ECHOES }, linkMeasured);
  kept.addLink({ ...link, ...echoedLink(echoes), message_ms });
}

function wordsOf(task: Task): string {
  if (!('node' in task)) return `the link from ${task.from} to ${task.to}`;
  if ('tune' in task) return `the settings of ${task.node}`;
  if ('codecs' in task) return `the codecs of ${task.node}`;
  const [first, last] = task.blocks;
  return `${task.node}, ${first === last ? `block ${first}` : `blocks ${first} to ${last}`}`;
}
