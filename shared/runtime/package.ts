import { type FileHandle, open, readFile, realpath } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { TesseraError } from '../errors.ts';
import type { Initializer, Model } from '../onnx/model.ts';
import { readModel } from '../onnx/read.ts';
import { writeModel } from '../onnx/write.ts';
import type { BlobStore } from '../ports.ts';
import type { ModelManifest } from '../protocol/messages.ts';

/** Node reads files below 2 GiB in one piece; ONNX's own limit is the same, since it is a protobuf message. */
const TOO_LARGE = 'ERR_FS_FILE_TOO_LARGE';

/** Weights of at least this many bytes become blobs; smaller ones stay in the skeleton. */
const BLOB_BYTES = 1024;

/** What `packModel` packs. */
export interface PackRequest {
  readonly name: string;
  readonly model: Model;
  readonly store: BlobStore;
  /** Reads weights that are still external; a model of `loadModelFile` has none. */
  readonly readExternal?: (location: string, offset: number, length: number) => Promise<Uint8Array>;
}

/**
 * Puts a model into the store as it travels: one blob per large weight, and a skeleton, itself a blob, that names them
 * by hash. Equal weights are one blob. The hash of the skeleton is the model's identity: it covers graph and weights.
 * Throws TESSERA_MODEL_INVALID where external weights cannot be read, TESSERA_BLOB where the store fails.
 */
export async function packModel({ name, model, store, readExternal }: PackRequest): Promise<ModelManifest> {
  const initializers = new Map<string, Initializer>();
  const blobs = new Map<string, number>();
  for (const initializer of model.graph.initializers.values()) {
    const { data } = initializer;
    const size = data.kind === 'inline' ? data.bytes.byteLength : data.length;
    if (data.kind === 'inline' && (size < BLOB_BYTES || initializer.dtype === 'string')) {
      initializers.set(initializer.name, initializer);
      continue;
    }
    const bytes = data.kind === 'inline' ? data.bytes : await readExternal?.(data.location, data.offset, data.length);
    if (bytes?.byteLength !== size)
      throw new TesseraError('TESSERA_MODEL_INVALID', `The weights of "${initializer.name}" cannot be read.`, {
        hint: 'Keep the external data files in the folder of the model file.',
      });
    const sha = await store.put(bytes);
    blobs.set(sha, size);
    initializers.set(initializer.name, {
      ...initializer,
      data: { kind: 'external', location: sha, offset: 0, length: size },
    });
  }
  const skeleton = writeModel({ ...model, graph: { ...model.graph, initializers } });
  return {
    format: 'tessera-model/1',
    name,
    skeleton: { sha: await store.put(skeleton), size: skeleton.byteLength },
    blobs: [...blobs].map(([sha, size]) => ({ sha, size })),
  };
}

/**
 * Reads an ONNX file of up to 2 GB with its external data, which must lie in the file's folder or below, symbolic
 * links followed. All weights of the result are in memory (`inline`); those of the file itself are views of it.
 * Throws TESSERA_MODEL_INVALID.
 */
export async function loadModelFile(path: string): Promise<Model> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new TesseraError('TESSERA_MODEL_INVALID', `${path} cannot be read: ${message}`, {
      hint:
        code === TOO_LARGE ? 'Save the weights as external data: the file itself may have 2 GB.' : 'Check the path.',
      cause: error,
    });
  }
  const model = readModel(bytes);
  const external = [...model.graph.initializers.values()].filter(({ data }) => data.kind === 'external');
  if (external.length === 0) return model;
  const initializers = new Map(model.graph.initializers);
  const folder = await realpath(dirname(path));
  const files = new Map<string, FileHandle>();
  try {
    for (const initializer of external) initializers.set(initializer.name, await inlined(folder, initializer, files));
  } finally {
    for (const file of files.values()) await file.close();
  }
  return { ...model, graph: { ...model.graph, initializers } };
}

async function inlined(folder: string, initializer: Initializer, files: Map<string, FileHandle>): Promise<Initializer> {
  if (initializer.data.kind === 'inline') return initializer;
  const { location, offset, length } = initializer.data;
  const wrong = (what: string, cause?: unknown): TesseraError =>
    new TesseraError('TESSERA_MODEL_INVALID', `The weights of "${initializer.name}" ${what}.`, {
      hint: `Keep ${location} in the folder of the model file, as it was exported.`,
      cause,
    });
  let file = files.get(location);
  if (file === undefined) {
    let path: string;
    try {
      path = await realpath(join(folder, location));
    } catch (error) {
      throw wrong(`lie in ${location}, which is not there`, error);
    }
    const way = relative(folder, path);
    if (way === '..' || way.startsWith(`..${sep}`)) throw wrong(`lie in ${location}, outside of the model's folder`);
    file = await open(path);
    files.set(location, file);
  }
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) throw wrong(`end after ${done} of ${length} bytes`);
    done += bytesRead;
  }
  return { ...initializer, data: { kind: 'inline', bytes } };
}
