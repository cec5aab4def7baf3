import { expect, test } from 'vitest';
import type { PlanningGraph } from '../../../central/planner/graph.ts';
import { testBlocks } from '../../../central/replanner/test-layers.ts';

/** Lost if this fails: probes measure nothing, or load a machine with the whole network. */

const graph = (...macs: number[]): PlanningGraph => ({
  layers: macs.map((count, index) => ({ name: `l${index}`, op: 'Conv', inputs: [], outputs: [], macs: count })),
  tensors: [],
  inputs: [],
  outputs: [],
  blocks: macs.map((_, index) => ({ name: `b${index}`, first: index, last: index, cut: [], bytes: 0 })),
});

test('as many of the first blocks as have a fifth of the multiply-adds', () => {
  expect(testBlocks(graph(10, 9, 81))).toEqual([0, 2]);
  expect(testBlocks(graph(10, 10, 80))).toEqual([0, 1]);
  expect(testBlocks(graph(50, 50))).toEqual([0, 0]);
  expect(testBlocks(graph(0, 0))).toEqual([0, 0]);
});
