import { describe, expect, it } from 'vitest';
import { planningGraph } from '../../../../central/planner/graph.ts';
import { planOfRun, runsToMeasure } from '../../../../central/planner/profile/runs.ts';
import { resolveModel } from '../../../../shared/onnx/resolve.ts';
import { compileStage } from '../../../../shared/plan/compile.ts';
import { parsePlan } from '../../../../shared/plan/validate.ts';
import { node, sketch } from '../../../shared/onnx/build.ts';

const MODEL = 'a'.repeat(64);

/** A skip over two layers, and an output that the first of them makes. */
const skip = planningGraph(
  resolveModel(
    sketch({
      nodes: [
        node('Relu', ['x'], ['a']),
        node('Sigmoid', ['a'], ['b']),
        node('Tanh', ['b'], ['c']),
        node('Add', ['a', 'c'], ['d']),
      ],
      inputs: { x: [1, 2, 4, 4] },
      outputs: ['b', 'd'],
    }),
  ),
);

describe('what is measured', () => {
  it('is every block alone, both sides of cuts at powers of two and at eighths, the eighths, and the whole', () => {
    expect(runsToMeasure(1)).toEqual([[0, 0]]);
    expect(runsToMeasure(2)).toEqual([
      [0, 0],
      [1, 1],
      [0, 1],
    ]);
    const sides = (...cuts: number[]) =>
      cuts.flatMap((cut) => [
        [0, cut - 1],
        [cut, 15],
      ]);
    const eighths = [0, 2, 4, 6, 8, 10, 12, 14].map((first) => [first, first + 1]);
    expect(new Set(runsToMeasure(16).slice(16).map(String))).toEqual(
      new Set([...sides(2, 4, 6, 8, 10, 12, 14), ...eighths, [0, 15]].map(String)),
    );
    expect(runsToMeasure(500).length).toBeLessThan(560);
  });

  it('is nothing twice', () => {
    for (const blocks of [1, 2, 3, 4, 5, 8, 9, 100]) {
      const runs = runsToMeasure(blocks).map(String);
      expect(new Set(runs).size).toBe(runs.length);
    }
  });
});

describe('the plan of a run', () => {
  it('reads what is live before its blocks and read in them, and makes what others need', () => {
    const { blocks } = skip;
    expect(blocks.map(({ cut }) => cut)).toEqual([['a'], ['a', 'b'], ['a', 'c'], ['b', 'd']]);
    const stage = (first: number, last: number) => planOfRun(skip, MODEL, [first, last], 'pi')!.stages[0]!;
    expect(stage(1, 1)).toMatchObject({ inputs: ['a'], outputs: ['b'] });
    expect(stage(1, 2)).toMatchObject({ inputs: ['a'], outputs: ['b', 'c'] });
    expect(stage(2, 3)).toMatchObject({ inputs: ['a', 'b'], outputs: ['d'] });
    expect(stage(0, 3)).toMatchObject({ inputs: ['x'], outputs: ['b', 'd'] });
  });

  it('is one that a node reads and compiles, and its id tells runs and nodes apart', () => {
    const resolved = resolveModel(
      sketch({
        nodes: [node('Relu', ['x'], ['a']), node('Tanh', ['a'], ['b'])],
        inputs: { x: [1, 2] },
        outputs: ['b'],
      }),
    );
    const graph = planningGraph(resolved);
    const plans = [
      planOfRun(graph, MODEL, [0, 0], 'pi')!,
      planOfRun(graph, MODEL, [1, 1], 'pi')!,
      planOfRun(graph, MODEL, [1, 1], 'box')!,
    ];
    for (const plan of plans) {
      const [stage] = parsePlan(JSON.parse(JSON.stringify(plan))).stages;
      expect(compileStage(plan, stage!, resolved).parts).toHaveLength(1);
    }
    expect(new Set(plans.map(({ id }) => id)).size).toBe(3);
  });
});
