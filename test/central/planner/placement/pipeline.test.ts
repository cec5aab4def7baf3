import { describe, expect, test } from 'vitest';
import { bestPipelines } from '../../../../central/planner/placement/pipeline.ts';
import { drawn } from '../../../support/placements.ts';

describe('a pipeline whose slow stage runs on several machines', () => {
  const chain = (ms: number[][], bytes = 0) => ms.map((own, v) => ({ ms: own, reads: [v - 1], bytes }));

  test('cuts so that all machines are equally busy', () => {
    // Two edge machines take 8 ms for the middle, so one frame every 4 ms; the device 4 ms in front of it.
    const vertices = chain([
      [4, 9, 9],
      [9, 4, 4],
      [9, 4, 4],
    ]);
    expect(bestPipelines(drawn({ ranks: [0, 1, 1], vertices, way: () => 0 }))).toEqual([
      [
        { vertices: [0], nodes: ['m0'] },
        { vertices: [1, 2], nodes: ['m1', 'm2'] },
      ],
    ]);
  });

  test('has a stage behind it where a further tier is faster', () => {
    const vertices = chain([
      [9, 2, 2, 9],
      [9, 2, 2, 9],
      [9, 9, 9, 1],
    ]);
    expect(bestPipelines(drawn({ ranks: [0, 1, 1, 2], vertices, way: () => 0 }))).toEqual([
      [
        { vertices: [0, 1], nodes: ['m1', 'm2'] },
        { vertices: [2], nodes: ['m3'] },
      ],
    ]);
  });

  test('counts the bytes that each link carries', () => {
    const vertices = chain(
      [
        [4, 4, 4],
        [4, 4, 4],
        [4, 4, 4],
      ],
      1,
    );
    const wide = vertices.map((vertex, v) => ({ ...vertex, bytes: v === 0 ? 100 : 1 }));
    const [pipeline] = bestPipelines(drawn({ ranks: [0, 1, 1], vertices: wide, way: () => 1 }));
    expect(pipeline!.map((stage) => stage.vertices)).toEqual([[0, 1], [2]]);
  });

  test('does not exist where no tier has two machines, or links are missing', () => {
    const vertices = chain(
      [
        [1, 1, 1],
        [1, 1, 1],
      ],
      1,
    );
    expect(bestPipelines(drawn({ ranks: [0, 1, 2], vertices }))).toEqual([]);
    expect(bestPipelines(drawn({ ranks: [0, 1, 1], vertices, way: () => Number.POSITIVE_INFINITY }))).toEqual([]);
  });
});
