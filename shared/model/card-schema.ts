import { CODEC_FORMS, isCodec } from '../codec/spec.ts';
import { nearest } from '../nearest.ts';
import { TASKS } from '../protocol/messages/result.ts';
import { isName } from '../protocol/topics.ts';
import { z } from '../schema.ts';
import { BOX_FIELDS, BOX_FORMS } from './heads/box-readers.ts';
import { PRIOR_SETS } from './heads/priors.ts';
import { COLORS, RESIZES } from './picture-placement.ts';

/**
 * The keys of model.yaml. Each has a description, which `tessera schema model` prints and docs/models.md explains; what
 * depends on other keys is checked in `parseCard`.
 */

/** An object whose unknown keys are refused with the nearest known one. */
function strict<T extends z.core.$ZodLooseShape>(shape: T) {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return undefined;
      const key = String((issue as { keys?: readonly string[] }).keys?.[0]);
      const near = nearest(key, known);
      return `unknown key "${key}"${near === undefined ? '' : `, did you mean "${near}"?`}; known keys: ${known.join(', ')}`;
    },
  });
}

const size = z.number().int().positive();
const share = z.number().min(0).max(1);
const tensorName = z.string().min(1);

/** Decoders: the post-processing that turns output tensors into predictions. */
export const DECODERS = [
  'softmax',
  'logits',
  'fastestdet',
  'ultraface',
  'retinaface',
  'yolo',
  'yolov5',
  'yolov8',
  'yolox',
  'end2end',
  'nanodet',
  'ssd',
  'none',
] as const;

const input = strict({
  tensor: tensorName.optional().describe("name of the graph's input; absent: its first"),
  shape: z
    .array(size)
    .min(1)
    .max(8)
    .optional()
    .describe(
      'sizes of the input, [1, 3, 224, 224]; absent: what the file says. Needed where the file leaves some open',
    ),
  layout: z.enum(['nchw', 'nhwc']).default('nchw').describe('where the channels stand: second (nchw) or last (nhwc)'),
  color: z
    .enum(COLORS)
    .optional()
    .describe(
      'channels: rgb, bgr, gray, or y (luma whose colours are put back); absent: gray for one channel, else rgb',
    ),
  resize: z
    .enum(RESIZES)
    .default('stretch')
    .describe(
      'how a picture is resized to the input: crop (its centre), stretch (each axis by itself), letterbox (whole, with a grey border)',
    ),
  crop: z.number().gt(0).max(1).default(0.875).describe('share of the short side that resize: crop keeps'),
  scale: z.number().positive().default(255).describe('a pixel of 0 to 255 becomes (pixel / scale - mean) / std'),
  mean: z
    .array(z.number())
    .default([])
    .describe('subtracted after scaling; one number for each channel in the order of color, one for all, or none (0)'),
  std: z
    .array(z.number().positive())
    .default([])
    .describe('divided by after mean; one number for each channel in the order of color, one for all, or none (1)'),
});

const priorGrid = strict({
  stride: z
    .number()
    .positive()
    .optional()
    .describe("distance of two cells in pixels of the input; absent: the input's side divided by the number of cells"),
  rows: size.max(4096).optional().describe("rows of cells; absent: the input's height divided by stride, rounded up"),
  columns: size.max(4096).optional().describe('columns of cells; absent: as rows'),
  sizes: z
    .array(z.tuple([z.number().positive(), z.number().positive()]))
    .min(1)
    .max(64)
    .describe('width and height of each prior of a cell, in pixels of the input'),
}).refine(
  ({ stride, rows, columns }) => stride !== undefined || (rows !== undefined && columns !== undefined),
  'expected stride, or rows and columns',
);

const output = strict({
  decoder: z
    .enum(DECODERS)
    .optional()
    .describe('decoder of the outputs; absent: the first that suits the task. A detect model must name one'),
  tensors: z
    .array(tensorName)
    .max(16)
    .default([])
    .describe("names of the outputs in the order that the decoder expects; none: the graph's order"),
  score_threshold: share
    .default(0.5)
    .describe('boxes with a lower score are left out; a class with a lower score is not the top prediction'),
  iou_threshold: share
    .default(0.45)
    .describe('a box that overlaps a better one of its class by more is left out (detect)'),
  background: z
    .number()
    .int()
    .nonnegative()
    .nullable()
    .default(null)
    .describe('index of the class that means "nothing" and is never named; null: there is none'),
  classes: size
    .max(65536)
    .optional()
    .describe(
      'number of classes of a yolov5 or yolov8 box where key points or mask weights follow; absent: all that follows',
    ),
  boxes: z
    .enum(BOX_FORMS)
    .optional()
    .describe(
      'meaning of the four numbers of an ssd box; absent: xyxy, or yxyx in an output named detection_boxes. With priors only yxyx changes anything: y comes first',
    ),
  priors: z
    .union([z.enum(PRIOR_SETS), z.array(priorGrid).min(1).max(16)])
    .optional()
    .describe(
      `priors (anchors) of an ssd head whose boxes are offsets from them: ${PRIOR_SETS.join(', ')}, or a list of grids; absent: the graph applies them`,
    ),
  fields: z
    .array(z.enum(BOX_FIELDS))
    .min(5)
    .max(16)
    .optional()
    .describe('meaning of the columns of an end2end box; absent: [x1, y1, x2, y2, score, class]'),
});

const tiles = strict({
  after: tensorName.describe('tensor that ends this tile stage; `tessera model inspect` lists them'),
  grid: z.tuple([size.max(64), size.max(64)]).describe('rows and columns of tiles'),
  padding: z
    .enum(['zero', 'halo'])
    .default('zero')
    .describe(
      'halo: lossless, results equal those of the whole network; zero: each tile alone, for a network that was retrained for it',
    ),
  clip: z
    .tuple([z.number(), z.number()])
    .refine(([low, high]) => low < high, 'expected [low, high] with low < high')
    .optional()
    .describe('bounds to which results are clipped, the same as in retraining; needs bits'),
  bits: z.number().int().min(2).max(8).optional().describe('bits of a clipped result on the wire; needs clip'),
}).refine(({ clip, bits }) => (clip === undefined) === (bits === undefined), 'clip and bits go together');

/** Most entries of a card's `calibrated`. */
export const MAX_CALIBRATED = 64;

/**
 * One calibrated cut of the unmodified network, written by `tessera model calibrate`: its codecs and their effect.
 * Several entries may name the same tensors; a plan takes the one with the fewest bytes that meets the requested
 * agreement.
 */
const calibrated = strict({
  codecs: z
    .record(tensorName, z.string().refine(isCodec, `expected a codec: ${CODEC_FORMS}`))
    .refine((codecs) => Object.keys(codecs).length > 0, 'expected at least one tensor')
    .describe('codec of each live tensor at the cut, as `--codec` takes it'),
  agreement: share.describe(
    'agreement with the uncompressed network. Classifiers: share of pictures whose first answer is the same, the lower end of its 95 % interval; others: 1 less the largest difference of an output, as a share of its range',
  ),
  pictures: size.describe('number of pictures that were measured'),
  bytes: size.describe('bytes a picture that all tiles together send'),
});

const exit = strict({
  tensor: tensorName.describe('output [1, classes], decoded as output.decoder says'),
  threshold: share.describe('a frame ends here when its best class has at least this probability'),
});

/** Schema of model.yaml; `parseCard` also fills what depends on other fields. */
export const cardSchema = strict({
  version: z.literal(1).default(1).describe('version of this format'),
  name: z
    .string()
    .refine(isName, 'expected 1 to 64 of A-Z, a-z, 0-9, _ and -')
    .describe('name of the model in topics, results and --model; 1 to 64 of A-Z, a-z, 0-9, _ and -'),
  model: z.string().min(1).default('model.onnx').describe('file of the network, relative to model.yaml'),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'expected 64 lower-case hex digits')
    .optional()
    .describe('SHA-256 of that file; another file is refused'),
  license: z.string().optional().describe('licence of the network, for people'),
  source: z.string().optional().describe('where the network comes from, for people'),
  note: z.string().max(1024).optional().describe('a note for users, printed when the model is used on pictures'),
  task: z.enum(TASKS).describe('classify, detect, segment, image (a picture comes out), or raw (tensors only)'),
  input: input.prefault({}).describe('preprocessing: the picture that the network expects'),
  output: output.prefault({}).describe('post-processing: how outputs become predictions'),
  labels: z
    .union([z.string().min(1), z.array(z.string().min(1).max(255))])
    .optional()
    .describe(
      'names of the classes: a list, a text file with one a line relative to model.yaml, or a list that comes along: imagenet-1k, imagenet-1001, coco, coco-81',
    ),
  tiles: z.array(tiles).max(16).default([]).describe('tile stages, one after another; none: plans choose'),
  calibrated: z
    .array(calibrated)
    .max(MAX_CALIBRATED)
    .default([])
    .describe('written by `tessera model calibrate`; plans use it where an agreement is requested'),
  exits: z.array(exit).max(16).default([]).describe('early exits'),
  accuracy: z
    .record(z.string(), z.union([z.string(), z.number()]))
    .default({})
    .describe('measured accuracy, for people; nothing reads it'),
});
