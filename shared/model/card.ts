import { CODEC_FORMS, isCodec } from '../codec/spec.ts';
import { TesseraError } from '../errors.ts';
import { nearest } from '../nearest.ts';
import { TASKS } from '../protocol/messages.ts';
import { isName } from '../protocol/topics.ts';
import { z } from '../schema.ts';
import { BOX_FIELDS, BOX_FORMS } from './heads/box-readers.ts';

/**
 * model.yaml: what a network expects and what its outputs mean. The file's name in this code is "card".
 * A pixel becomes `(pixel / scale - mean) / std`, mean and std in the order of `input.color`.
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

/** Order or kind of the channels that the network wants. `gray` and `y` are both the BT.601 luma of full range; `y` marks one whose chroma can be put back. */
export const COLORS = ['rgb', 'bgr', 'gray', 'y'] as const;
/** How a picture is brought to the input's size. */
export const RESIZES = ['crop', 'stretch', 'letterbox'] as const;
/** What turns output tensors into predictions. */
export const DECODERS = [
  'softmax',
  'logits',
  'fastestdet',
  'ultraface',
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
  /** Name of the graph's input; absent: its first. */
  tensor: tensorName.optional(),
  /** Absent: what the file says. */
  shape: z.array(size).min(1).max(8).optional(),
  layout: z.enum(['nchw', 'nhwc']).default('nchw'),
  /** Absent: `gray` for one channel, else `rgb`. */
  color: z.enum(COLORS).optional(),
  resize: z.enum(RESIZES).default('stretch'),
  /** Share of the short side that the centre square keeps, for `resize: crop`. */
  crop: z.number().gt(0).max(1).default(0.875),
  scale: z.number().positive().default(255),
  mean: z.array(z.number()).default([]),
  std: z.array(z.number().positive()).default([]),
});

const output = strict({
  decoder: z.enum(DECODERS).optional(),
  /** Names of the outputs in the order that the decoder wants; empty: the graph's own. */
  tensors: z.array(tensorName).max(16).default([]),
  score_threshold: share.default(0.5),
  iou_threshold: share.default(0.45),
  /** Index of the class that means "nothing". */
  background: z.number().int().nonnegative().nullable().default(null),
  /** How many classes a box has, where further fields follow their scores. */
  classes: size.max(65536).optional(),
  /** What the four numbers of a box are. */
  boxes: z.enum(BOX_FORMS).optional(),
  /** What the columns of a finished box are. */
  fields: z.array(z.enum(BOX_FIELDS)).min(5).max(16).optional(),
});

const tiles = strict({
  after: tensorName,
  grid: z.tuple([size.max(64), size.max(64)]),
  padding: z.enum(['zero', 'halo']).default('zero'),
  clip: z
    .tuple([z.number(), z.number()])
    .refine(([low, high]) => low < high, 'expected [low, high] with low < high')
    .optional(),
  bits: z.number().int().min(2).max(8).optional(),
}).refine(({ clip, bits }) => (clip === undefined) === (bits === undefined), 'clip and bits go together');

/** Settings that a card may have under `calibrated`. */
export const MAX_CALIBRATED = 64;

/**
 * One way to cut the network as it is, and what that costs: written by `tessera model calibrate`. Several of the same
 * tensors are several settings; a plan takes the one with the fewest bytes that holds the bound it was asked for.
 */
const calibrated = strict({
  /** How each tensor at the cut travels, as `--codec` has it. */
  codecs: z
    .record(tensorName, z.string().refine(isCodec, `expected a codec: ${CODEC_FORMS}`))
    .refine((codecs) => Object.keys(codecs).length > 0, 'expected at least one tensor'),
  /**
   * Agreement with the uncompressed network. Classifiers: share of pictures whose first answer is the same; other tasks:
   * 1 less the largest difference of an output, as a share of its range.
   */
  agreement: share,
  /** How many pictures were looked at. */
  pictures: size,
  /** Bytes a picture that all tiles together send. */
  bytes: size,
});

/** Schema of model.yaml; `parseCard` also fills what depends on other fields. */
export const cardSchema = strict({
  version: z.literal(1).default(1),
  name: z.string().refine(isName, 'expected 1 to 64 of A-Z, a-z, 0-9, _ and -'),
  /** File of the network, relative to the card. */
  model: z.string().min(1).default('model.onnx'),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'expected 64 lower-case hex digits')
    .optional(),
  license: z.string().optional(),
  source: z.string().optional(),
  /** What users should know before they trust it; said once when it is used on pictures. */
  note: z.string().max(1024).optional(),
  task: z.enum(TASKS),
  input: input.prefault({}),
  output: output.prefault({}),
  /** A text file with one label a line, relative to the card, or the labels themselves. */
  labels: z.union([z.string().min(1), z.array(z.string().min(1).max(255))]).optional(),
  tiles: z.array(tiles).max(16).default([]),
  calibrated: z.array(calibrated).max(MAX_CALIBRATED).default([]),
  /** Where a frame may end early: tensors [1, classes], read as the output is, and the least probability of the best class. */
  exits: z
    .array(strict({ tensor: tensorName, threshold: share }))
    .max(16)
    .default([]),
  accuracy: z.record(z.string(), z.union([z.string(), z.number()])).default({}),
});

type Parsed = z.infer<typeof cardSchema>;

/** What the network's input wants of a picture. */
export type CardInput = Parsed['input'] & { readonly color: (typeof COLORS)[number] };
/** What makes predictions of the outputs. */
export type CardOutput = Parsed['output'] & { readonly decoder: (typeof DECODERS)[number] };
/** A model.yaml with every default filled in. */
export type ModelCard = Omit<Parsed, 'input' | 'output'> & { readonly input: CardInput; readonly output: CardOutput };

/** Decoders that make sense for a task; the first is the default, and none at all means that it must be said. */
const TASK_DECODERS: Record<Parsed['task'], readonly (typeof DECODERS)[number][]> = {
  classify: ['softmax', 'logits', 'none'],
  detect: DECODERS.filter((name) => name !== 'softmax' && name !== 'logits'),
  segment: ['none'],
  image: ['none'],
  raw: ['none'],
};

function fail(where: string, field: string, problem: string): never {
  throw new TesseraError('TESSERA_MODEL_CARD', `${where}: ${field}: ${problem}`, {
    hint: 'Mend that line; `tessera schema model` lists every field.',
  });
}

/** A value as an error shows it, in one short line. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** The first thing that is wrong as `[field, problem]`, the value given included. */
function firstProblem(error: z.ZodError): readonly [string, string] {
  const issue = error.issues[0]!;
  const field = issue.path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '');
  if (issue.code === 'unrecognized_keys') return [field || 'top level', issue.message];
  if (issue.input === undefined) return [field || 'card', `missing: ${issue.message.replace(/^Invalid input: /, '')}`];
  const accepted = issue.code === 'invalid_union' ? 'expected a file name or a list of names' : issue.message;
  return [field || 'card', `${shown(issue.input)} given: ${accepted}`];
}

/** Number of channels of the prepared picture for a colour. */
export function channelsOf(color: CardInput['color']): 1 | 3 {
  return color === 'rgb' || color === 'bgr' ? 3 : 1;
}

/** Exits are answers of a classifier beside the model's own. */
function checkExits({ exits, task, output }: Parsed, decoder: CardOutput['decoder'], where: string): void {
  if (exits.length > 0 && decoder !== 'softmax' && decoder !== 'logits')
    fail(
      where,
      'exits',
      `only a classify model with decoder softmax or logits can have exits; this is ${task}, ${decoder}`,
    );
  exits.forEach(({ tensor }, index) => {
    if (exits.findIndex((other) => other.tensor === tensor) < index)
      fail(where, `exits[${index}].tensor`, `"${tensor}" given a second time`);
    if (output.tensors.includes(tensor))
      fail(where, `exits[${index}].tensor`, `"${tensor}" is one of output.tensors already`);
  });
}

/** Decoders that read a key of `output`; with another one it would do nothing. */
const READ_BY: Readonly<Record<'classes' | 'boxes' | 'fields', readonly CardOutput['decoder'][]>> = {
  classes: ['yolov5', 'yolov8'],
  boxes: ['ssd'],
  fields: ['end2end'],
};

/** Keys of the output that this card's decoder does not read are refused, and lists of columns without a box. */
function checkOutput({ output }: Parsed, decoder: CardOutput['decoder'], where: string): void {
  for (const [key, decoders] of Object.entries(READ_BY) as [keyof typeof READ_BY, readonly string[]][])
    if (output[key] !== undefined && !decoders.includes(decoder))
      fail(where, `output.${key}`, `does nothing with decoder ${decoder}; it belongs to ${decoders.join(', ')}`);
  const { fields } = output;
  if (fields === undefined) return;
  for (const name of ['x1', 'y1', 'x2', 'y2', 'score'] as const)
    if (!fields.includes(name)) fail(where, 'output.fields', `${shown(fields)} given: "${name}" is missing`);
  const twice = fields.find((name, index) => name !== '-' && fields.indexOf(name) < index);
  if (twice !== undefined) fail(where, 'output.fields', `${shown(fields)} given: "${twice}" is there twice`);
}

/** Channels, height and width of a picture input's shape, or undefined where the rank is not 4. */
export function pictureShape(
  shape: readonly number[],
  layout: 'nchw' | 'nhwc',
): { readonly channels: number; readonly height: number; readonly width: number } | undefined {
  if (shape.length !== 4) return undefined;
  const [, a, b, c] = shape as readonly [number, number, number, number];
  return layout === 'nchw' ? { channels: a, height: b, width: c } : { channels: c, height: a, width: b };
}

/**
 * Validates what model.yaml holds and fills every default. `where` names the file in errors.
 * Throws TesseraError TESSERA_MODEL_CARD that names the field, the value given and what is accepted.
 */
export function parseCard(value: unknown, where: string): ModelCard {
  const result = cardSchema.safeParse(value, { reportInput: true });
  if (!result.success) fail(where, ...firstProblem(result.error));
  const card = result.data;
  const picture = card.input.shape === undefined ? undefined : pictureShape(card.input.shape, card.input.layout);
  const color = card.input.color ?? (picture?.channels === 1 ? 'gray' : 'rgb');
  const channels = channelsOf(color);

  if (card.task !== 'raw' && card.input.shape !== undefined && picture === undefined)
    fail(where, 'input.shape', `${shown(card.input.shape)} given: expected four sizes, as layout ${card.input.layout}`);
  if (card.task !== 'raw' && picture !== undefined && picture.channels !== channels)
    fail(
      where,
      'input.shape',
      `${shown(card.input.shape)} given: layout ${card.input.layout} makes that ${picture.channels} channels, color ${color} has ${channels}`,
    );
  for (const field of ['mean', 'std'] as const) {
    const length = card.input[field].length;
    if (length > 1 && length !== channels)
      fail(where, `input.${field}`, `${shown(card.input[field])} given: expected 1 or ${channels} numbers`);
  }

  const allowed = TASK_DECODERS[card.task];
  const decoder = card.output.decoder ?? (card.task === 'detect' ? undefined : allowed[0]);
  if (decoder === undefined)
    fail(where, 'output.decoder', `missing: a detect model needs one of ${allowed.join(', ')}`);
  if (!allowed.includes(decoder))
    fail(where, 'output.decoder', `"${decoder}" given: task ${card.task} accepts ${allowed.join(', ')}`);
  checkExits(card, decoder, where);
  checkOutput(card, decoder, where);
  return { ...card, input: { ...card.input, color }, output: { ...card.output, decoder } };
}

/**
 * Mean and standard deviation per channel, in the order of `input.color`, with what model.yaml leaves out filled in:
 * `prepared = (pixel / scale - mean[c]) / std[c]`.
 */
export function normalisation(input: CardInput): {
  readonly scale: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
} {
  const channels = channelsOf(input.color);
  const spread = (values: readonly number[], missing: number) =>
    Array.from({ length: channels }, (_, channel) => values[values.length === 1 ? 0 : channel] ?? missing);
  return { scale: input.scale, mean: spread(input.mean, 0), std: spread(input.std, 1) };
}
