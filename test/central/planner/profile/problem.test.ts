import { describe, expect, test } from 'vitest';
import { NO_MODEL, problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import { isNoPlan } from '../../../../central/planner/strategy.ts';
import { bareProfile, skipProfile } from './profiles.ts';

describe('a profile in the bare form', () => {
  const problem = problemOfProfile(bareProfile());

  test('is a chain of layers whose tensors are named by the blocks', () => {
    const { graph } = problem;
    expect(graph.layers.map(({ inputs, outputs }) => [inputs, outputs])).toEqual([
      [['input'], ['a']],
      [['a'], ['b']],
      [['b'], ['c']],
    ]);
    expect(graph.tensors).toEqual([
      { name: 'input', bytes: 1000 },
      { name: 'a', bytes: 4000 },
      { name: 'b', bytes: 500 },
      { name: 'c', bytes: 10 },
    ]);
    expect(graph.blocks[1]).toEqual({ name: 'b', first: 1, last: 1, cut: ['b'], bytes: 500 });
    expect(graph).toMatchObject({ inputs: ['input'], outputs: ['c'] });
  });

  test('has no tiles, says why, and its plans are those of no network', () => {
    expect(isNoPlan(problem.tiler.upTo(undefined, ['a']))).toBe(true);
    expect(problem.tiler.obstacle()).toContain('the network itself');
    expect(problem.model).toBe(NO_MODEL);
  });

  test('counts nobody who needs the outputs, and only the links that it gives', () => {
    expect(problem).toMatchObject({ source: 'pi', sink: null, broker: null });
    expect(problem.links).toHaveLength(3);
  });
});

describe('a profile with layers', () => {
  const { graph, nodes, broker } = problemOfProfile(skipProfile());

  test('keeps tensors that cross a cut together', () => {
    expect(graph.inputs).toEqual(['picture']);
    expect(graph.tensors[0]).toEqual({ name: 'picture', bytes: 300 });
    expect(graph.blocks).toEqual([
      { name: 'front', first: 0, last: 1, cut: ['one-out', 'two-out'], bytes: 200 },
      { name: 'back', first: 2, last: 3, cut: ['four-out'], bytes: 100 },
    ]);
    expect(graph.outputs).toEqual(['four-out']);
    expect(broker).toBe('central');
  });

  test("divides a block's time among its layers by multiply-adds, evenly where there are none", () => {
    expect(nodes[0]!.times!.layer_ms).toEqual([6, 2, 2, 2]);
    expect(nodes[0]!.times!.layer_variance).toEqual([0.75, 0.25, 0, 0].map((value) => expect.closeTo(value, 9)));
  });

  test('keeps what was measured as one, with the error of what was not', () => {
    expect(nodes[0]!.times).toMatchObject({ ratio: 0.9, error: 0.05 });
    expect(nodes[0]!.times!.runs.map(({ first, last, ms }) => [first, last, ms])).toEqual([
      [0, 3, 10],
      [0, 1, 8],
      [2, 3, 4],
    ]);
    expect(nodes[1]!.times!.error).toBe(0.3);
    expect(nodes[0]).toMatchObject({ memory_mb: 1000, message_ms: 1, power_w: { idle: 2, busy: 6 } });
    expect(nodes[1]).toMatchObject({ memory_mb: null, codecs: ['raw'], splits: ['whole'] });
  });
});
