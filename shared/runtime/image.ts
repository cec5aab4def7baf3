import sharp, { type Sharp } from 'sharp';
import { TesseraError } from '../errors.ts';
import { adviceFor, describeBytes, isAnimatedPng, payloadKind } from '../model/payload-kind.ts';
import {
  type FrameMapping,
  LETTERBOX_GRAY,
  type PictureInput,
  type PicturePlacement,
  placePicture,
  type Size,
} from '../model/picture-placement.ts';
import type { Section } from '../model/sections.ts';
import type { FrameEnvelope } from '../protocol/messages/frame.ts';
import { WeightedSemaphore } from './weighted-semaphore.ts';

export type { FrameMapping } from '../model/picture-placement.ts';

/*
 * sharp, imported here and nowhere else. Frames are untrusted: only the JPEG and PNG loaders are enabled, nothing is
 * cached, pixels and time are bounded. Embedded ICC profiles are ignored, as in the programs that networks are trained
 * with; transparency is blended with white, as on a page.
 */
sharp.cache(false);
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({ operation: ['VipsForeignLoadJpegBuffer', 'VipsForeignLoadPngBuffer'] });

/** Limits of a frame. */
export interface FrameLimits {
  /** Width x height of the received picture. */
  readonly maxPixels: number;
  /** Its longer side: a strip of one pixel by millions takes seconds, or a gigabyte, to scale. */
  readonly maxSide: number;
}

/** 50 megapixels, more than any camera of a phone or a house has; sides as of the widest panoramas. */
export const FRAME_LIMITS: FrameLimits = { maxPixels: 50_000_000, maxSide: 32_768 };

/** A frame of pixels: JPEG or PNG bytes, or raw pixels [h, w, c]; a `FrameEnvelope` without tensors. */
export type PictureFrame = Pick<FrameEnvelope, 'format' | 'dtype' | 'shape' | 'd'>;

/** A picture in the network's size. */
export interface DecodedFrame {
  /** uint8 [h, w, c] of the input's size: R, G, B whatever the input's order is (the graph swaps), or one luma channel. */
  readonly data: Uint8Array;
  /** Size of the received picture, after EXIF rotation. */
  readonly sourceWidth: number;
  readonly sourceHeight: number;
  readonly mapping: FrameMapping;
}

const WHITE = { r: 255, g: 255, b: 255 };
/** The matrix that swaps red and blue. */
const SWAPPED: [[number, number, number], [number, number, number], [number, number, number]] = [
  [0, 0, 1],
  [0, 1, 0],
  [1, 0, 0],
];
/** A decoder that takes longer got a picture that was made to keep it busy. */
const TIMEOUT_S = 20;

function invalid(
  problem: string,
  cause?: unknown,
  hint = 'send a whole JPEG or PNG picture, or raw pixels in an envelope',
): TesseraError {
  return new TesseraError('TESSERA_INPUT_INVALID', problem, { hint, cause });
}

/** Throws TESSERA_INPUT_TOO_LARGE for a picture beyond the limits. */
function checkSize({ width, height }: Size, { maxPixels, maxSide }: FrameLimits): void {
  if (width * height <= maxPixels && Math.max(width, height) <= maxSide) return;
  throw new TesseraError(
    'TESSERA_INPUT_TOO_LARGE',
    `the picture has ${width}x${height} pixels; at most ${maxPixels} are accepted, and ${maxSide} along a side`,
    { hint: 'send a smaller picture' },
  );
}

/**
 * Most pixels of encoded pictures that are decoded at a time. Interlaced and progressive files need at least 3 bytes
 * per pixel while they are decoded, so large ones take turns.
 */
const decoders = new WeightedSemaphore(64_000_000);

/** A picture before decoding: how to open it, and its size after EXIF rotation. */
interface Source extends Size {
  readonly open: () => Sharp;
  readonly jpeg: boolean;
}

async function openEncoded(bytes: Uint8Array, limits: FrameLimits): Promise<Source> {
  const kind = payloadKind(bytes);
  if (kind !== 'jpeg' && kind !== 'png')
    throw invalid(`the frame is ${describeBytes(bytes)}, not a JPEG or PNG`, undefined, adviceFor(bytes, 'message'));
  if (kind === 'png' && isAnimatedPng(bytes)) throw invalid('the frame is an animated PNG');
  const open = () => sharp(bytes, { failOn: 'error', limitInputPixels: false, ignoreIcc: true, autoOrient: true });
  try {
    const { autoOrient } = await open().metadata();
    const size = { width: autoOrient.width, height: autoOrient.height };
    checkSize(size, limits);
    return { ...size, open, jpeg: kind === 'jpeg' };
  } catch (error) {
    throw error instanceof TesseraError ? error : unreadable(kind, error);
  }
}

function openRaw(frame: PictureFrame, limits: FrameLimits): Source {
  const channels = frame.format === 'gray' ? 1 : 3;
  const [height = 0, width = 0, given = 1] = frame.shape ?? [];
  const rank = frame.shape?.length ?? 0;
  if (width < 1 || height < 1 || given !== channels || rank < 2 || rank > 3)
    throw invalid(`a raw ${frame.format} frame needs shape [height, width, ${channels}], not [${frame.shape ?? ''}]`);
  if (frame.dtype !== undefined && frame.dtype !== 'uint8')
    throw invalid(`a raw ${frame.format} frame has uint8 values, not ${frame.dtype}`);
  checkSize({ width, height }, limits);
  if (frame.d.byteLength !== width * height * channels)
    throw invalid(
      `the raw ${frame.format} frame has ${frame.d.byteLength} bytes; ${height}x${width}x${channels} are ${width * height * channels}`,
    );
  return { width, height, jpeg: false, open: () => sharp(frame.d, { raw: { width, height, channels } }) };
}

function unreadable(kind: string, error: unknown): TesseraError {
  const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
  return invalid(`the ${kind} frame cannot be read: ${reason}`, error);
}

/**
 * A JPEG that shrinks by two or more is scaled as a whole and cropped afterwards: the decoder then skips most of its
 * work (4.8 instead of 8.1 ms for 1080p to 224, and more for larger pictures). The crop moves by less than a pixel of
 * the input; the mapping has its exact position.
 */
function scaleThenCut(source: Source, input: Size, { cut }: PicturePlacement) {
  const whole = {
    width: Math.max(input.width, Math.round((source.width * input.width) / cut.width)),
    height: Math.max(input.height, Math.round((source.height * input.height) / cut.height)),
  };
  const left = Math.floor((whole.width - input.width) / 2);
  const top = Math.floor((whole.height - input.height) / 2);
  const scaleX = source.width / whole.width;
  const scaleY = source.height / whole.height;
  return { whole, left, top, mapping: { scaleX, scaleY, offsetX: left * scaleX, offsetY: top * scaleY } };
}

/** A pipeline for a picture of `scaled` size, and its position in the input. */
interface Arranged extends Pick<PicturePlacement, 'scaled' | 'pad' | 'mapping'> {
  readonly pipeline: Sharp;
}

/** The triangle kernel is what PIL calls bilinear; it reproduces the published accuracies (`npm run bench -- accuracy`). */
function arrange(source: Source, input: PictureInput, section: Section): Arranged {
  const isWhole = section.width === source.width && section.height === source.height;
  const placement = placePicture(section, input);
  const { cut, scaled } = placement;
  const resize = { fit: 'fill', kernel: 'linear' } as const;
  if (cut.width === source.width && cut.height === source.height)
    return { ...placement, pipeline: source.open().resize({ ...resize, ...scaled }) };
  if (isWhole && source.jpeg && Math.min(cut.width / scaled.width, cut.height / scaled.height) >= 2) {
    const { whole, left, top, mapping } = scaleThenCut(source, input, placement);
    const pipeline = source
      .open()
      .resize({ ...resize, ...whole })
      .extract({ left, top, width: input.width, height: input.height });
    return { ...placement, pipeline, mapping };
  }
  // The option autoOrient rotates after cropping; the call before `extract` makes sharp rotate first.
  const pipeline = source
    .open()
    .autoOrient()
    .extract({ ...cut, left: section.left + cut.left, top: section.top + cut.top })
    .resize({ ...resize, ...scaled });
  return { ...placement, pipeline };
}

/** BT.601 luma of full range, as in JFIF: 0.299 R + 0.587 G + 0.114 B, rounded. */
function luma(red: number, green: number, blue: number): number {
  return (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16;
}

/** Copies scaled RGB pixels into the input: as luma for one channel, with grey around a letterboxed picture. */
function fillInput(rgb: Uint8Array, arranged: Arranged, input: PictureInput, swap: boolean): Uint8Array {
  const { scaled, pad } = arranged;
  const single = input.color === 'gray' || input.color === 'y';
  const channels = single ? 1 : 3;
  const filled = scaled.width === input.width && scaled.height === input.height;
  if (filled && !single && !swap) return rgb;
  const data = new Uint8Array(input.width * input.height * channels).fill(filled ? 0 : LETTERBOX_GRAY);
  const [red, blue] = swap ? [2, 0] : [0, 2];
  let from = 0;
  for (let y = 0; y < scaled.height; y++) {
    let to = ((y + pad.top) * input.width + pad.left) * channels;
    if (!single && !swap) {
      data.set(rgb.subarray(from, from + scaled.width * 3), to);
      from += scaled.width * 3;
      continue;
    }
    for (let x = 0; x < scaled.width; x++, from += 3) {
      const r = rgb[from + red]!;
      const g = rgb[from + 1]!;
      const b = rgb[from + blue]!;
      if (single) data[to++] = luma(r, g, b);
      else {
        data[to++] = r;
        data[to++] = g;
        data[to++] = b;
      }
    }
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

async function openFrame(frame: PictureFrame, limits: FrameLimits): Promise<Source> {
  if (frame.format === 'tensor') throw invalid('the frame is a tensor, not a picture');
  return frame.format === 'jpeg' || frame.format === 'png' ? openEncoded(frame.d, limits) : openRaw(frame, limits);
}

/**
 * A copy in memory of its own: that of native code cannot be moved to another thread. sharp's own copy
 * (`toUint8Array`, seen in 0.35.5) leaves the memory of each picture behind.
 */
function ownBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** Pixels [h, w, 3] of a pipeline, in the frame's order of channels. */
async function rgbOf({ format, d }: PictureFrame, source: Size, pipeline: Sharp): Promise<Uint8Array> {
  try {
    const { data, info } = await decoders.run(source.width * source.height, () =>
      pipeline
        .flatten({ background: WHITE })
        .toColourspace('srgb')
        .timeout({ seconds: TIMEOUT_S })
        .raw({ depth: 'uchar' })
        .toBuffer({ resolveWithObject: true }),
    );
    if (info.channels !== 3) throw new Error(`${info.channels} channels after conversion to RGB`);
    return ownBytes(data);
  } catch (error) {
    throw unreadable(payloadKind(d) ?? format, error);
  }
}

/**
 * Preprocesses a frame to pixels of the network's input: rotated by EXIF, cropped, scaled, flattened, 8 bits per
 * channel. `frame` is a file's bytes or a picture envelope. Throws TesseraError TESSERA_INPUT_INVALID for anything but
 * a complete still JPEG or PNG, TESSERA_INPUT_TOO_LARGE for more pixels than `limits` allows (before they are decoded).
 * With `sectionOf` only that section of the picture, whose pixels the mapping then leads to.
 */
export async function decodeFrame(
  frame: Uint8Array | PictureFrame,
  input: PictureInput,
  limits: FrameLimits = FRAME_LIMITS,
  sectionOf: (picture: Size) => Section = ({ width, height }) => ({ left: 0, top: 0, width, height }),
): Promise<DecodedFrame> {
  const picture: PictureFrame = frame instanceof Uint8Array ? { format: 'jpeg', d: frame } : frame;
  const source = await openFrame(picture, limits);
  const arranged = arrange(source, input, sectionOf({ width: source.width, height: source.height }));
  const rgb = await rgbOf(picture, source, arranged.pipeline);
  return {
    data: fillInput(rgb, arranged, input, picture.format === 'bgr'),
    sourceWidth: source.width,
    sourceHeight: source.height,
    mapping: arranged.mapping,
  };
}

/**
 * A JPEG of a picture, with no side above `side` pixels; `quality` 1 to 100. Throws as `decodeFrame` does.
 */
export async function thumbnail(frame: PictureFrame, side: number, quality: number): Promise<Uint8Array> {
  const { format, d } = frame;
  if (format === 'tensor') throw invalid('the frame is a tensor, not a picture');
  const isFile = format === 'jpeg' || format === 'png';
  const source = isFile ? await openEncoded(d, FRAME_LIMITS) : openRaw(frame, FRAME_LIMITS);
  const opened = format === 'bgr' ? source.open().recomb(SWAPPED) : source.open();
  return decoders.run(source.width * source.height, () =>
    opened
      .resize({ width: side, height: side, fit: 'inside', withoutEnlargement: true })
      .flatten({ background: WHITE })
      .toColourspace('srgb')
      .timeout({ seconds: TIMEOUT_S })
      .jpeg({ quality })
      .toBuffer()
      .then(ownBytes),
  );
}

/** A JPEG of RGB pixels [height, width, 3]; `quality` 1 to 100. */
export async function encodeJpeg(rgb: Uint8Array, width: number, height: number, quality: number): Promise<Uint8Array> {
  const jpeg = await sharp(rgb, { raw: { width, height, channels: 3 } })
    .jpeg({ quality })
    .toBuffer();
  return ownBytes(jpeg);
}

/** Width and height of a JPEG or PNG after EXIF turning. Throws as `decodeFrame` does. */
export async function pictureSize(bytes: Uint8Array, limits: FrameLimits = FRAME_LIMITS): Promise<Size> {
  const { width, height } = await openEncoded(bytes, limits);
  return { width, height };
}

/** Width and height of a frame after EXIF turning. Throws as `decodeFrame` does. */
export async function frameSize(frame: PictureFrame, limits: FrameLimits = FRAME_LIMITS): Promise<Size> {
  const { width, height } = await openFrame(frame, limits);
  return { width, height };
}

/** RGB pixels [height, width, 3] of a region of a frame, scaled to `size`. Throws as `decodeFrame` does. */
export async function decodeRegion(
  frame: PictureFrame,
  region: Size & { readonly left: number; readonly top: number },
  size: Size,
): Promise<Uint8Array> {
  const source = await openFrame(frame, FRAME_LIMITS);
  const pipeline = source
    .open()
    .autoOrient()
    .extract(region)
    .resize({ fit: 'fill', kernel: 'linear', ...size });
  const pixels = await rgbOf(frame, source, pipeline);
  if (frame.format !== 'bgr') return pixels;
  for (let i = 0; i < pixels.length; i += 3) [pixels[i], pixels[i + 2]] = [pixels[i + 2]!, pixels[i]!];
  return pixels;
}

/** A PNG of pixels [height, width, channels]. */
export async function encodePng(pixels: Uint8Array, { width, height }: Size, channels: 1 | 3): Promise<Uint8Array> {
  return sharp(pixels, { raw: { width, height, channels } })
    .toColourspace(channels === 1 ? 'b-w' : 'srgb')
    .png()
    .toBuffer();
}

/**
 * SVG is enabled for Tessera's own drawings only; frames are identified by their first bytes before they reach sharp.
 */
function allowDrawings(): void {
  sharp.unblock({ operation: ['VipsForeignLoadSvgBuffer'] });
}

/** A JPEG of RGB pixels [height, width, 3] with an SVG of the same size drawn over them. */
export async function drawOver(rgb: Uint8Array, { width, height }: Size, svg: string): Promise<Uint8Array> {
  allowDrawings();
  const picture = sharp(rgb, { raw: { width, height, channels: 3 } }).composite([{ input: Buffer.from(svg) }]);
  return picture.jpeg({ quality: 90 }).toBuffer();
}

/** Whether this machine has a font, without which drawings have no text. */
export async function hasFonts(): Promise<boolean> {
  allowDrawings();
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24"><text x="2" y="20" font-size="20">M</text></svg>';
  const { channels } = await sharp(Buffer.from(svg)).stats();
  return (channels.at(-1)?.max ?? 0) > 0;
}
