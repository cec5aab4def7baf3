import type { FileHandle } from 'node:fs/promises';
import { pictureFiles, readFrame, unreadable } from '../shared/camera/live/file-source.ts';
import { TesseraError } from '../shared/errors.ts';
import { adviceFor, describeBytes, HEAD_BYTES, payloadKind } from '../shared/model/payload-kind.ts';
import type { FrameEnvelope } from '../shared/protocol/messages/frame.ts';
import { openFile } from '../shared/runtime/file.ts';
import { DTYPE_BYTES, elementCount, type TensorSpec } from '../shared/tensor/tensor.ts';

/** A file that is read as a frame only when needed: a folder may hold more than fits into memory. */
export interface FrameFile {
  readonly file: string;
  read(): Promise<FrameEnvelope>;
}

/** What `use` finds out about a file without reading all of it. Throws TESSERA_USAGE. */
async function lookInto<T>(file: string, use: (handle: FileHandle) => Promise<T>): Promise<T> {
  try {
    await using handle = await openFile(file);
    return await use(handle);
  } catch (cause) {
    throw unreadable(file, cause as Error);
  }
}

function head(file: string): Promise<Uint8Array> {
  return lookInto(file, async (handle) => {
    const { buffer, bytesRead } = await handle.read(new Uint8Array(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  });
}

/** A picture file's bytes as a frame; `name` is for errors. Throws TESSERA_INPUT_INVALID for what is no JPEG or PNG. */
export function pictureFrame(d: Uint8Array, name: string, tensors = false): FrameEnvelope {
  const format = payloadKind(d);
  if (format === 'jpeg' || format === 'png') return { v: 1, format, d, tensors };
  throw new TesseraError('TESSERA_INPUT_INVALID', `${name} is ${describeBytes(d)}, not a JPEG or PNG`, {
    hint: adviceFor(d, 'file'),
  });
}

/**
 * Pictures of files and folders; with `tensors` the network's outputs are requested, too. All files are checked before
 * the first is used: throws TESSERA_USAGE for an unreadable one, TESSERA_INPUT_INVALID for one that is no JPEG or PNG.
 */
export async function pictureFrames(paths: readonly string[], tensors: boolean): Promise<FrameFile[]> {
  const files = await pictureFiles(paths);
  for (const file of files) pictureFrame(await head(file), file);
  return files.map((file) => ({ file, read: async () => pictureFrame(await readFrame(file), file, tensors) }));
}

/** Files of raw little-endian values as frames for a network's first input, of its own type. Throws TESSERA_USAGE. */
export async function tensorFrames(
  files: readonly string[],
  shape: readonly number[],
  { dtype }: Pick<TensorSpec, 'dtype'>,
): Promise<FrameFile[]> {
  const bytes = elementCount(shape) * DTYPE_BYTES[dtype];
  for (const file of files) {
    const { size } = await lookInto(file, (handle) => handle.stat());
    if (size !== bytes)
      throw new TesseraError('TESSERA_USAGE', `${file} has ${size} bytes; ${dtype} ${shape.join('x')} is ${bytes}`, {
        hint: `--tensor reads raw little-endian ${dtype}, the type of the network's input, without a header`,
      });
  }
  return files.map((file) => ({
    file,
    read: async () => ({ v: 1, format: 'tensor', dtype, shape: [...shape], d: await readFrame(file), tensors: true }),
  }));
}
