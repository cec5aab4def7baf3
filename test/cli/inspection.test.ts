import { expect, test } from 'vitest';
import { inspectModel } from '../../cli/inspection.ts';
import { resolveModel } from '../../shared/onnx/resolve.ts';
import { exitNetwork } from '../support/tiny-network.ts';

const cuts = (exits: readonly string[]): string[] =>
  inspectModel(resolveModel(exitNetwork(), {}), exits).layers.flatMap(({ cut, output }) => (cut ? [output] : []));

test('heads of exits do not hide where the network can be cut; other outputs are live at every cut after them', () => {
  expect(cuts([])).toEqual(['c1', 'a', 'p']);
  expect(cuts(['early', 'late'])).toEqual(['c1', 'a', 'p', 'c2', 'b', 'q', 'c3', 'd', 'y-pooled', 'y-flat']);
});
