import { expect, test } from 'vitest';
import { inspectionLines, inspectModel } from '../../cli/inspection.ts';
import { resolveModel } from '../../shared/onnx/resolve.ts';
import { Network } from '../shared/tiling/network.ts';
import { exitNetwork } from '../support/tiny-network.ts';

const cuts = (exits: readonly string[]): string[] =>
  inspectModel(resolveModel(exitNetwork(), {}), exits).layers.flatMap(({ cut, output }) => (cut ? [output] : []));

test('heads of exits do not hide where the network can be cut; other outputs are live at every cut after them', () => {
  expect(cuts([])).toEqual(['c1', 'a', 'p']);
  expect(cuts(['early', 'late'])).toEqual(['c1', 'a', 'p', 'c2', 'b', 'q', 'c3', 'd', 'y-pooled', 'y-flat']);
});

test('layers with weights say how many channels a stage can split, and in what multiples', () => {
  const net = new Network();
  const x = net.input([1, 4, 5, 5]);
  const grouped = net.conv(x, 4, 8, [1, 1], { group: 2 });
  const dense = net.op('Gemm', [net.op('Flatten', [net.op('Relu', [grouped])]), net.weight(200, 6)]);
  const inspection = inspectModel(net.resolve(dense));
  expect(inspection.layers.map(({ op, channels }) => [op, channels])).toEqual([
    ['Conv', { count: 8, step: 4 }],
    ['Relu', null],
    ['Flatten', null],
    ['Gemm', { count: 6, step: 1 }],
  ]);
  const [conv, gemm] = ['Conv', 'Gemm'].map((op) =>
    inspectionLines(inspection).find((line) => line.includes(` ${op} `)),
  );
  expect([conv, gemm]).toEqual([expect.stringContaining('8 by 4'), expect.stringMatching(/ 6 +no/)]);
});
