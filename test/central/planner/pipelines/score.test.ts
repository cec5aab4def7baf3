import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hopsOf } from '../../../../central/planner/cost/hop.ts';
import { isExact, scoreOf } from '../../../../central/planner/pipelines/score.ts';
import { chainsOf, crossingBytes, runTable } from '../../../../central/planner/pipelines/tables.ts';
import { objectiveValue } from '../../../../central/planner/query/check.ts';
import { allPipelines, problemOfSample, problems } from './samples.ts';

/** The search leaves out what scores badly: a score above the prediction would lose the best pipeline. */
test.each(['latency', 'transfer', 'throughput'] as const)(
  'the score of every pipeline is its predicted %s; where messages may wait for one another, at most that',
  (objective) => {
    let [exact, bounds] = [0, 0];
    fc.assert(
      fc.property(problems, (sample) => {
        const problem = problemOfSample(sample, { objective });
        const { graph, nodes, source, sink } = problem;
        const bytes = crossingBytes(graph);
        const tables = new Map(nodes.map((node) => [node, runTable(graph, node)]));
        const chains = chainsOf(nodes, tables, hopsOf(problem), source, sink);
        const score = scoreOf(objective, bytes);
        for (const { stages, prediction } of allPipelines(problem)) {
          const ids = stages.map(([id]) => id).join();
          const chain = chains.find((other) => other.nodes.map(({ id }) => id).join() === ids)!;
          const [first, second] = [stages[0]![2] - 1, (stages[1] ?? stages[0]!)[2] - 1];
          const value = objectiveValue(prediction, objective);
          const scored = score(chain, first, second);
          if (isExact(bytes, objective, chain, first, second)) {
            expect(scored).toBeCloseTo(value, 6);
            exact++;
          } else {
            expect(scored).toBeLessThanOrEqual(value + 1e-6);
            bounds++;
          }
        }
      }),
      { numRuns: 40 },
    );
    expect(exact).toBeGreaterThan(0);
    expect(bounds).toBeGreaterThan(0);
  },
);
