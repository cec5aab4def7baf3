import { TesseraError } from '../errors.ts';
import type { z } from '../schema.ts';
import { cardSchema, DECODERS } from './card-schema.ts';
import { PLACE_FIELDS } from './heads/box-readers.ts';

/**
 * model.yaml: a network's preprocessing and post-processing. This code calls the file a card. A pixel becomes `(pixel /
 * scale - mean) / std`, with mean and std in the order of `input.color`.
 */

type Parsed = z.infer<typeof cardSchema>;

/** Preprocessing: the picture that the network's input expects. */
export type CardInput = Parsed['input'] & { readonly color: NonNullable<Parsed['input']['color']> };
/** Post-processing: how outputs become predictions. */
export type CardOutput = Parsed['output'] & { readonly decoder: (typeof DECODERS)[number] };
/** A model.yaml with every default filled in. */
export type ModelCard = Omit<Parsed, 'input' | 'output'> & { readonly input: CardInput; readonly output: CardOutput };

/** Decoders that suit each task. The first is the default; an empty first means that the card must name one. */
const TASK_DECODERS: Record<Parsed['task'], readonly (typeof DECODERS)[number][]> = {
  classify: ['softmax', 'logits', 'none'],
  detect: DECODERS.filter((name) => name !== 'softmax' && name !== 'logits'),
  segment: ['none'],
  image: ['none'],
  raw: ['none'],
};

function fail(where: string, field: string, problem: string): never {
  throw new TesseraError('TESSERA_MODEL_CARD', `${where}: ${field}: ${problem}`, {
    hint: 'Correct that line; `tessera schema model` lists every field.',
  });
}

/** A value for an error message, in one short line. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** The first problem as `[field, problem]`, with the given value. */
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

/** Checks the early exits: each is an output of a classifier beside the model's own. */
function checkExitTensors({ exits, task, output }: Parsed, decoder: CardOutput['decoder'], where: string): void {
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

/** Decoders that read each optional key of `output`; with other decoders the key would have no effect. */
const READ_BY: Readonly<Record<'classes' | 'boxes' | 'priors' | 'fields', readonly CardOutput['decoder'][]>> = {
  classes: ['yolov5', 'yolov8'],
  boxes: ['ssd'],
  priors: ['ssd'],
  fields: ['end2end'],
};

/** Refuses keys of `output` that the card's decoder does not read, and lists of columns without a box. */
function checkOutput({ output }: Parsed, decoder: CardOutput['decoder'], where: string): void {
  for (const [key, decoders] of Object.entries(READ_BY) as [keyof typeof READ_BY, readonly string[]][])
    if (output[key] !== undefined && !decoders.includes(decoder))
      fail(where, `output.${key}`, `has no effect with decoder ${decoder}; it belongs to ${decoders.join(', ')}`);
  const { fields } = output;
  if (fields === undefined) return;
  const [corners, centre] = PLACE_FIELDS;
  const place = centre.some((name) => fields.includes(name)) ? centre : corners;
  for (const name of [...place, 'score'] as const)
    if (!fields.includes(name)) fail(where, 'output.fields', `${shown(fields)} given: "${name}" is missing`);
  const other = place === centre ? corners.find((name) => fields.includes(name)) : undefined;
  if (other !== undefined) fail(where, 'output.fields', `${shown(fields)} given: "${other}" beside a centre`);
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
 * Validates the content of model.yaml and fills in every default. `where` names the file in errors. Throws TesseraError
 * TESSERA_MODEL_CARD with the field, the given value and the accepted ones.
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
  checkExitTensors(card, decoder, where);
  checkOutput(card, decoder, where);
  return { ...card, input: { ...card.input, color }, output: { ...card.output, decoder } };
}

/**
 * Mean and standard deviation per channel, in the order of `input.color`, with defaults filled in: `preprocessed =
 * (pixel / scale - mean[c]) / std[c]`.
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
