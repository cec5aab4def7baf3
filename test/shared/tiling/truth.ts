import { expect } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import type { Model, ResolvedModel } from '../../../shared/onnx/model.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { numbers } from '../../../shared/tensor/numbers.ts';
import type { Dtype, Tensor } from '../../../shared/tensor/tensor.ts';
import { compareTensors, runStage } from '../../../shared/tiling/reference.ts';
import { findTileable } from '../../../shared/tiling/tileable.ts';
import { type GridSizes, haloStage, inputsFor, type Network, sessions } from './network.ts';

/** The outcome for a network: tiles equal the runtime's result, or it was refused, and by whom. */
export type Verdict =
  | { readonly kind: 'equal' }
  /** The runtime refuses the network. */
  | { readonly kind: 'not a network'; readonly reason: string }
  /** Tessera does not tile it. */
  | { readonly kind: 'refused'; readonly reason: string };

/** Largest difference of one operator's tiles from the whole, as a share of the output's range. */
const BOUNDS: Partial<Record<Dtype, number>> = { float32: 1e-5, float64: 1e-12, float16: 2e-3 };

/** Runs a file in the runtime unchanged: the reference, independent of Tessera's shape inference. */
export async function runWhole(
  file: Model,
  data: ReadonlyMap<string, Tensor>,
): Promise<ReadonlyMap<string, Tensor> | { readonly reason: string }> {
  const { run, release } = sessions();
  try {
    return await run(file, data);
  } catch (error) {
    if (error instanceof TesseraError && error.code === 'TESSERA_RUN_FAILED') return { reason: error.message };
    throw error;
  } finally {
    await release();
  }
}

/** Fails unless all types and shapes equal the runtime's. */
function expectSpecs(resolved: ResolvedModel, whole: ReadonlyMap<string, Tensor>): void {
  for (const [name, { dtype, shape }] of whole) {
    const spec = resolved.specs.get(name);
    if (spec !== undefined) expect({ name, ...spec }).toEqual({ name, dtype, shape });
  }
}

/**
 * Compares tiles of a network over several grids with the runtime's run of the whole file. Fails where they differ, and
 * where Tessera inferred a wrong shape; otherwise says who refused the network.
 */
export async function judge(net: Network, outputs: readonly string[], grids: readonly GridSizes[]): Promise<Verdict> {
  const file = net.file(...outputs);
  const inputs = file.graph.inputs.map(({ name }) => name);
  const specs = new Map(
    file.graph.inputs.map(({ name, dtype, shape }) => [name, { dtype: dtype as Dtype, shape: shape as number[] }]),
  );
  const data = inputsFor({ model: file, specs }, inputs);
  const whole = await runWhole(file, data);
  if ('reason' in whole) return { kind: 'not a network', reason: String(whole.reason) };
  // The result of a window with a NaN depends on the order in which the runtime reads its cells.
  const hasNaN = [...whole.values()].some((tensor) => Array.from(numbers(tensor)).some(Number.isNaN));
  if (hasNaN && file.graph.nodes.at(-1)!.op === 'MaxPool') return { kind: 'not a network', reason: 'it makes NaN' };
  let resolved: ResolvedModel;
  try {
    resolved = resolveModel(file);
  } catch (error) {
    if (error instanceof TesseraError) return { kind: 'refused', reason: error.message };
    throw error;
  }
  expectSpecs(resolved, whole);
  const { stops, layouts } = findTileable(resolved, inputs);
  const [stop] = stops;
  if (stop !== undefined) return { kind: 'refused', reason: `${stop.op} ${stop.reason}` };
  const made = outputs.filter((output) => layouts.has(output));
  if (made.length === 0) return { kind: 'refused', reason: 'no output is a map' };
  const { run, release } = sessions();
  try {
    for (const grid of grids) {
      let form: ReturnType<typeof haloStage>;
      try {
        form = haloStage(resolved, inputs, made, grid);
      } catch (error) {
        if (error instanceof TesseraError && error.code === 'TESSERA_PLAN_INVALID')
          return { kind: 'refused', reason: error.message };
        throw error;
      }
      const tiled = await runStage(form, data, resolved.specs, run);
      for (const output of made) {
        const expected = whole.get(output)!;
        const largest = compareTensors(new Map([[output, expected]]), tiled);
        expect(largest, `${output} in a grid of ${grid.join(' x ')}`).toBeLessThanOrEqual(BOUNDS[expected.dtype] ?? 0);
      }
    }
    return { kind: 'equal' };
  } finally {
    await release();
  }
}
