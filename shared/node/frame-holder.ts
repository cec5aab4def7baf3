import { TesseraError } from '../errors.ts';
import type { FrameEnvelope } from '../protocol/messages/frame.ts';
import { wholeBox } from '../tensor/tensor.ts';
import type { Executor } from './executor-types.ts';
import type { Plans } from './plans.ts';
import type { RegionIndex } from './region-index.ts';
import { wireBox } from './tensor-store.ts';

/** What `FrameHolder` needs. `now` is a steady clock, milliseconds. */
export interface FrameHolderOptions {
  readonly plans: Pick<Plans, 'pictureOf'>;
  readonly regions: Pick<RegionIndex, 'open' | 'holds'>;
  readonly executor: Pick<Executor, 'keep'>;
  readonly now: () => number;
}

/** Decodes pictures that are at this node as the inputs of frames, for parts that run here. */
export class FrameHolder {
  readonly #options: FrameHolderOptions;
  /** Pictures that are being decoded, by i_id. */
  readonly #decoding = new Map<string, Promise<void>>();

  constructor(options: FrameHolderOptions) {
    this.#options = options;
  }

  /**
   * Holds a picture as the input of a plan's network, under an i_id, until the frame is freed; once, however often it is
   * called. Throws TESSERA_PLAN_INVALID for a plan that is not prepared here, TESSERA_INPUT_TOO_LARGE where there is no
   * room, and what decoding throws.
   */
  async hold(iId: string, plan: string, frame: FrameEnvelope): Promise<void> {
    const decoding = this.#decoding.get(iId) ?? this.#hold(iId, plan, frame);
    this.#decoding.set(iId, decoding);
    try {
      await decoding;
    } finally {
      this.#decoding.delete(iId);
    }
  }

  async #hold(iId: string, plan: string, frame: FrameEnvelope): Promise<void> {
    const { plans, regions, executor, now } = this.#options;
    const picture = plans.pictureOf(plan);
    if (picture === undefined)
      throw new TesseraError('TESSERA_PLAN_INVALID', `plan ${plan} is not prepared here for pictures`);
    const { tensor, width, height } = picture;
    if (regions.holds(iId, tensor)) return;
    // Loaded with the first picture: most agents never decode one.
    const { decodeFrame } = await import('../runtime/image.ts');
    const { data: d } = await decodeFrame(frame, picture);
    const shape = [1, height, width, d.byteLength / (width * height)];
    const box = wireBox(wholeBox(shape));
    const region = { tensor, box, dtype: 'uint8', shape, codec: { name: 'raw' }, d } as const;
    if (
      !regions.open(iId, plan, { tensor, box, bytes: d.byteLength }, now()) ||
      !executor.keep(iId, undefined, [region])
    )
      throw new TesseraError('TESSERA_INPUT_TOO_LARGE', `there is no room for the ${d.byteLength} bytes of the input`);
  }
}
