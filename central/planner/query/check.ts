import type { Plan } from '../../../shared/plan/plan.ts';
import type { PredictedMachine, Prediction } from '../cost/prediction.ts';
import { layersBetween } from '../cost/stage-layers.ts';
import type { PlanningNode, Problem } from '../strategy.ts';
import type { Demands, Objective } from './demands.ts';

/** Whether a machine is what a demand names: a node, or one of a tier. */
export function isOf(nodes: readonly Pick<PlanningNode, 'id' | 'tier'>[], named: string, id: string): boolean {
  return id === named || nodes.some((node) => node.id === id && node.tier === named);
}

/** A demand, as it is checked of a plan with its prediction. */
export interface Check {
  /** As the command line writes it. */
  readonly text: string;
  /** The field of the demands, and the index in it. */
  readonly field: keyof Demands | 'agreement';
  readonly index: number;
  isMet(plan: Plan, prediction: Prediction): boolean;
}

/** Tolerance for sums that are added in another order. */
const ROUNDING = 1 + 1e-9;

/** Everything that a problem demands of its plans. */
export function checksOf({ constraints, nodes, graph }: Problem): Check[] {
  const { use = [], avoid = [], pins = [], max_upload = [], max_time = [], max_memory = [], deadline_ms } = constraints;
  const computing = ({ stages }: Prediction): Set<string> =>
    new Set(stages.flatMap(({ parts }) => parts.map(({ node }) => node)));
  const machines = ({ machines: all }: Prediction, of: string): readonly PredictedMachine[] =>
    all.filter(({ id }) => isOf(nodes, of, id));
  const uses = (prediction: Prediction, named: string): boolean =>
    [...computing(prediction)].some((id) => isOf(nodes, named, id));
  const computed = ({ stages }: Prediction, isCounted: (id: string) => boolean): number =>
    stages
      .flatMap(({ parts }) => parts)
      .reduce((sum, { node, start_ms, end_ms }) => (isCounted(node) ? sum + end_ms - start_ms : sum), 0);
  const isBlockAt = (plan: Plan, prediction: Prediction, block: number, on: string): boolean => {
    const { first, last } = graph.blocks[block]!;
    return plan.stages.every(({ id, inputs, outputs }) => {
      const isIn = layersBetween(graph, inputs, outputs).some((layer) => layer >= first && layer <= last);
      return !isIn || prediction.stages[id]!.parts.every(({ node }) => isOf(nodes, on, node));
    });
  };
  return [
    ...use.map(
      (named, index): Check => ({
        text: `--use ${named}`,
        field: 'use',
        index,
        isMet: (_, prediction) => uses(prediction, named),
      }),
    ),
    ...avoid.map(
      (named, index): Check => ({
        text: `--avoid ${named}`,
        field: 'avoid',
        index,
        isMet: (_, prediction) => !uses(prediction, named),
      }),
    ),
    ...pins.map(
      ({ block, on }, index): Check => ({
        text: `--pin ${block}=${on}`,
        field: 'pins',
        index,
        isMet: (plan, prediction) => isBlockAt(plan, prediction, block, on),
      }),
    ),
    ...max_upload.map(
      ({ of, bytes }, index): Check => ({
        text: `--max-upload ${of}=${bytes / 1e6}`,
        field: 'max_upload',
        index,
        isMet: (_, prediction) =>
          machines(prediction, of).reduce((sum, { upload_bytes }) => sum + upload_bytes, 0) <= bytes * ROUNDING,
      }),
    ),
    ...max_time.map((limit, index): Check => {
      const { of } = limit;
      return {
        text: `--max-time ${of}=${'ms' in limit ? limit.ms : `${100 * limit.share}%`}`,
        field: 'max_time',
        index,
        isMet: (_, prediction) => {
          const own = computed(prediction, (id) => isOf(nodes, of, id));
          const most = 'ms' in limit ? limit.ms : limit.share * computed(prediction, () => true);
          return own <= most * ROUNDING;
        },
      };
    }),
    ...max_memory.map(
      ({ of, bytes }, index): Check => ({
        text: `--max-memory ${of}=${bytes / 1e6}`,
        field: 'max_memory',
        index,
        isMet: (_, prediction) =>
          machines(prediction, of).every(({ memory_bytes }) => memory_bytes <= bytes * ROUNDING),
      }),
    ),
    ...(deadline_ms === undefined || constraints.objective === 'misses'
      ? []
      : [
          {
            text: `--deadline ${deadline_ms}`,
            field: 'deadline_ms',
            index: 0,
            isMet: (_, { latency_ms }) => latency_ms <= deadline_ms * ROUNDING,
          } satisfies Check,
        ]),
    ...(constraints.agreement === undefined
      ? []
      : [
          {
            text: `--min-agreement ${100 * constraints.agreement}%`,
            field: 'agreement',
            index: 0,
            isMet: (_, { agreement }) => agreement !== null && agreement * ROUNDING >= constraints.agreement!,
          } satisfies Check,
        ]),
  ];
}

/** The machine that has less memory than a plan needs there, in words; undefined where none is known to have too little. */
export function lackOfMemory({ nodes }: Problem, { machines }: Prediction): string | undefined {
  for (const { id, memory_bytes } of machines) {
    const memory = nodes.find((node) => node.id === id)?.memory_mb ?? null;
    if (memory !== null && memory_bytes > 1e6 * memory)
      return `${id} has ${memory} MB of memory, and its plan needs ${Number((memory_bytes / 1e6).toPrecision(3))} MB there`;
  }
  return undefined;
}

/** What a plan has of an objective: less is better. Infinite where it is not known. */
export function objectiveValue(prediction: Prediction, objective: Objective = 'latency'): number {
  switch (objective) {
    case 'latency':
      return prediction.latency_ms;
    case 'throughput':
      return prediction.period_ms;
    case 'transfer':
      return prediction.transferred_bytes;
    case 'energy':
      return prediction.machines.reduce((sum, { energy_j }) => sum + (energy_j ?? Number.POSITIVE_INFINITY), 0);
    case 'misses':
      return prediction.late_share ?? Number.POSITIVE_INFINITY;
  }
}
