import type { Plan } from '../../shared/plan/plan.ts';
import type { PlanRanking } from '../../shared/protocol/messages/central.ts';
import type { Prediction } from './cost/prediction.ts';

/** Plans of a ranking, beside the active one. */
const RANKED = 8;

/** A plan, and what it was predicted to cost. */
export interface Candidate {
  readonly plan: Plan;
  readonly prediction: Prediction;
}

type Ranked = PlanRanking['plans'][number];

/** The best plan of each strategy and the active one, the best first; `costOf`: what they are compared by, ms. */
export function rankingOf(
  candidates: readonly Candidate[],
  active: string,
  costOf: (prediction: Prediction) => number,
): PlanRanking['plans'] {
  const sorted = candidates
    .map((candidate) => ({ ...candidate, cost: costOf(candidate.prediction) }))
    .sort((a, b) => a.cost - b.cost);
  const first = new Map(sorted.toReversed().map(({ plan }) => [plan.strategy, plan.id]));
  const best = sorted.filter(({ plan }) => first.get(plan.strategy) === plan.id || plan.id === active);
  const shown = best.filter(({ plan }, k) => k < RANKED || plan.id === active);
  return shown.map(({ plan, prediction, cost }) => ({
    plan: plan.id,
    strategy: plan.strategy,
    reason: plan.reason,
    cost_ms: rounded(cost),
    latency_ms: rounded(prediction.latency_ms),
    bytes: Math.round(prediction.transferred_bytes),
    stages: prediction.stages.map(({ id, parts }) => ({
      id,
      compute_ms: rounded(slowest(parts.map((part) => ({ node: part.node, ms: part.end_ms - part.start_ms })))),
    })),
  }));
}

/** The time of the node that computes longest, ms; a node computes its parts one after the other. */
export function slowest(parts: readonly { readonly node: string; readonly ms: number }[]): number {
  const sums = new Map<string, number>();
  for (const { node, ms } of parts) sums.set(node, (sums.get(node) ?? 0) + ms);
  return Math.max(0, ...sums.values());
}

/** Why the best plan is better than the next one; undefined where it is alone. */
export function whyBest([best, next]: PlanRanking['plans']): string | undefined {
  if (best === undefined || next === undefined) return undefined;
  const differences = [
    difference(computing(best) - computing(next), 'ms', 'computing'),
    difference((best.bytes - next.bytes) / 1000, 'kB', 'between machines'),
  ];
  const gain = rounded(next.cost_ms - best.cost_ms);
  return `${gain === 0 ? 'as fast as' : `${gain} ms less than`} ${next.strategy}: ${differences.join(', ')}`;
}

const computing = ({ stages }: Ranked): number => stages.reduce((sum, { compute_ms }) => sum + compute_ms, 0);

function difference(value: number, unit: string, what: string): string {
  const size = rounded(Math.abs(value));
  return size === 0 ? `as much ${what}` : `${size} ${unit} ${value < 0 ? 'less' : 'more'} ${what}`;
}

const rounded = (value: number): number => Math.round(value * 10) / 10;
