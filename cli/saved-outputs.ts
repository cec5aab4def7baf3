import { writeFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { classGrid } from '../central/tasks/segment.ts';
import { TesseraError } from '../shared/errors.ts';
import { type ModelCard, pictureShape } from '../shared/model/card.ts';
import { layOver } from '../shared/model/drawing.ts';
import { placePicture } from '../shared/model/picture-placement.ts';
import type { FrameEnvelope } from '../shared/protocol/messages/frame.ts';
import type { OutputsMessage, ResultObject } from '../shared/protocol/messages/result.ts';
import { drawOver, encodePng, hasFonts, pictureSize } from '../shared/runtime/image.ts';
import { makePath } from '../shared/runtime/make-path.ts';
import { npyOf } from '../shared/tensor/npy.ts';
import { boxShape, type Tensor } from '../shared/tensor/tensor.ts';
import { annotatedPicture, screenPicture } from './annotated-picture.ts';
import { colouredPixels } from './output-picture.ts';

/** Files of one name, above which no further number is tried. */
const MAX_SAME = 10_000;

/** A frame and what became of it. */
export interface Answered {
  /** The file that the frame came from. */
  readonly file: string;
  readonly envelope: FrameEnvelope;
  readonly result: ResultObject;
  readonly tensors: OutputsMessage | undefined;
}

/** A file's name without its ending and with nothing that another system's file names may not hold. */
export function safeStem(file: string): string {
  const name = basename(file, extname(file)).replace(/[^A-Za-z0-9._-]+/g, '_');
  return name.replace(/^\.+/, '').slice(0, 80) || 'frame';
}

/**
 * Writes the outputs of frames into a folder, for people to look at:
 *
 *   NAME.annotated.jpg   the picture with boxes or labels (classify, detect)
 *   NAME.mask.png        class numbers of the pixels (segment), and NAME.overlay.jpg their colours over the picture
 *   NAME.output.png      the picture that the network made (image)
 *   NAME.TENSOR.npy      the outputs (raw, and frames that are tensors)
 *
 * An existing file is never overwritten: the new one gets a number.
 */
export class SavedOutputs {
  readonly #folder: string;
  readonly #card: ModelCard | undefined;
  readonly #note: (text: string) => void;
  #noted = new Set<string>();

  constructor(folder: string, card: ModelCard | undefined, note: (text: string) => void) {
    this.#folder = folder;
    this.#card = card;
    this.#note = note;
  }

  /** Makes the folder. Throws TESSERA_USAGE where that cannot be. */
  static async open(folder: string, card: ModelCard | undefined, note: (text: string) => void): Promise<SavedOutputs> {
    try {
      makePath(folder);
    } catch (cause) {
      throw unwritable(folder, cause as Error);
    }
    return new SavedOutputs(folder, card, note);
  }

  /** Writes the files of a frame and returns their paths; none for a frame that failed. */
  async save(answered: Answered): Promise<string[]> {
    const { envelope, result, tensors } = answered;
    if (result.status === 'error') return [];
    const outputs = (tensors?.outputs ?? []).map(({ tensor, dtype, box, d }) => ({
      name: tensor,
      tensor: { dtype, shape: boxShape(box), data: d } as Tensor,
    }));
    const isPicture = envelope.format === 'jpeg' || envelope.format === 'png';
    const stem = safeStem(answered.file);
    if (isPicture && (result.task === 'classify' || result.task === 'detect'))
      return [await this.#write(stem, 'annotated.jpg', await this.#annotated(envelope.d, result))];
    if (isPicture && result.task === 'segment') return this.#segments(stem, envelope.d, outputs[0]?.tensor);
    if (isPicture && result.task === 'image' && outputs[0] !== undefined) {
      const picture = await colouredPixels(outputs[0].tensor, this.#card, envelope.d);
      if (picture !== undefined)
        return [await this.#write(stem, 'output.png', await encodePng(picture.pixels, picture, picture.channels))];
    }
    const paths: string[] = [];
    for (const { name, tensor } of outputs)
      paths.push(await this.#write(stem, `${name.replace(/[^A-Za-z0-9_-]+/g, '_').slice(0, 80)}.npy`, npyOf(tensor)));
    return paths;
  }

  async #annotated(bytes: Uint8Array, { predictions }: ResultObject): Promise<Uint8Array> {
    if (!this.#noted.has('fonts')) {
      this.#noted.add('fonts');
      if (!(await hasFonts())) this.#note('note: this machine has no fonts, so the pictures have boxes without labels');
    }
    return annotatedPicture(bytes, predictions);
  }

  async #segments(stem: string, bytes: Uint8Array, tensor: Tensor | undefined): Promise<string[]> {
    const card = this.#card;
    const grid = tensor === undefined ? undefined : classGrid(tensor, card?.input.layout ?? 'nchw');
    if (grid === undefined) return [];
    const { rows, columns, classes } = grid;
    const pixels = Uint8Array.from(classes, (index) => Math.min(255, Math.max(0, index)));
    const paths = [await this.#write(stem, 'mask.png', await encodePng(pixels, { width: columns, height: rows }, 1))];
    const input = card?.input.shape === undefined ? undefined : pictureShape(card.input.shape, card.input.layout);
    if (card === undefined || input === undefined) {
      if (!this.#noted.has('overlay')) {
        this.#noted.add('overlay');
        this.#note('note: masks are not drawn over their pictures: the preprocessing of the model is unknown here');
      }
      return paths;
    }
    const { rgb, scale, ...size } = await screenPicture(bytes);
    const { mapping } = placePicture(await pictureSize(bytes), {
      ...input,
      resize: card.input.resize,
      crop: card.input.crop,
    });
    const laid = layOver({ rgb, ...size }, grid, { input, mapping, scale, plain: card.output.background ?? 0 });
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${size.height}"/>`;
    return [...paths, await this.#write(stem, 'overlay.jpg', await drawOver(laid, size, svg))];
  }

  async #write(stem: string, ending: string, bytes: Uint8Array): Promise<string> {
    for (let number = 1; number <= MAX_SAME; number++) {
      const path = join(this.#folder, `${stem}${number === 1 ? '' : `-${number}`}.${ending}`);
      try {
        await writeFile(path, bytes, { flag: 'wx' });
        return path;
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw unwritable(path, cause as Error);
      }
    }
    throw new TesseraError('TESSERA_USAGE', `${this.#folder} holds ${MAX_SAME} files of the name ${stem}.${ending}`, {
      hint: 'name another folder',
    });
  }
}

function unwritable(path: string, cause: Error): TesseraError {
  return new TesseraError('TESSERA_USAGE', `--save: ${path} cannot be written: ${cause.message}`, {
    cause,
    hint: 'name a folder that can be made or written to, on a disk with room',
  });
}
