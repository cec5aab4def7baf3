import { TesseraError } from '../errors.ts';
import type { FrameMapping, Size } from '../model/picture-placement.ts';
import type { Section } from '../model/sections.ts';
import type { ModelManifest } from '../protocol/messages/control.ts';
import type { FrameEnvelope } from '../protocol/messages/frame.ts';
import { decodeFrame } from '../runtime/image.ts';
import { byteLength, type TensorSpec } from '../tensor/tensor.ts';

/** What frames of a model become. */
export interface FrameInput {
  readonly model: string;
  /** The graph's input. */
  readonly input: TensorSpec & { readonly name: string };
  /** How pictures become it; undefined: frames are tensors. */
  readonly picture: ModelManifest['picture'];
}

/** A decoded frame. */
export interface DecodedInput {
  /** Bytes of the graph's input. */
  readonly data: Uint8Array;
  /** The source picture after EXIF turning, in pixels, and the way back to it from the input's pixels; null for a tensor. */
  readonly source: { readonly width: number; readonly height: number; readonly mapping: FrameMapping } | null;
}

/**
 * Decodes a frame to the input of its model's graph. Throws TESSERA_INPUT_INVALID, also for a picture where the model
 * takes tensors and the other way round, and TESSERA_INPUT_TOO_LARGE. With `sectionOf` only that section of the picture,
 * whose pixels the mapping then leads to.
 */
export async function decodeInput(
  frame: FrameEnvelope,
  { model, input, picture }: FrameInput,
  sectionOf?: (picture: Size) => Section,
): Promise<DecodedInput> {
  if (frame.format !== 'tensor') {
    if (picture === undefined) throw invalid(`model "${model}" takes tensors here, not pictures`);
    const { data, mapping, sourceWidth, sourceHeight } = await decodeFrame(frame, picture, undefined, sectionOf);
    return { data, source: { width: sourceWidth, height: sourceHeight, mapping } };
  }
  if (picture !== undefined)
    throw invalid(
      `model "${model}" takes pictures here, not tensors`,
      'send a JPEG or PNG, or start central with the model in tensor form',
    );
  const { d, dtype = input.dtype, shape = input.shape } = frame;
  const wanted = `"${input.name}" is ${input.dtype} ${input.shape.join('x')}, ${byteLength(input)} bytes`;
  if (d.byteLength !== byteLength(input) || dtype !== input.dtype)
    throw invalid(`the tensor has ${d.byteLength} bytes of ${dtype}; ${wanted}`);
  if (shape.join() !== input.shape.join()) throw invalid(`the tensor is ${shape.join('x')}; ${wanted}`);
  return { data: d, source: null };
}

function invalid(text: string, hint?: string): TesseraError {
  return new TesseraError('TESSERA_INPUT_INVALID', text, hint === undefined ? {} : { hint });
}
