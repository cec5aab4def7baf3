import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { predict } from '../../../../central/planner/cost/predict.ts';
import { sketch } from '../../../../central/planner/cost/sketch.ts';
import { problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import { objectiveValue } from '../../../../central/planner/query/check.ts';
import type { Demands } from '../../../../central/planner/query/demands.ts';
import { exhaustive } from '../../../../central/planner/strategies/exhaustive.ts';
import { isNoPlan, type Problem } from '../../../../central/planner/strategy.ts';
import type { Plan } from '../../../../shared/plan/plan.ts';
import { allPipelines, problemOfSample, problems } from '../pipelines/samples.ts';
import { bareProfile, MEASURED, measuredFile, measuredProfile, whyNoProfiles } from '../profile/profiles.ts';

/** The best five pipelines of a network, and how many there are, as Scission's own program gives them. */
type Golden = Record<string, Record<string, { readonly pipelines: number; readonly top5: readonly object[] }>>;

function plansOf(problem: Problem): readonly Plan[] {
  const plans = exhaustive.propose(problem);
  if (isNoPlan(plans)) throw new Error(plans.reason);
  return plans;
}

const inBlocks = ({ stages }: Plan, problem: Problem) =>
  stages.map(({ inputs, outputs, on }) => {
    const index = (tensor: string): number => problem.graph.blocks.findIndex(({ name }) => name === tensor);
    return { node: 'nodes' in on ? on.nodes[0] : '', blocks: [index(inputs[0]!) + 1, index(outputs[0]!)] };
  });

describe("Scission's measurements", () => {
  const why = whyNoProfiles();
  test.for(MEASURED)('%s over %s: its best five pipelines, and their number', ([network, link], { skip }) => {
    skip(why !== undefined, why);
    const golden = (measuredFile('scission-golden.json') as Golden)[network]![link]!;
    const problem = problemOfProfile(measuredProfile(network, link), undefined, { top: 5 });
    expect(exhaustive.compared!(problem)).toBe(golden.pipelines);
    const found = plansOf(problem).map((plan) => {
      const { latency_ms, transferred_bytes } = predict(problem, sketch(plan, problem.graph));
      return { latency_ms: Number(latency_ms.toFixed(3)), transferred_bytes, stages: inBlocks(plan, problem) };
    });
    expect(found).toEqual(golden.top5);
  });
});

const demands: fc.Arbitrary<Demands> = fc.record(
  {
    objective: fc.constantFrom('latency', 'throughput', 'transfer', 'energy'),
    use: fc.constantFrom(['edge'], ['cloud'], ['n1']),
    avoid: fc.constantFrom(['device'], ['n1']),
    pins: fc.constantFrom([{ block: 0, on: 'device' }], [{ block: 1, on: 'edge' }]),
    max_upload: fc.constantFrom([{ of: 'device', bytes: 3000 }]),
    max_time: fc.constantFrom([{ of: 'device', ms: 30 }], [{ of: 'cloud', share: 0.5 }]),
    max_memory: fc.constantFrom([{ of: 'edge', bytes: 6000 }]),
    deadline_ms: fc.constantFrom(60, 100),
  },
  { requiredKeys: [] },
);

test('the best pipelines under any demands are those of trying all, on networks with skips and at a broker too', () => {
  fc.assert(
    fc.property(problems, demands, fc.constantFrom(4, 1000), (sample, demanded, top) => {
      const problem = problemOfSample(sample, { ...demanded, top });
      const all = allPipelines(problem);
      const plans = exhaustive.propose(problem);
      const found = isNoPlan(plans) ? [] : plans.map((plan) => predict(problem, sketch(plan, problem.graph)));
      const values = found.map((prediction) => objectiveValue(prediction, demanded.objective));
      expect(values).toEqual(
        all.slice(0, top).map(({ prediction }) => expect.closeTo(objectiveValue(prediction, demanded.objective), 6)),
      );
    }),
    { numRuns: 150 },
  );
});

test('without limits every pipeline is counted', () => {
  fc.assert(
    fc.property(problems, (sample) => {
      const problem = problemOfSample(sample, {});
      expect(exhaustive.compared!(problem)).toBe(allPipelines(problem).length);
    }),
    { numRuns: 50 },
  );
});

test('pipelines that no demand allows are refused with a reason', () => {
  const problem = problemOfProfile(bareProfile(), undefined, { use: ['vm'], avoid: ['cloud'] });
  expect(exhaustive.propose(problem)).toMatchObject({ kind: 'impossible', reason: expect.stringContaining('demands') });
});
