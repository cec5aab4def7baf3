import { describe, expect, test } from 'vitest';
import type { Model } from '../../../shared/onnx/model.ts';
import { constantTensor } from '../../../shared/onnx/values.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { firstFeed } from '../../../shared/runtime/first-feeds.ts';
import { loadSession } from '../../../shared/runtime/ort.ts';
import { explainRuntime } from '../../../shared/runtime/runtime-message.ts';
import { ints, node, sketch, weights } from '../onnx/build.ts';

/**
 * A page of C++ signatures helps no user; the message says in a sentence what the network needs, with a hint where
 * there is one.
 */

const at =
  '/src_of_the_runtime/core/graph/load.h:46 void runtime::load::Validate(const std::map<std::string, int>&, bool (*)(int)) const';

describe('an error message of ONNX Runtime', () => {
  test('is shown without its source position, C++ signature and checked condition', () => {
    expect(explainRuntime(`Load model from /a b/net.onnx failed:${at} 1 < 2 was false. The axes do not fit`)).toEqual({
      message: 'The axes do not fit',
    });
  });

  test('is bounded, and ends at the end of a sentence if possible', () => {
    const { message } = explainRuntime(`${'A sentence of some length. '.repeat(100)}`);
    expect(message.length).toBeLessThanOrEqual(300);
    expect(message.endsWith('.')).toBe(true);
    expect(explainRuntime('x'.repeat(10_000)).message.length).toBeLessThanOrEqual(303);
  });

  test('that is empty says so', () => {
    expect(explainRuntime(' \n').message).toBe('it says nothing');
  });
});

const x = { x: [1, 3, 8, 8] };
const one = (made: ReturnType<typeof node>, more: Partial<Parameters<typeof sketch>[0]> = {}): Model =>
  sketch({
    nodes: [made],
    inputs: x,
    outputs: ['y'],
    constants: [weights('w', [4, 5, 3, 3]), ints('s', [7, 7])],
    ...more,
  });
const relu = one(node('Relu', ['x'], ['y']));
const opsets = (versions: Record<string, number>) => new Map(Object.entries(versions));

const REFUSED: readonly (readonly [string, Model, RegExp, RegExp | undefined])[] = [
  [
    'a newer operator set',
    { ...relu, opsets: opsets({ '': 99 }) },
    /operator sets up to \d+; the network uses 99$/,
    /opset_version=\d+/,
  ],
  [
    'a newer operator set of another domain',
    { ...relu, opsets: opsets({ '': 13, 'ai.onnx.ml': 99 }) },
    /operator sets of ai\.onnx\.ml up to \d+/,
    /opset_version/,
  ],
  [
    'a newer IR version',
    { ...relu, irVersion: 99 },
    /IR version up to \d+; this one is of version 99$/,
    /ir_version = \d+/,
  ],
  ['an unknown operator', one(node('Magic', ['x'], ['y'])), /does not know operator Magic/, /export/],
  [
    'an unknown domain',
    { ...one({ ...node('Magic', ['x'], ['y']), domain: 'my.ops' }), opsets: opsets({ '': 13, 'my.ops': 1 }) },
    /does not know operator my\.ops:Magic/,
    /custom/,
  ],
  [
    'a domain that is not imported',
    one({ ...node('Magic', ['x'], ['y']), domain: 'my.ops' }),
    /operator set of "my\.ops"/,
    /make_opsetid/,
  ],
  [
    'types that do not fit',
    one(node('Add', ['x', 'd'], ['y']), { constants: [constantTensor('d', 'float64', [1], [1])] }),
    /bound to different types/,
    undefined,
  ],
  [
    'a missing implementation',
    one(node('Add', ['x', 'x'], ['y']), { opset: 3 }),
    /no implementation of Add \(operator set 1\)/,
    /version_converter/,
  ],
  [
    'shapes that do not fit in a run',
    one(node('Conv', ['x', 'w'], ['y'])),
    /^Conv ".*" fails: Input channels/,
    undefined,
  ],
  [
    'shapes that a check in the sources finds',
    one(node('Reshape', ['x', 's'], ['y'])),
    /^Reshape "y" fails: The input tensor cannot be reshaped/,
    undefined,
  ],
];

describe('the message of ONNX Runtime on this machine', () => {
  test.each(REFUSED)('of %s', async (_, model, message, hint) => {
    const attempt = loadSession(writeModel(model), { threads: 1 }).then((session) =>
      session.run(new Map([['x', firstFeed({ dtype: 'float32', shape: [1, 3, 8, 8] }, 'zeros')]])),
    );
    const error = await attempt.then(
      () => undefined,
      (thrown: Error & { hint?: string }) => thrown,
    );
    const said = error!.message.replace(/^ONNX Runtime (failed|cannot load the model): /, '');
    expect(said).toMatch(message);
    expect(said).not.toMatch(/std::|::\w+\(|\.(cc|h):\d/);
    if (hint !== undefined) expect(error!.hint).toMatch(hint);
  });
});
