import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Model, ResolvedModel } from '../../../shared/onnx/model.ts';
import { readModel } from '../../../shared/onnx/read.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { valueInfo } from '../../../shared/onnx/value-info-proto.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import type { Dtype, TensorSpec } from '../../../shared/tensor/tensor.ts';

/** Published networks and, where their file leaves sizes open, the sizes that the tests give. */
export const NETWORKS: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>> = {
  'FastestDet.onnx': {},
  'cifar10_resnet20.onnx': {},
  'deeplabv3_mnv2_dm05.onnx': {},
  'mnist-8.onnx': {},
  'mobilenet_v1_025_128.onnx': {},
  'mobilenet_v2.onnx': {},
  'person_vww_96.onnx': {},
  'squeezenet1.1.onnx': {},
  'super_resolution_x3.onnx': { input: [1, 1, 40, 56] },
  'ultraface_rfb_320.onnx': {},
};

/** Full-size networks whose weights are made by ConstantOfShape. */
export const TOPOLOGIES = [
  'light_bvlc_alexnet.onnx',
  'light_densenet121.onnx',
  'light_inception_v1.onnx',
  'light_inception_v2.onnx',
  'light_resnet50.onnx',
  'light_shufflenet.onnx',
  'light_vgg19.onnx',
].map((name) => `topologies/${name}`);

const folder = join(process.env.TESSERA_DATA ?? '../shared/data', 'models');

/** Why the tests on a real network are skipped, or false where its file is there. */
export function missing(name: string): string | false {
  return existsSync(join(folder, name)) ? false : `${join(folder, name)} is missing (set TESSERA_DATA)`;
}

/** The bytes of a real network. */
export function networkBytes(name: string): Uint8Array {
  const bytes = readFileSync(join(folder, name));
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** A real network with all sizes fixed. */
export function network(name: string): ResolvedModel {
  return resolveModel(readModel(networkBytes(name)), { inputShapes: NETWORKS[name] ?? {} });
}

const ARRAYS = { float32: Float32Array, float64: Float64Array, int32: Int32Array, uint8: Uint8Array, int8: Int8Array };

/** A tensor as ONNX Runtime takes it. */
export function feed(spec: TensorSpec, value: (index: number) => number): Tensor {
  const count = spec.shape.reduce((product, size) => product * size, 1);
  const numbers = Array.from({ length: count }, (_, i) => value(i));
  if (spec.dtype === 'int64') return new Tensor('int64', BigInt64Array.from(numbers.map(BigInt)), spec.shape);
  if (spec.dtype === 'bool') return new Tensor('bool', Uint8Array.from(numbers), spec.shape);
  const data = ARRAYS[spec.dtype as keyof typeof ARRAYS].from(numbers);
  return new Tensor(spec.dtype as 'float32', data as Float32Array, spec.shape);
}

/** Runs an ONNX file once in ONNX Runtime with quiet logs. */
export async function run(file: Uint8Array, feeds: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
  const session = await InferenceSession.create(file, {
    logSeverityLevel: 4,
    intraOpNumThreads: 1,
    graphOptimizationLevel: 'basic',
  });
  try {
    return (await session.run(feeds)) as Record<string, Tensor>;
  } finally {
    await session.release();
  }
}

/** Feeds for all inputs of a resolved model. */
export function feedsOf(resolved: ResolvedModel, value: (index: number) => number = () => 0): Record<string, Tensor> {
  return Object.fromEntries(
    resolved.model.graph.inputs.map(({ name }) => [name, feed(resolved.specs.get(name)!, value)]),
  );
}

/** ONNX Runtime's name of a dtype is NumPy's. */
export function typeOf(tensor: Tensor): { dtype: Dtype; shape: readonly number[] } {
  return { dtype: tensor.type as Dtype, shape: tensor.dims };
}

/** The model with every tensor of its nodes as an output. */
export function withAllOutputs(resolved: ResolvedModel): Model {
  const { graph } = resolved.model;
  const outputs = graph.nodes.flatMap((node) =>
    node.outputs.flatMap((name) => {
      const spec = resolved.specs.get(name);
      return spec === undefined ? [] : [{ ...valueInfo(name, spec), shape: undefined }];
    }),
  );
  return { ...resolved.model, graph: { ...graph, outputs } };
}

/** Runs a resolved model and gives the types that ONNX Runtime found for every tensor. */
export async function typesByRunning(resolved: ResolvedModel): Promise<Map<string, TensorSpec>> {
  const results = await run(writeModel(withAllOutputs(resolved)), feedsOf(resolved));
  return new Map(Object.entries(results).map(([name, tensor]) => [name, typeOf(tensor)]));
}

/** Largest difference of two float tensors, as a share of the range of the second. */
export function largestDifference(a: Tensor, b: Tensor): number {
  const [left, right] = [a.data as Float32Array, b.data as Float32Array];
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  let largest = 0;
  right.forEach((value, i) => {
    low = Math.min(low, value);
    high = Math.max(high, value);
    largest = Math.max(largest, Math.abs(value - left[i]!));
  });
  return largest === 0 ? 0 : largest / (high - low);
}
