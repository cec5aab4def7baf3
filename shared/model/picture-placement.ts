/**
 * Geometry of resizing a picture to a network's input. All coordinates are continuous: pixel i covers [i, i + 1).
 *
 *   stretch    the whole picture, each axis scaled by itself
 *   crop       the largest centred box of the input's aspect ratio, shrunk by `crop` (for a square input: the centre
 *              square of crop x the short side), scaled to the input
 *   letterbox  the whole picture at one scale, centred; the rest is filled with `LETTERBOX_GRAY`
 */

/** Grey level of the border of a letterboxed picture; the YOLO networks are trained with it. */
export const LETTERBOX_GRAY = 114;

/** Width and height in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/**
 * Channel order, or kind of channel, that the network expects. `gray` and `y` are both the BT.601 luma of full range;
 * with `y` the picture's chroma can be added to the output again.
 */
export const COLORS = ['rgb', 'bgr', 'gray', 'y'] as const;
/** How a picture is resized to the input. */
export const RESIZES = ['crop', 'stretch', 'letterbox'] as const;

/** The network's input as a picture; `crop` only applies to `resize: crop`. */
export interface PictureInput extends Size {
  readonly color: (typeof COLORS)[number];
  readonly resize: (typeof RESIZES)[number];
  readonly crop: number;
}

/** Mapping from pixels of the input to pixels of the source: `source = input * scale + offset`, per axis. */
export interface FrameMapping {
  readonly scaleX: number;
  readonly scaleY: number;
  readonly offsetX: number;
  readonly offsetY: number;
}

/** The mapping of a picture that already has the input's size. */
export const IDENTITY_MAPPING: FrameMapping = { scaleX: 1, scaleY: 1, offsetX: 0, offsetY: 0 };

/** The region to cut out of the source, and its size and position in the input. Whole pixels. */
export interface PicturePlacement {
  readonly cut: Size & { readonly left: number; readonly top: number };
  readonly scaled: Size;
  readonly pad: { readonly left: number; readonly top: number };
  readonly mapping: FrameMapping;
}

/** The shorter side of a picture from which an input of this size can be made without enlarging it, pixels. */
export function neededSide({ width, height, resize, crop }: Size & Pick<PictureInput, 'resize' | 'crop'>): number {
  return Math.ceil(Math.max(width, height) / (resize === 'crop' ? crop : 1));
}

/** Computes the placement of a source picture (after EXIF rotation) in an input. Every size is at least one pixel. */
export function placePicture(source: Size, input: Size & Pick<PictureInput, 'resize' | 'crop'>): PicturePlacement {
  const whole = { left: 0, top: 0, width: source.width, height: source.height };
  if (input.resize === 'letterbox') {
    const factor = Math.min(input.width / source.width, input.height / source.height);
    const scaled = {
      width: clamp(Math.round(source.width * factor), 1, input.width),
      height: clamp(Math.round(source.height * factor), 1, input.height),
    };
    const pad = {
      left: Math.floor((input.width - scaled.width) / 2),
      top: Math.floor((input.height - scaled.height) / 2),
    };
    return { cut: whole, scaled, pad, mapping: mappingOf(whole, scaled, pad) };
  }
  const cut = input.resize === 'stretch' ? whole : centreBox(source, input);
  const scaled = { width: input.width, height: input.height };
  const pad = { left: 0, top: 0 };
  return { cut, scaled, pad, mapping: mappingOf(cut, scaled, pad) };
}

function centreBox(source: Size, input: Size & { readonly crop: number }): PicturePlacement['cut'] {
  const factor = Math.min(source.width / input.width, source.height / input.height) * input.crop;
  const width = clamp(Math.round(input.width * factor), 1, source.width);
  const height = clamp(Math.round(input.height * factor), 1, source.height);
  return {
    left: Math.floor((source.width - width) / 2),
    top: Math.floor((source.height - height) / 2),
    width,
    height,
  };
}

function mappingOf(cut: PicturePlacement['cut'], scaled: Size, pad: PicturePlacement['pad']): FrameMapping {
  const scaleX = cut.width / scaled.width;
  const scaleY = cut.height / scaled.height;
  return { scaleX, scaleY, offsetX: cut.left - pad.left * scaleX, offsetY: cut.top - pad.top * scaleY };
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
