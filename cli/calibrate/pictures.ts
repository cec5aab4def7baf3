import type { ServedModel } from '../../central/served-model.ts';
import { pictureFiles } from '../../shared/camera/live/file-source.ts';
import { counted } from '../../shared/counted.ts';
import { TesseraError } from '../../shared/errors.ts';
import { readBytes } from '../../shared/runtime/file.ts';
import { decodeFrame } from '../../shared/runtime/image.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';
import { pictureFrame } from '../frame-files.ts';
import { remembered } from './remembered.ts';

/** Decoded pictures that are kept in memory; others are decoded again at each use. */
const PICTURE_BYTES = 128e6;

/** Pictures in the form of the network's input. */
export interface Pictures {
  readonly count: number;
  readonly skipped: number;
  get(index: number): Promise<Tensor>;
}

/** So many of a list, spread evenly over it: folders are often sorted by class. */
export function spread<T>(list: readonly T[], most: number): T[] {
  if (list.length <= most) return [...list];
  return Array.from({ length: most }, (_, i) => list[Math.floor((i * list.length) / most)]!);
}

/**
 * The pictures of a folder, at most `limit` of them. Those that cannot be read are left out with a warning.
 * Throws TESSERA_USAGE where the folder has none, TESSERA_INPUT_INVALID where none can be read.
 */
export async function openPictures(
  folder: string,
  limit: number,
  { input, card }: ServedModel,
  warn: (text: string) => void,
): Promise<Pictures> {
  const [, height, width] = input.shape;
  const { color, resize, crop } = card.input;
  const decode = async (file: string): Promise<Tensor> => {
    const frame = pictureFrame(await readBytes(file), file);
    const { data } = await decodeFrame(frame, { width: width!, height: height!, color, resize, crop });
    return { dtype: input.dtype, shape: input.shape, data };
  };
  const files = spread(await pictureFiles([folder]), limit);
  const readable: string[] = [];
  const get = remembered(
    PICTURE_BYTES,
    (index) => decode(readable[index]!),
    ({ data }) => data.byteLength,
  );
  for (const file of files) {
    readable.push(file);
    try {
      await get(readable.length - 1);
    } catch (error) {
      readable.pop();
      warn(`warning: ${file} is left out: ${(error as Error).message}`);
    }
  }
  if (readable.length === 0)
    throw new TesseraError(
      'TESSERA_INPUT_INVALID',
      `none of ${counted(files.length, 'picture')} in ${folder} can be read`,
      {
        hint: 'give a folder of JPEG or PNG files like those that the network will process',
      },
    );
  return { count: readable.length, skipped: files.length - readable.length, get };
}
