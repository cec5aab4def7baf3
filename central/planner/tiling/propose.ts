import type { Placement, Plan, Split } from '../../../shared/plan/plan.ts';
import { composePlan, type StageDraft } from '../compose.ts';
import { rank } from '../query/rank.ts';
import type { NoPlan, Problem } from '../strategy.ts';
import type { Way } from './search.ts';
import { isDivided, type Stages, type Step } from './stages.ts';

/** How many ways are predicted together. */
const TOGETHER = 3;

/**
 * The plans of the first ways that fit the network and meet the problem's demands, as the cost model predicts them, the
 * best first; as many as are asked for.
 */
export function plansOf(
  problem: Problem,
  strategy: string,
  stages: Stages,
  ways: readonly Pick<Way, 'steps'>[],
): readonly Plan[] | NoPlan {
  const { top = 1 } = problem.constraints;
  const step = Math.max(TOGETHER, top);
  let refusal: NoPlan | undefined;
  for (let at = 0; at < ways.length; at += step) {
    const proposed = ways.slice(at, at + step).map(({ steps }) => planOf(problem, strategy, stages, steps));
    const { ranked, refusals } = rank(problem, [{ strategy, proposed, compared: proposed.length }]);
    if (ranked.length > 0) return ranked.slice(0, top).map(({ plan }) => plan);
    for (const { reason, hint } of refusals)
      refusal ??= { kind: 'impossible', reason, ...(hint === undefined ? {} : { hint }) };
  }
  return refusal ?? untiled(problem);
}

/** The answer that no stage of the network can be divided among the nodes. */
function untiled({ tiler }: Pick<Problem, 'tiler'>): NoPlan {
  return { kind: 'impossible', reason: `it cannot be cut into tiles: ${tiler.obstacle()}` };
}

/** The steps with whole stages that follow one another on one machine joined. */
function joined(steps: readonly Step[]): readonly Step[] {
  const all: Step[] = [];
  for (const step of steps) {
    const before = all.at(-1);
    const isWhole = before !== undefined && !isDivided(before.form) && !isDivided(step.form);
    if (isWhole && before.form.machines[0] === step.form.machines[0])
      all[all.length - 1] = { ...step, from: before.from };
    else all.push(step);
  }
  return all;
}

function planOf(problem: Problem, strategy: string, stages: Stages, steps: readonly Step[]): Plan {
  const words: string[] = [];
  const drafts = joined(steps).map(({ from, to, form }): StageDraft => {
    const { division, machines } = form;
    const ids = machines.map(({ node }) => node.id);
    const nodes = [...new Set(ids)];
    const on: Placement = { mode: 'share', nodes, ...(isDivided(form) ? { parts: ids } : {}) };
    const end = to === stages.count - 1 ? 'the end' : stages.places.places[to]!.tensors.join(', ');
    words.push(`${inWords(division)} up to ${end} on ${nodes.join(', ')}`);
    return { ...stages.boundary(from, to), split: division, on, fallback: 'central', codec: {} };
  });
  return composePlan(problem, strategy, words.join('; '), drafts);
}

function inWords(split: Split): string {
  if (split.kind === 'whole') return 'whole';
  if (split.kind === 'channels') return `${split.sizes.length} slices of channels`;
  return `${split.rows}x${split.cols} tiles`;
}
