import { expect, test } from 'vitest';
import { TensorNames } from '../../../shared/onnx/tensor-names.ts';
import { withInnerTensors } from '../../../shared/plan/inner-tensors.ts';
import type { Plan, Stage } from '../../../shared/plan/plan.ts';

/** Lost if these fail: a user who names tensors as the ONNX file does gets results of something else. */

const stage = (id: number, inputs: string[], outputs: string[]): Stage => ({
  id,
  inputs,
  outputs,
  split: { kind: 'whole' },
  on: { mode: 'share', nodes: '*' },
  fallback: 'central',
  codec: Object.fromEntries(outputs.map((tensor) => [tensor, { name: 'raw' }])),
});

const inputsOf = ({ stages }: Plan): (readonly string[])[] => stages.map(({ inputs }) => inputs);

const plan = (...stages: Stage[]): Plan => ({
  format: 'tessera-plan/1',
  id: 'p-000001',
  model: '0'.repeat(64),
  source: 'central',
  strategy: '',
  reason: '',
  stages,
  predicted: null,
});

test('names of the file become those of messages, in inputs, outputs, codecs and exits', () => {
  const names = new TensorNames(new Map([['a\nb', 'a_b']]));
  const made = withInnerTensors(
    plan({ ...stage(0, ['x'], ['a\nb']), exit: { tensor: 'a\nb', threshold: 1 } }, stage(1, ['a\nb'], ['y'])),
    { names, ownInput: 'x', input: { name: 'x' } },
  );
  expect(made.stages[0]).toMatchObject({ outputs: ['a_b'], codec: { a_b: {} }, exit: { tensor: 'a_b' } });
  expect(inputsOf(made)).toEqual([['x'], ['a_b']]);
});

test("the network's own input is the picture, where frames are pictures, unless a stage makes it of the picture", () => {
  const picture = { names: new TensorNames(), ownInput: 'x', input: { name: 'tessera_frame' } };
  expect(inputsOf(withInnerTensors(plan(stage(0, ['x'], ['a']), stage(1, ['a', 'x'], ['y'])), picture))).toEqual([
    ['tessera_frame'],
    ['a', 'tessera_frame'],
  ]);
  const own = plan(stage(0, ['tessera_frame'], ['x']), stage(1, ['x'], ['y']));
  expect(inputsOf(withInnerTensors(own, picture))).toEqual([['tessera_frame'], ['x']]);
});
