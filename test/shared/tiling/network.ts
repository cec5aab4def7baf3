import { expect } from 'vitest';
import type { Attribute, GraphNode, Initializer, Model, ResolvedModel } from '../../../shared/onnx/model.ts';
import { newModel } from '../../../shared/onnx/new-model.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { valueInfo } from '../../../shared/onnx/value-info-proto.ts';
import { constantTensor } from '../../../shared/onnx/values.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import type { Stage } from '../../../shared/plan/plan.ts';
import { loadSession, type Session } from '../../../shared/runtime/ort.ts';
import { type Dtype, elementCount, type Tensor } from '../../../shared/tensor/tensor.ts';
import type { StageForm } from '../../../shared/tiling/form.ts';
import { evenSizes } from '../../../shared/tiling/grid.ts';
import { compareForms, type RunModel } from '../../../shared/tiling/reference.ts';
import { tileSegment } from '../../../shared/tiling/segment.ts';
import { buildStage } from '../../../shared/tiling/stage.ts';

/** Attribute values in plain form: integers are ints, lists of them ints. */
export type Plain =
  | number
  | string
  | readonly number[]
  | { readonly floats: readonly number[] }
  | { readonly float: number };

function attributeOf(value: Plain): Attribute {
  if (typeof value === 'number') return { kind: 'int', value };
  if (typeof value === 'string') return { kind: 'string', value };
  if ('floats' in value) return { kind: 'floats', value: value.floats };
  if ('float' in value) return { kind: 'float', value: value.float };
  return { kind: 'ints', value };
}

/** Numbers between -1 and 1 that are the same in every run. */
export function noise(count: number, seed: number): number[] {
  let state = seed >>> 0;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** Builds small networks node by node. */
export class Network {
  readonly opset: number;
  readonly #nodes: GraphNode[] = [];
  readonly #constants = new Map<string, Initializer>();
  readonly #inputs: { name: string; shape: readonly number[]; dtype: Dtype }[] = [];
  #count = 0;

  /** The type of weights. */
  readonly dtype: Dtype;

  constructor(opset = 17, dtype: Dtype = 'float32') {
    this.opset = opset;
    this.dtype = dtype;
  }

  input(shape: readonly number[], dtype: Dtype = this.dtype): string {
    const name = `x${this.#inputs.length}`;
    this.#inputs.push({ name, shape, dtype });
    return name;
  }

  weight(...dims: number[]): string {
    return this.values(this.dtype, dims, noise(elementCount(dims), ++this.#count));
  }

  ints(...values: number[]): string {
    return this.values('int64', [values.length], values);
  }

  values(dtype: Dtype, dims: readonly number[], values: readonly number[]): string {
    const name = `c${++this.#count}`;
    this.#constants.set(name, constantTensor(name, dtype, dims, values));
    return name;
  }

  /** Adds a node and returns its first output; the others are named `<first>.1`, `<first>.2`, ... */
  op(op: string, inputs: readonly string[], attributes: Record<string, Plain> = {}, outputs = 1): string {
    const name = `t${++this.#count}_${op}`;
    const names = Array.from({ length: outputs }, (_, i) => (i === 0 ? name : `${name}.${i}`));
    const entries = Object.entries(attributes).map(([key, value]) => [key, attributeOf(value)] as const);
    this.#nodes.push({ name, op, domain: '', inputs, outputs: names, attributes: new Map(entries) });
    return name;
  }

  conv(x: string, from: number, to: number, kernel: readonly number[], attributes: Record<string, Plain> = {}): string {
    const group = typeof attributes.group === 'number' ? attributes.group : 1;
    return this.op('Conv', [x, this.weight(to, from / group, ...kernel), this.weight(to)], attributes);
  }

  /** How many axes an input has. */
  rank(input: string): number {
    return this.#inputs.find(({ name }) => name === input)!.shape.length;
  }

  /** The type of an input. */
  dtypeOf(input: string): Dtype {
    return this.#inputs.find(({ name }) => name === input)!.dtype;
  }

  /** The model as in a file, without types of its outputs: Tessera's shape inference is not involved. */
  file(...outputs: string[]): Model {
    const inputs = this.#inputs.map(({ name, dtype, shape }) => valueInfo(name, { dtype, shape }));
    const untyped = (name: string) => ({ name, dtype: 'other', elementType: 0, shape: undefined }) as const;
    return newModel({
      irVersion: this.opset < 9 ? 4 : 8,
      producer: 'tessera-test',
      opset: this.opset,
      name: 'network',
      nodes: this.#nodes,
      initializers: this.#constants,
      inputs,
      outputs: outputs.map(untyped),
    });
  }

  resolve(...outputs: string[]): ResolvedModel {
    return resolveModel(this.file(...outputs));
  }
}

/** A stage that takes `inputs` to `outputs`. */
export function stageOf(inputs: readonly string[], outputs: readonly string[], split: Stage['split']): Stage {
  return { id: 0, inputs, outputs, split, on: { mode: 'share', nodes: '*' }, fallback: 'central', codec: {} };
}

/** Random values of a type: unsigned numbers from 0 to 254, signed ones from -127 to 127, booleans. */
function asType(dtype: Dtype): (noise: number) => number {
  if (dtype.startsWith('float')) return (value) => value;
  if (dtype === 'bool') return (value) => (value > 0 ? 1 : 0);
  return dtype.startsWith('u') ? (value) => Math.floor((value + 1) * 127) : (value) => Math.floor(value * 127);
}

/** Seeded data for every input of the stage. */
export function inputsFor(resolved: ResolvedModel, names: readonly string[]): Map<string, Tensor> {
  return new Map(
    names.map((name, i) => {
      const spec = resolved.specs.get(name)!;
      const values = noise(elementCount(spec.shape), 1000 + i);
      const { data } = constantTensor(name, spec.dtype, spec.shape, values.map(asType(spec.dtype)));
      if (data.kind !== 'inline') throw new Error('a constant is inline');
      return [name, { ...spec, data: data.bytes }];
    }),
  );
}

/** Runs models in the runtime, one session per model; `release` frees them. */
export function sessions(): { run: RunModel; release: () => Promise<void> } {
  const loaded = new Map<Model, Session>();
  return {
    async run(model, feeds) {
      const session = loaded.get(model) ?? (await loadSession(writeModel(model), { threads: 1 }));
      loaded.set(model, session);
      return session.run(feeds);
    },
    async release() {
      for (const session of loaded.values()) await session.release();
      loaded.clear();
    },
  };
}

/** Rows and columns of a grid as sizes, or their numbers. */
export type GridSizes = readonly [rows: number | readonly number[], cols: number | readonly number[]];

/** The halo form of a stage over a grid. */
export function haloStage(
  resolved: ResolvedModel,
  inputs: readonly string[],
  outputs: readonly string[],
  [rows, cols]: GridSizes,
): StageForm {
  const segment = tileSegment(resolved, inputs, outputs);
  const { rows: height, cols: width } = segment.layouts.get(segment.reference)!;
  const sizes = (asked: number | readonly number[], total: number) =>
    typeof asked === 'number' ? evenSizes(total, Math.min(asked, total)) : fitted(asked, total);
  const split = { kind: 'tiles', padding: 'halo', rows: sizes(rows, height), cols: sizes(cols, width) } as const;
  return buildStage(resolved, stageOf(inputs, outputs, split));
}

/** Sizes that add up to `total`, from weights. */
function fitted(weights: readonly number[], total: number): number[] {
  const used = weights.slice(0, total);
  const sum = used.reduce((all, weight) => all + weight, 0);
  const sizes = used.map((weight) => Math.max(1, Math.floor((weight * total) / sum)));
  let left = total - sizes.reduce((all, size) => all + size, 0);
  for (let i = 0; left !== 0; i = (i + 1) % sizes.length) {
    const step = left > 0 ? 1 : sizes[i]! > 1 ? -1 : 0;
    sizes[i]! += step;
    left -= step;
  }
  return sizes;
}

/** Grids that every operator has to pass: one tile, even, uneven, single cells at an edge. */
export const GRIDS: readonly GridSizes[] = [
  [1, 1],
  [2, 2],
  [3, 2],
  [
    [1, 5, 2],
    [4, 1],
  ],
  [1, 4],
];

/**
 * Runs a network whole and in tiles of every grid, and expects equal outputs to 1e-5 of the range (or `within`), one
 * model for all grids, and regions that cover each output exactly once.
 */
export async function expectLossless(
  resolved: ResolvedModel,
  outputs: readonly string[] = resolved.model.graph.outputs.map((output) => output.name),
  grids: readonly GridSizes[] = GRIDS,
  inputs: readonly string[] = resolved.model.graph.inputs.map((input) => input.name),
  within = 1e-5,
): Promise<void> {
  const { run, release } = sessions();
  try {
    const whole = buildStage(resolved, stageOf(inputs, outputs, { kind: 'whole' }));
    const data = inputsFor(resolved, inputs);
    let first: Model | undefined;
    for (const grid of grids) {
      const built = haloStage(resolved, inputs, outputs, grid);
      const { model } = built.parts[0]!;
      if (first === undefined) first = model;
      else expect(Buffer.compare(writeModel(model), writeModel(first)), 'one model for every grid').toBe(0);
      for (const output of outputs) {
        const cells = built.parts.reduce((sum, tile) => {
          const region = tile.out.find(({ tensor }) => tensor === output);
          return sum + (region === undefined ? 0 : elementCount(region.box.map(([start, end]) => end - start)));
        }, 0);
        expect(cells, `tiles cover ${output}`).toBe(elementCount(resolved.specs.get(output)!.shape));
      }
      const shared = { ...built, parts: built.parts.map((part) => ({ ...part, model: first! })) };
      const largest = await compareForms(whole, shared, data, resolved.specs, run);
      expect(largest, `grid ${grid.join(' x ')}`).toBeLessThanOrEqual(within);
    }
  } finally {
    await release();
  }
}
