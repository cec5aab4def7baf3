import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TILED_OPERATORS } from '../../../shared/tiling/rules/table.ts';
import { findTileable } from '../../../shared/tiling/tileable.ts';
import { Dice, rolls } from './dice.ts';
import { type GridSizes, Network } from './network.ts';
import { TRIALS } from './trials/all.ts';
import { judge } from './truth.ts';

/** Set TESSERA_FUZZ_RUNS for a longer search. */
const runs = Number(process.env.TESSERA_FUZZ_RUNS ?? 8);

const grids: GridSizes[] = [
  [2, 2],
  [
    [1, 5, 2],
    [4, 1],
  ],
];

test('every operator that tiles is tried', () => {
  expect(TRIALS.map(({ op }) => op)).toEqual(expect.arrayContaining([...TILED_OPERATORS]));
});

describe('tiles of an operator with any attributes equal the whole file in the runtime, or are refused', () => {
  for (const { op, opsets, build } of TRIALS)
    test.each(opsets)(`${op} of operator set %i`, { timeout: 3_600_000 }, async (opset) => {
      await fc.assert(
        fc.asyncProperty(rolls, fc.boolean(), async (list, needsHalo) => {
          const net = new Network(opset);
          const made = build(net, new Dice(list));
          // A window after it reads beyond each tile of its output.
          const window = { kernel_shape: [3, 3], pads: [1, 1, 1, 1] };
          const outputs = needsHalo ? [net.op('MaxPool', made.slice(0, 1), window)] : made;
          const verdict = await judge(net, outputs, grids);
          // Networks that the runtime refuses say nothing about tiles.
          fc.pre(verdict.kind !== 'not a network');
        }),
        { numRuns: runs, maxSkipsPerRun: 1000 },
      );
    });
});

test('an unknown attribute ends the tile stage, whatever the operator', () => {
  const unknown = TRIALS.flatMap(({ op, opsets, build }) => {
    const net = new Network(opsets[0]);
    const outputs = build(net, new Dice([0]));
    const resolved = net.resolve(...outputs);
    const { graph } = resolved.model;
    const nodes = graph.nodes.map((node) => {
      const attributes = new Map(node.attributes);
      if (node.op === op) attributes.set('of_the_future', { kind: 'int', value: 1 });
      return { ...node, attributes };
    });
    const changed = { ...resolved, model: { ...resolved.model, graph: { ...graph, nodes } } };
    const { stops } = findTileable(
      changed,
      graph.inputs.map(({ name }) => name),
    );
    return stops.some(({ reason }) => reason.includes('of_the_future')) ? [] : [op];
  });
  expect(unknown).toEqual([]);
});
