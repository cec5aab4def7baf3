import { ROUNDING } from '../../central/planner/calibrated.ts';
import type { ServedModel } from '../../central/served-model.ts';
import type { ModelCard } from '../../shared/model/card.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import { difference } from '../../shared/tensor/compare.ts';
import { DIFFERENCE_BOUND, type DifferenceBound } from '../../shared/tiling/difference-bound.ts';
import { measureOf } from '../calibrate/tally.ts';
import type { Answer } from '../frames.ts';
import { table } from '../output.ts';
import { type Computed, computedOf } from './reference.ts';

/** What one output's differences add up to over all pictures, as shares of its range. */
interface OutputReport {
  readonly output: string;
  largest: number;
  mean: number;
}

/** What a cluster's answers are compared with: the whole network, or the form for which it was retrained. */
export interface Reference {
  readonly kind: 'whole' | 'trained';
  readonly computed: readonly Computed[];
}

/** What passes. */
export interface Limits {
  readonly maxDifference: number;
  readonly minAgreement: number;
}

/** What passes where the user does not say it: equality for the types that tiles compute in, or the agreement that results were clipped for. */
export function usualLimits(agreement: number | undefined, card: ModelCard, bound: DifferenceBound): Limits {
  const equal = 'largest' in bound ? bound.largest : DIFFERENCE_BOUND;
  if (agreement === undefined) return { maxDifference: equal, minAgreement: 1 };
  if (measureOf(card) === 'answers') return { maxDifference: Number.POSITIVE_INFINITY, minAgreement: agreement };
  return { maxDifference: Math.max(equal, 1 - agreement), minAgreement: 0 };
}

type Report = ReturnType<typeof compare>;

/** The report for a terminal. */
export function reportLines(report: Report): string[] {
  const right = { align: 'right' } as const;
  const columns = [
    { title: 'output', cell: (row: OutputReport) => row.output },
    { title: 'largest difference', cell: (row: OutputReport) => row.largest.toExponential(2), ...right },
    { title: 'mean', cell: (row: OutputReport) => row.mean.toExponential(2), ...right },
  ];
  return [
    ...table(columns, report.outputs),
    `same top prediction: ${report.agreed} of ${report.pictures}`,
    `median latency: ${report.reference} ${report.latency_ms.reference} ms, spread ${report.latency_ms.spread} ms`,
    `bytes per picture: ${report.bytes_up} out, ${report.bytes_down} back, ${report.bytes_between} between nodes`,
    report.pass ? 'equal within the limits' : 'NOT equal within the limits',
  ];
}

/** Adds up what a reference and a cluster say of the same pictures. */
export function compare(
  { kind, computed }: Reference,
  spread: readonly Answer[],
  { name, manifest }: ServedModel,
  { plan, cost }: CompiledPlan,
  limits: Limits,
) {
  const reports = new Map<string, OutputReport>();
  let agreed = 0;
  computed.forEach(({ outputs, first }, i) => {
    const other = computedOf(spread[i]!);
    if (first === other.first) agreed++;
    for (const [tensor, expected] of outputs) {
      const given = other.outputs.get(tensor);
      const found =
        given === undefined
          ? { largest: Number.POSITIVE_INFINITY, mean: Number.POSITIVE_INFINITY }
          : difference(expected, given);
      const report = reports.get(tensor) ?? { output: tensor, largest: 0, mean: 0 };
      reports.set(tensor, report);
      report.largest = Math.max(report.largest, found.largest);
      report.mean += found.mean / computed.length;
    }
  });
  const median = (list: readonly { readonly latency_ms: number }[]): number => {
    const sorted = list.map(({ latency_ms }) => latency_ms).sort((a, b) => a - b);
    return Math.round(10 * (sorted[Math.floor(list.length / 2)] ?? 0)) / 10;
  };
  const mean = (pick: (answer: Answer) => number): number =>
    Math.round(spread.reduce((sum, answer) => sum + pick(answer), 0) / spread.length);
  const rows = [...reports.values()];
  return {
    model: name,
    model_sha256: manifest.skeleton.sha,
    plan: plan.id,
    reason: plan.reason,
    macs_on_nodes: cost.macsOnNodes,
    reference: kind,
    pictures: computed.length,
    outputs: rows,
    agreed,
    latency_ms: {
      predicted: plan.predicted?.latency_ms ?? null,
      reference: median(computed),
      spread: median(spread.map(({ result }) => result)),
    },
    bytes_up: mean(({ result }) => result.bytes_up),
    bytes_down: mean(({ result }) => result.bytes_down),
    bytes_between: mean(({ result }) => result.bytes_between ?? 0),
    // Without a limit of differences, null.
    limits: {
      max_difference: Number.isFinite(limits.maxDifference) ? limits.maxDifference : null,
      min_agreement: limits.minAgreement,
    },
    pass:
      rows.length > 0 &&
      rows.every(({ largest }) => largest <= limits.maxDifference) &&
      agreed >= limits.minAgreement * computed.length - ROUNDING,
  };
}
