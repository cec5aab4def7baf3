// First, so that it is set when the runtime loads.
import './no-telemetry.ts';

import ort from 'onnxruntime-node';
import { TesseraError } from '../errors.ts';
import type { RuntimeSettings } from '../node/runtime-settings.ts';
import { byteLength, DTYPE_BYTES, type Dtype, isDtype, type Tensor } from '../tensor/tensor.ts';
import { nativeCall } from './native-calls.ts';
import { explainRuntime } from './runtime-message.ts';

/** onnxruntime-node, imported here and nowhere else. Never call `run` on a thread that speaks MQTT: it blocks. */

/** Name and type of a session's input or output as the runtime sees it; symbolic dimensions are strings. */
export interface PortInfo {
  readonly name: string;
  readonly dtype: Dtype | undefined;
  readonly shape: readonly (number | string)[];
}

/** How a session is made. */
export interface SessionOptions extends Partial<RuntimeSettings> {
  /** Threads of one run. */
  readonly threads: number;
  /** Folder of external data where the model is given as bytes; a model given as a path has its own. */
  readonly dataFolder?: string;
  /** Prefix of the trace file that `release` writes: one `*_kernel_time` event per fused operator. */
  readonly profiling?: string;
}

/** A loaded model. */
export interface Session {
  readonly inputs: readonly PortInfo[];
  readonly outputs: readonly PortInfo[];
  /**
   * Runs the model once, blocking this thread. Feeds are read in place where aligned, results own their buffers.
   * `wanted`: names of the outputs to compute, all of them by default. Throws TESSERA_RUN_FAILED.
   */
  run(feeds: ReadonlyMap<string, Tensor>, wanted?: readonly string[]): Promise<Map<string, Tensor>>;
  release(): Promise<void>;
}

type ElementArray =
  | Float32Array
  | Float64Array
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array;

/** The array class of the runtime for each dtype; float16 is passed as its bits. */
const ARRAYS: Record<Dtype, new (buffer: ArrayBuffer, offset: number, length: number) => ElementArray> = {
  bool: Uint8Array,
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  float16: Uint16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  float32: Float32Array,
  uint64: BigUint64Array,
  int64: BigInt64Array,
  float64: Float64Array,
};

/** Hint for outputs that are no tensors of numbers. */
const CUT_OFF = 'cut it off with onnx.utils.extract_model, or cast it within the network';

/** The runtime's version, for a node's info. */
export const runtimeVersion = `onnxruntime-node ${ort.env.versions.node ?? 'unknown'}`;

/**
 * Loads a model from a path or from bytes. Threads do not spin while idle (an idle session costs 2 % of a core, not
 * 30 %), and the runtime prints nothing. Throws TESSERA_RUN_FAILED.
 */
export async function loadSession(model: string | Uint8Array, options: SessionOptions): Promise<Session> {
  const settings: ort.InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
    intraOpNumThreads: options.threads,
    interOpNumThreads: options.parallel === true ? options.threads : 1,
    executionMode: options.parallel === true ? 'parallel' : 'sequential',
    graphOptimizationLevel: options.graph ?? 'all',
    enableCpuMemArena: options.arena ?? true,
    enableMemPattern: options.pattern ?? true,
    // Errors are thrown; the runtime's own log lines are pages of C++.
    logSeverityLevel: 4,
    extra: {
      session: {
        intra_op: { allow_spinning: '0' },
        ...(options.dataFolder === undefined
          ? {}
          : { model_external_initializers_file_folder_path: options.dataFolder }),
      },
    },
    ...(options.profiling === undefined ? {} : { enableProfiling: true, profileFilePrefix: options.profiling }),
  };
  let session: ort.InferenceSession;
  try {
    // The two calls are overloads, which TypeScript checks one by one.
    session =
      typeof model === 'string'
        ? await nativeCall(() => ort.InferenceSession.create(model, settings))
        : await nativeCall(() => ort.InferenceSession.create(model, settings));
  } catch (error) {
    throw refusal('ONNX Runtime cannot load the model', error);
  }
  return {
    inputs: session.inputMetadata.map(portInfo),
    outputs: session.outputMetadata.map(portInfo),
    async run(feeds, wanted) {
      const values: Record<string, ort.Tensor> = {};
      for (const [name, tensor] of feeds) values[name] = toRuntime(name, tensor);
      let results: ort.InferenceSession.ReturnType;
      try {
        results = await nativeCall(() =>
          wanted === undefined ? session.run(values) : session.run(values, [...wanted]),
        );
      } catch (error) {
        throw refusal('ONNX Runtime failed', error);
      }
      const tensors = new Map<string, Tensor>();
      for (const [name, value] of Object.entries(results)) tensors.set(name, fromRuntime(name, value));
      return tensors;
    },
    async release() {
      if (options.profiling !== undefined) session.endProfiling();
      await nativeCall(() => session.release());
    },
  };
}

/** The runtime's error in words; its own text is the cause. */
function refusal(what: string, error: unknown): TesseraError {
  const { message, hint } = explainRuntime(error instanceof Error ? error.message : String(error));
  return new TesseraError('TESSERA_RUN_FAILED', `${what}: ${message}`, {
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}

function portInfo(meta: ort.InferenceSession.ValueMetadata): PortInfo {
  if (!meta.isTensor) return { name: meta.name, dtype: undefined, shape: [] };
  return { name: meta.name, dtype: isDtype(meta.type) ? meta.type : undefined, shape: meta.shape };
}

function toRuntime(name: string, tensor: Tensor): ort.Tensor {
  const { dtype, shape } = tensor;
  if (tensor.data.byteLength !== byteLength(tensor))
    throw new TesseraError(
      'TESSERA_RUN_FAILED',
      `${name}: ${tensor.data.byteLength} bytes where ${byteLength(tensor)} are expected for ${dtype} [${shape}]`,
    );
  const size = DTYPE_BYTES[dtype];
  const aligned = tensor.data.byteOffset % size === 0 && tensor.data.buffer instanceof ArrayBuffer;
  const data = aligned ? tensor.data : new Uint8Array(tensor.data);
  const elements = new ARRAYS[dtype](data.buffer as ArrayBuffer, data.byteOffset, data.byteLength / size);
  return new ort.Tensor(dtype as 'float32', elements as Float32Array, shape);
}

function fromRuntime(name: string, value: ort.Tensor): Tensor {
  const { type, dims, data } = value;
  if (!isDtype(type) || Array.isArray(data))
    throw new TesseraError('TESSERA_MODEL_UNSUPPORTED', `"${name}" is of type ${type}, which no message carries`, {
      hint: CUT_OFF,
    });
  const array = data as ElementArray;
  return { dtype: type, shape: dims, data: new Uint8Array(array.buffer, array.byteOffset, array.byteLength) };
}
