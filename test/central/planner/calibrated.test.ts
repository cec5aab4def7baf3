import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  asSent,
  calibratedCodecs,
  fewestBytes,
  type MeasuredCodecs,
  unbeaten,
  withCalibratedCodecs,
} from '../../../central/planner/calibrated.ts';
import { bytesOf as tensorBytes } from '../../../central/planner/graph.ts';
import { rank } from '../../../central/planner/query/rank.ts';
import { exhaustive } from '../../../central/planner/strategies/exhaustive.ts';
import { tilesFused } from '../../../central/planner/strategies/tiles-fused.ts';
import { isNoPlan, type Problem, type Strategy } from '../../../central/planner/strategy.ts';
import { parseCard } from '../../../shared/model/card.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { tinyNetwork } from '../../support/tiny-network.ts';
import { clusterOf, smallNetwork } from './tiling/clusters.ts';

/**
 * A plan that promises 99 % agreement and has 97 % is worse than none; one that has 100 % at ten times the bytes is
 * useless.
 */

const setting = fc.record({
  bytes: fc.integer({ min: 1, max: 1000 }),
  // Hundredths, so that some sums meet the bound exactly.
  agreement: fc.integer({ min: 90, max: 100 }).map((hundredths) => hundredths / 100),
});
const cuts = fc.array(fc.array(setting, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 });
const bounds = fc.integer({ min: 85, max: 100 }).map((hundredths) => hundredths / 100);

const bytesOf = (chosen: readonly MeasuredCodecs[]) => chosen.reduce((sum, { bytes }) => sum + bytes, 0);
/** In hundredths, where sums are exact. */
const lossOf = (chosen: readonly MeasuredCodecs[]) =>
  chosen.reduce((sum, { agreement }) => sum + 100 - Math.round(100 * agreement), 0);

function everyChoice(lists: readonly (readonly MeasuredCodecs[])[]): MeasuredCodecs[][] {
  return lists.reduce<MeasuredCodecs[][]>(
    (found, list) => found.flatMap((chosen) => list.map((one) => [...chosen, one])),
    [[]],
  );
}

describe('fewestBytes', () => {
  it('finds the same as trying every choice, and keeps the bound', () => {
    fc.assert(
      fc.property(cuts, bounds, (lists, bound) => {
        const within = everyChoice(lists).filter((chosen) => lossOf(chosen) <= 100 - Math.round(100 * bound));
        const found = fewestBytes(lists, bound);
        if (within.length === 0) return found === undefined;
        expect(lossOf(found!)).toBeLessThanOrEqual(100 - Math.round(100 * bound));
        expect(bytesOf(found!)).toBe(Math.min(...within.map(bytesOf)));
        return true;
      }),
    );
  });
});

describe('unbeaten', () => {
  it('keeps a codec exactly where no other one is as small and as accurate, and so can still meet every bound', () => {
    fc.assert(
      fc.property(fc.array(setting, { minLength: 1, maxLength: 12 }), bounds, (settings, bound) => {
        const kept = unbeaten(settings);
        for (const one of settings)
          expect(kept.some((other) => other.bytes <= one.bytes && other.agreement >= one.agreement)).toBe(true);
        for (const one of kept)
          for (const other of kept)
            if (one !== other) expect(other.bytes <= one.bytes && other.agreement >= one.agreement).toBe(false);
        expect(bytesOf(fewestBytes([kept], bound) ?? [])).toBe(bytesOf(fewestBytes([settings], bound) ?? []));
      }),
    );
  });
});

describe('calibratedCodecs', () => {
  const resolved = resolveModel(tinyNetwork());
  const cut = (tensor: string) => ({ tensors: [tensor], outputs: [], rows: [1], cols: [1] });
  const card = (...calibrated: object[]) =>
    parseCard({ name: 'tiny', task: 'raw', calibrated }, 'model.yaml').calibrated;
  const lossless = { name: 'packed' } as const;
  const packed = (tensor: string) => ({ codecs: { [tensor]: { name: 'packed' } }, clipped: false });
  const about = { pictures: 100, bytes: 100 };
  const clipA = { codecs: { a: 'clip:0:2:4' }, agreement: 0.995, ...about };
  const clipP = { codecs: { p: 'clip:0.1:2:4:0.1' }, agreement: 0.992, ...about };

  it("clips a cut's tensors only where that was measured to keep the bound, and sends others losslessly", () => {
    const spec = { name: 'clip', a: 0, b: 2, bits: 4 };
    expect(calibratedCodecs(card(clipA), lossless, resolved, [cut('a')], 0.99)).toEqual({
      codecs: { a: spec },
      clipped: true,
    });
    expect(calibratedCodecs(card(clipA), lossless, resolved, [cut('a')], 0.999)).toEqual(packed('a'));
    expect(calibratedCodecs(card(clipA), lossless, resolved, [cut('p')], 0.9)).toEqual(packed('p'));
  });

  it('adds up the losses of several cuts', () => {
    const both = card(clipA, clipP);
    // 0.5 % and 0.8 %: of a bound of 99 % only one has room, and `a` is the larger map.
    expect(calibratedCodecs(both, lossless, resolved, [cut('a'), cut('p')], 0.99).codecs).toMatchObject({
      a: { name: 'clip' },
      p: { name: 'packed' },
    });
    expect(calibratedCodecs(both, lossless, resolved, [cut('a'), cut('p')], 0.987).codecs).toMatchObject({
      a: { name: 'clip' },
      p: { name: 'clip', base: 0.1 },
    });
  });

  it('uses no codec that was measured together with other tensors', () => {
    const pair = card({ ...clipA, codecs: { a: 'clip:0:2:4', p: 'clip:0:2:4' } });
    expect(calibratedCodecs(pair, lossless, resolved, [cut('a')], 0.9)).toEqual(packed('a'));
  });
});

describe('plans of any strategy within a bound', () => {
  const network = smallNetwork(2, 16);
  /** A slow node where frames are born, a fast central, and a thin link; the deeper cut cannot be clipped as hard. */
  function problemOf(agreement: number | undefined, more: Partial<Problem> = {}): Problem {
    const problem = clusterOf(network, [100, 0.01], { source: 'pi-1', mbps: 0.5, rtt_ms: 1, ...more });
    const calibrated = [
      { codecs: { [network.skip]: 'clip:0:2:2' }, bytes: 60, agreement: 0.95 },
      { codecs: { [network.skip]: 'clip:0:2:4' }, bytes: 120, agreement: 0.995 },
    ];
    const constraints = { ...problem.constraints, ...(agreement === undefined ? {} : { agreement }) };
    const nodes = problem.nodes.map((node) => ({ ...node, tier: node.id === 'central' ? 'cloud' : 'edge' }) as const);
    return { ...problem, nodes, calibrated, constraints };
  }
  const bestOf = (strategy: Strategy, problem: Problem) => {
    const proposals = asSent(problem).map((asked) => {
      const proposed = strategy.propose(asked);
      return { strategy: strategy.name, proposed, compared: 1 };
    });
    return rank(problem, proposals).ranked[0]!;
  };

  it('have cut and bits chosen together: a cut that pays only when it is clipped', () => {
    const cut = (agreement?: number) => {
      const { plan, prediction } = bestOf(exhaustive, problemOf(agreement));
      return { codec: plan.stages[0]!.codec, stages: plan.stages.length, agreement: prediction.agreement };
    };
    expect(cut()).toMatchObject({ codec: {} });
    expect(cut(0.99)).toEqual({
      codec: { [network.skip]: { name: 'clip', a: 0, b: 2, bits: 4 } },
      stages: 2,
      agreement: 0.995,
    });
    expect(cut(0.9)).toMatchObject({ codec: { [network.skip]: { bits: 2 } }, agreement: 0.95 });
    expect(cut(0.999)).toMatchObject({ codec: {}, agreement: 1 });
  });

  it('have codecs for tiles too, and never for tiles without halo', () => {
    const problem = problemOf(0.99, { source: 'central' });
    const constraints = { ...problem.constraints, cuts: [[network.skip]] };
    const asked = { ...problem, constraints };
    const plans = tilesFused.propose(asked);
    if (isNoPlan(plans)) throw new Error(plans.reason);
    const coded = withCalibratedCodecs(asked, {
      ...plans[0]!,
      stages: plans[0]!.stages.map((stage) => ({ ...stage, codec: {} })),
    });
    expect(coded!.stages[0]!.codec).toMatchObject({ [network.skip]: { bits: 4 } });
    const [first, ...rest] = plans[0]!.stages;
    const zero = { ...first!, codec: {}, split: { ...first!.split, padding: 'zero' } as never };
    expect(withCalibratedCodecs(asked, { ...plans[0]!, stages: [zero, ...rest] })).toBeUndefined();
  });

  it('are asked of a network whose calibrated tensors are as small as they are sent', () => {
    const [same, small] = asSent(problemOf(0.99));
    expect(tensorBytes(small!.graph, [network.skip])).toBe(120);
    expect(tensorBytes(same!.graph, [network.skip])).toBeGreaterThan(120);
    expect(asSent(problemOf(undefined))).toHaveLength(1);
  });
});
