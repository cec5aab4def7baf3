import fc from 'fast-check';
import { composePlan } from '../../../../central/planner/compose.ts';
import { predict } from '../../../../central/planner/cost/predict.ts';
import type { Prediction } from '../../../../central/planner/cost/prediction.ts';
import { sketch } from '../../../../central/planner/cost/sketch.ts';
import { boundaryOf } from '../../../../central/planner/cost/stage-layers.ts';
import { parseProfile } from '../../../../central/planner/profile/parse.ts';
import { problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import { checksOf, objectiveValue } from '../../../../central/planner/query/check.ts';
import type { Demands } from '../../../../central/planner/query/demands.ts';
import type { Problem } from '../../../../central/planner/strategy.ts';
import { TIERS } from '../../../../shared/plan/plan.ts';

/**
 * A small network with skips: every layer reads the one before it and some earlier ones; at times an early output, or a
 * late reader of the frame. Blocks are single layers.
 */
const network = fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 5000 }), skip: fc.nat(12) }), {
  minLength: 2,
  maxLength: 6,
});
const node = (tier: string, count: number, blocks: number) =>
  fc.array(
    fc.record({
      tier: fc.constant(tier),
      block_ms: fc.array(fc.integer({ min: 0, max: 40 }), { minLength: blocks, maxLength: blocks }),
      message_ms: fc.constantFrom(0, 2),
      power_w: fc.constant({ idle: 1, busy: 5 }),
      runMs: fc.integer({ min: 1, max: 30 }),
    }),
    { minLength: tier === 'device' ? 1 : 0, maxLength: count },
  );

/** Problems with a device, up to two edge machines and two in the cloud. */
export const problems = network.chain((layers) =>
  fc.record({
    layers: fc.constant(layers),
    nodes: fc
      .tuple(node('device', 1, layers.length), node('edge', 2, layers.length), node('cloud', 2, layers.length))
      .map((tiers) => tiers.flat()),
    links: fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 50 })), {
      minLength: 36,
      maxLength: 36,
    }),
    isBrokered: fc.boolean(),
    isSunk: fc.boolean(),
    ratio: fc.constantFrom(1, 0.8),
  }),
);
/** What a problem is made of. */
export type Sample = typeof problems extends fc.Arbitrary<infer T> ? T : never;

/** The problem of a sample. */
export function problemOfSample(
  { layers, nodes, links, isBrokered, isSunk, ratio }: Sample,
  demands: Demands,
): Problem {
  const name = (index: number): string => (index < 0 ? 'frame' : `t${index}`);
  const reads = layers.map(({ skip }, index) => {
    // Few layers read the frame again.
    const other = skip === 12 ? -1 : skip % (index + 1);
    return [...new Set([name(index - 1), name(other > index - 1 ? index - 1 : other)])];
  });
  const ids = nodes.map((_, index) => `n${index}`);
  const ends = isBrokered ? [...ids, 'central'] : ids;
  const all = ends.flatMap((from, a) =>
    ends.flatMap((to, b) => {
      const [rtt_ms, mbps] = links[(6 * a + b) % links.length]!;
      return a === b || (isBrokered && from !== 'central' && to !== 'central') ? [] : [{ from, to, rtt_ms, mbps }];
    }),
  );
  const live = (index: number): string[] =>
    index === layers.length - 1
      ? [name(index)]
      : [-1, ...layers.keys()]
          .filter((t) => t <= index && reads.some((read, r) => r > index && read.includes(name(t))))
          .map(name);
  const profile = parseProfile({
    format: 'tessera-profile/1',
    model: 'random',
    sha256: '1'.repeat(64),
    input_bytes: 2000,
    source: 'n0',
    ...(isSunk ? { sink: ids.at(-1) } : {}),
    ...(isBrokered ? { broker: 'central' } : {}),
    blocks: layers.map(({ bytes }, index) => ({
      name: name(index),
      output_bytes: bytes,
      cut: live(index),
      layers: [index, index],
    })),
    layers: layers.map(({ bytes }, index) => {
      return { name: name(index), op: 'Conv', macs: 10, inputs: reads[index], outputs: [{ name: name(index), bytes }] };
    }),
    nodes: nodes.map(({ runMs, ...rest }, index) => {
      return { id: ids[index], ...rest, runs: [{ blocks: [0, layers.length - 1], ms: runMs }] };
    }),
    links: all,
    correction: { ratio, error: 0.1 },
  });
  return problemOfProfile(profile, undefined, demands);
}

/** A pipeline: its machines with their first block and the one behind their last; and what the cost model says. */
export interface Pipeline {
  readonly stages: readonly (readonly [id: string, from: number, to: number])[];
  readonly prediction: Prediction;
}

/** Every pipeline that links allow and that meets the demands, predicted; the best first. */
export function allPipelines(problem: Problem): Pipeline[] {
  const { graph, nodes, constraints } = problem;
  const blocks = graph.blocks.length;
  const found: Pipeline[] = [];
  const checks = checksOf(problem);
  const value = ({ prediction }: Pipeline): number => objectiveValue(prediction, constraints.objective);
  const add = (stages: Pipeline['stages']): void => {
    const drafts = stages.map(([id, from, to]) => ({
      ...boundaryOf(
        graph,
        Array.from({ length: to - from }, (_, index) => from + index),
      ),
      split: { kind: 'whole' } as const,
      on: { mode: 'share', nodes: [id] } as const,
      fallback: 'central' as const,
      codec: {},
    }));
    const plan = composePlan(problem, 'test', 'test', drafts);
    const prediction = predict(problem, sketch(plan, graph));
    const pipeline = { stages, prediction };
    if (checks.every((check) => check.isMet(plan, prediction)) && Number.isFinite(value(pipeline)))
      found.push(pipeline);
  };
  const go = (stages: Pipeline['stages'], next: number, tier: number): void => {
    if (next === blocks) add(stages);
    for (const { id, tier: own } of nodes)
      if (TIERS.indexOf(own) >= tier)
        for (let to = next + 1; to <= blocks; to++) go([...stages, [id, next, to]], to, TIERS.indexOf(own) + 1);
  };
  go([], 0, 0);
  return found.sort((a, b) => value(a) - value(b) || a.prediction.latency_ms - b.prediction.latency_ms);
}
