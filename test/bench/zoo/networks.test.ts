import { describe, expect, test } from 'vitest';
import { ZOO } from '../../../bench/zoo/networks.ts';
import { modelTotals } from '../../../shared/onnx/cost.ts';
import type { ResolvedModel } from '../../../shared/onnx/model.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { numbers } from '../../../shared/tensor/numbers.ts';
import { elementCount } from '../../../shared/tensor/tensor.ts';
import { longestPrefix } from '../../../shared/tiling/prefix.ts';
import { expectLossless, inputsFor, sessions } from '../../shared/tiling/network.ts';
import { LITERATURE, type Published } from './literature.ts';

/** Initializers that a source does not count; numbers that are no weights (limits, axes) never count. */
const UNCOUNTED: Readonly<Record<Published['counted'], RegExp>> = {
  all: /^constant_/,
  learned: /^(constant|mean|variance)_/,
  unscaled: /^(constant|scale)_/,
};

function parameters({ model }: ResolvedModel, counted: Published['counted']): number {
  const weights = [...model.graph.initializers.values()].filter(({ name }) => !UNCOUNTED[counted].test(name));
  return weights.reduce((sum, { dims }) => sum + elementCount(dims), 0);
}

describe('networks of the zoo', () => {
  test('are all compared with the literature', () => {
    expect([...ZOO.keys()].filter((name) => name !== 'gated').sort()).toEqual(Object.keys(LITERATURE).sort());
  });

  test.for(Object.entries(LITERATURE))(
    '%s has the parameters and multiply-adds that were published',
    ([name, known]) => {
      const resolved = resolveModel(ZOO.get(name)!.build());
      expect(parameters(resolved, known.counted), known.parametersFrom).toBe(known.parameters);
      if (known.macs === undefined) return;
      const { macs } = modelTotals(resolved);
      expect(Math.abs(macs / known.macs - 1), `${macs}; ${known.macsFrom}`).toBeLessThanOrEqual(known.within!);
    },
  );

  // Layers and maps are as published; a sixteenth of the channels makes them cheap to run.
  test.for([...ZOO.keys()])('%s computes something of its frame, and its tiles equal the whole', async (name) => {
    const resolved = resolveModel(ZOO.get(name)!.build({ width: 1 / 16 }));
    const { run, release } = sessions();
    const outputs = await run(resolved.model, inputsFor(resolved, ['input']));
    await release();
    for (const output of resolved.model.graph.outputs) {
      const made = outputs.get(output.name)!;
      expect(made.shape).toEqual(output.shape);
      const values = Array.from(numbers(made));
      expect(values.every(Number.isFinite)).toBe(true);
      expect(new Set(values).size).toBeGreaterThan(0.9 * values.length);
    }
    const prefix = longestPrefix(resolved, ['input'], { rows: 1, cols: 2 });
    expect(prefix.convMacs).toBe(modelTotals(resolved).convMacs);
    const isLine = resolved.specs.get('input')!.shape.length === 3;
    await expectLossless(resolved, prefix.outputs, [[isLine ? 1 : [1, 2], [2, 1]]], ['input'], 1e-4);
  });

  test('are the same for the same seed, so that two machines compare the same network', () => {
    const bytes = (seed: number) => writeModel(ZOO.get('mobilenet-v2')!.build({ width: 1 / 16, seed }));
    expect(bytes(7)).toEqual(bytes(7));
    expect(bytes(7)).not.toEqual(bytes(8));
  });

  test('make weights only when something reads them', () => {
    const resolved = resolveModel(ZOO.get('vgg-19')!.build());
    const { data } = resolved.model.graph.initializers.get('weight_0')!;
    if (data.kind !== 'inline') throw new Error('weights are inline');
    expect(Object.getOwnPropertyDescriptor(data, 'bytes')?.get).toBeDefined();
    expect(data.bytes).toBe(data.bytes);
    expect(data.bytes.length).toBe(64 * 3 * 3 * 3 * 4);
  });
});
