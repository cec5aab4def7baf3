import { type FileHandle, realpath } from 'node:fs/promises';
import { dirname, normalize } from 'node:path';
import { TesseraError } from '../errors.ts';
import { externalTensors, withExternalTensors } from '../onnx/external.ts';
import type { Initializer, Model } from '../onnx/model.ts';
import { readModel } from '../onnx/read.ts';
import { writeModel } from '../onnx/write.ts';
import type { BlobStore } from '../ports.ts';
import type { ModelManifest } from '../protocol/messages/control.ts';
import { fileWithin, openFile, readBytes } from './file.ts';

/** Node reads files below 2 GiB in one piece; ONNX's own limit is the same, since it is a protobuf message. */
const TOO_LARGE = 'ERR_FS_FILE_TOO_LARGE';

/** Weights of at least this many bytes become blobs; smaller ones stay in the skeleton. */
const BLOB_BYTES = 1024;

/** Whether a constant becomes a blob; others stay in the skeleton. */
export function isBlob({ data, dtype }: Initializer): boolean {
  return data.kind === 'external' || (data.bytes.byteLength >= BLOB_BYTES && dtype !== 'string');
}

/** What `packModel` packs. */
export interface PackRequest {
  readonly name: string;
  readonly model: Model;
  /** Preprocessing of frames; absent where they are tensors. */
  readonly picture?: ModelManifest['picture'] | undefined;
  readonly store: BlobStore;
  /** Reads external weights; a model of `loadModelFile` has none. */
  readonly readExternal?: (location: string, offset: number, length: number) => Promise<Uint8Array>;
}

/**
 * Stores a model in its wire form: one blob per large weight, and a skeleton, itself a blob, that names them by hash.
 * Equal weights are one blob. The hash of the skeleton is the model's identity: it covers graph and weights. Throws
 * TESSERA_MODEL_INVALID where external weights cannot be read, TESSERA_BLOB where the store fails.
 */
export async function packModel({ name, model, picture, store, readExternal }: PackRequest): Promise<ModelManifest> {
  const initializers = new Map<string, Initializer>();
  const blobs = new Map<string, number>();
  // Weights that share memory, as those of a function that is called often, are hashed once.
  const stored = new Map<Uint8Array, string>();
  for (const initializer of model.graph.initializers.values()) {
    const { data } = initializer;
    const size = data.kind === 'inline' ? data.bytes.byteLength : data.length;
    if (!isBlob(initializer)) {
      initializers.set(initializer.name, initializer);
      continue;
    }
    const bytes = data.kind === 'inline' ? data.bytes : await readExternal?.(data.location, data.offset, data.length);
    if (bytes?.byteLength !== size)
      throw new TesseraError('TESSERA_MODEL_INVALID', `The weights of "${initializer.name}" cannot be read.`, {
        hint: 'Keep the external data files in the folder of the model file.',
      });
    const sha = stored.get(bytes) ?? (await store.put(bytes));
    stored.set(bytes, sha);
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
    ...(picture === undefined ? {} : { picture }),
    skeleton: { sha: await store.put(skeleton), size: skeleton.byteLength },
    blobs: [...blobs].map(([sha, size]) => ({ sha, size })),
  };
}

/**
 * Reads an ONNX file of up to 2 GB with its external data, which must lie in the file's folder or below, symbolic
 * links followed. All weights of the result, those of Constant nodes too, are in memory (`inline`); those of the file
 * itself are views of it. What a file claims is checked against the real sizes of its data files before anything is
 * allocated. Throws TESSERA_MODEL_INVALID, TESSERA_MODEL_UNSUPPORTED for external data inside subgraphs and functions.
 */
export async function loadModelFile(path: string): Promise<Model> {
  let bytes: Uint8Array;
  try {
    bytes = await readBytes(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new TesseraError('TESSERA_MODEL_INVALID', `${path} cannot be read: ${message}`, {
      hint:
        code === TOO_LARGE ? 'Save the weights as external data: the file itself may have 2 GB.' : 'Check the path.',
      cause: error,
    });
  }
  const model = readModel(bytes);
  const files = new ExternalFiles(await realpath(dirname(path)));
  try {
    return await withExternalTensors(model, (tensor) => files.inlined(tensor));
  } finally {
    await files.close();
  }
}

/**
 * Relative paths of a model's external weight files, with the same checks as in `loadModelFile`, but without reading
 * them. Throws TESSERA_MODEL_INVALID and TESSERA_MODEL_UNSUPPORTED.
 */
export async function externalFiles(path: string, model: Model): Promise<string[]> {
  const files = new ExternalFiles(await realpath(dirname(path)));
  const found = new Set<string>();
  try {
    for (const initializer of externalTensors(model)) {
      if (initializer.data.kind !== 'external') continue;
      await files.located(initializer, initializer.data);
      found.add(normalize(initializer.data.location));
    }
  } finally {
    await files.close();
  }
  return [...found];
}

type External = Extract<Initializer['data'], { kind: 'external' }>;

/**
 * The data files of one model. Weights that are the same bytes of the same file share one buffer, and all buffers
 * together are no larger than the files: a small model file cannot ask for more memory than there are bytes on disk.
 */
class ExternalFiles {
  readonly #folder: string;
  readonly #open = new Map<string, { readonly file: FileHandle; readonly size: number }>();
  readonly #read = new Map<string, Uint8Array>();
  #sizes = 0;
  #taken = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async close(): Promise<void> {
    for (const { file } of this.#open.values()) await file.close();
  }

  async inlined(initializer: Initializer): Promise<Initializer> {
    if (initializer.data.kind === 'inline') return initializer;
    const { location, offset, length } = initializer.data;
    const file = await this.located(initializer, initializer.data);
    const key = `${offset}+${length} ${location}`;
    const held = this.#read.get(key);
    if (held !== undefined) return { ...initializer, data: { kind: 'inline', bytes: held } };
    this.#taken += length;
    if (this.#taken > this.#sizes) throw faulty(initializer, location, `overlap others in ${location}`);
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0) throw faulty(initializer, location, `end after ${done} of ${length} bytes`);
      done += bytesRead;
    }
    this.#read.set(key, bytes);
    return { ...initializer, data: { kind: 'inline', bytes } };
  }

  /** The open file of a weight, known to be inside the folder and long enough. */
  async located(initializer: Initializer, { location, offset, length }: External): Promise<FileHandle> {
    const entry = this.#open.get(location) ?? (await this.#file(initializer, location));
    if (offset + length > entry.size)
      throw faulty(initializer, location, `end after ${Math.max(0, entry.size - offset)} of ${length} bytes`);
    return entry.file;
  }

  async #file(initializer: Initializer, location: string) {
    const path = await fileWithin(this.#folder, location).catch((error: Error) => {
      throw faulty(initializer, location, `lie in ${location}, which ${error.message}`, error);
    });
    const file = await openFile(path).catch((error: Error) => {
      throw faulty(initializer, location, `lie in ${location}, which cannot be read: ${error.message}`, error);
    });
    const entry = { file, size: (await file.stat()).size };
    this.#open.set(location, entry);
    this.#sizes += entry.size;
    return entry;
  }
}

function faulty({ name }: Initializer, location: string, what: string, cause?: unknown): TesseraError {
  return new TesseraError('TESSERA_MODEL_INVALID', `The weights of "${name}" ${what}.`, {
    hint: `Keep ${location} in the folder of the model file, as it was exported.`,
    cause,
  });
}
