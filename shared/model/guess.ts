import { TesseraError } from '../errors.ts';
import type { Model } from '../onnx/model.ts';
import { resolveModel } from '../onnx/resolve.ts';
import { type ModelCard, parseCard } from './card.ts';
import { guessHead, type Head } from './guess-head.ts';
import { guessPixels } from './guess-pixels.ts';
import { labelsByClass } from './labels.ts';
import { listOfClasses } from './named-labels.ts';

/** A card made from an ONNX file. */
export interface GuessedCard {
  readonly card: ModelCard;
  /** Fields that were guessed because the file does not state them, as paths such as `input.scale`. */
  readonly guessed: readonly string[];
  /** How the outputs are read, in words, where a trial run showed it. */
  readonly taken?: string | undefined;
  /** Observations where the outputs stay raw because no interpretation was certain; one sentence each. */
  readonly known: readonly string[];
}

/** Findings of a trial run of a network. */
export interface TrialFindings {
  readonly head: Head;
  readonly taken?: string | undefined;
  readonly known: readonly string[];
  /** Root mean square of the first layer's output for pixels of 0 to 255. */
  readonly firstLayer: number | undefined;
}

/** Facts that the caller knows and the file does not state. */
export interface GuessOptions {
  /** Shape of the first input, where the file leaves dimensions open. */
  readonly inputShape?: readonly number[] | undefined;
  /** A labels file that lies beside the model. */
  readonly labels?: readonly string[] | undefined;
  /** Without a trial run the guess rests on shapes alone, which many networks share. */
  readonly shown?: TrialFindings | undefined;
}

/** A model's name, derived from its file's name: characters other than letters, digits, _ and - become _. */
export function nameOfFile(fileName: string): string {
  const base = fileName.replace(/^.*[/\\]/, '').replace(/\.onnx$/i, '');
  const name = base.replace(/[^A-Za-z0-9_-]+/g, '_').slice(0, 64);
  return name === '' || /^_+$/.test(name) ? 'model' : name;
}

/** Labels in the metadata of Ultralytics' exports: `names` = "{0: 'person', 1: 'bicycle'}". */
export function namesOf(metadata: ReadonlyMap<string, string>): string[] | undefined {
  const names: string[] = [];
  for (const match of (metadata.get('names') ?? '').matchAll(/(\d+):\s*(?:'([^']*)'|"([^"]*)")/g)) {
    const index = Number(match[1]);
    if (index < 65536) names[index] = match[2] ?? match[3] ?? '';
  }
  return names.length === 0 ? undefined : Array.from(names, (name, index) => name || `class ${index}`);
}

/**
 * Channel order of an input: nchw where the second axis can be channels, nhwc where only the last can. Where both can,
 * it is a guess.
 */
export function channelOrder(
  shape: readonly (number | string)[],
): { layout: 'nchw' | 'nhwc'; certain: boolean } | undefined {
  const isChannels = (size: number | string | undefined) => size === 1 || size === 3;
  if (shape.length !== 4) return undefined;
  if (isChannels(shape[1])) return { layout: 'nchw', certain: !isChannels(shape[3]) };
  if (isChannels(shape[3])) return { layout: 'nhwc', certain: true };
  return undefined;
}

/** The usual resizing: ImageNet's classifiers crop, networks with small inputs do not. */
function resizeOf(task: ModelCard['task'], decoder: string, height: number | undefined): ModelCard['input']['resize'] {
  if (task === 'classify') return (height ?? 224) >= 160 ? 'crop' : 'stretch';
  return /^yolo|^end2end/.test(decoder) ? 'letterbox' : 'stretch';
}

/** The model with inferred output shapes where the file lacks them, as far as they can be inferred. */
function withOutputShapes(model: Model, first: string, shape: readonly number[] | undefined): Model {
  // The batch says nothing about the meaning of an output.
  const isKnown = (sizes: readonly (number | string)[]) => sizes.slice(1).every((size) => typeof size === 'number');
  const isOpen = model.graph.outputs.some((output) => output.shape === undefined || !isKnown(output.shape));
  if (!isOpen || shape === undefined) return model;
  try {
    const { specs } = resolveModel(model, { inputShapes: { [first]: shape } });
    const outputs = model.graph.outputs.map((output) => ({
      ...output,
      shape: specs.get(output.name)?.shape ?? output.shape,
    }));
    return { ...model, graph: { ...model.graph, outputs } };
  } catch {
    return model; // Running the model will report the error.
  }
}

/**
 * Guesses the model.yaml of an ONNX file. Shapes, layout, softmax and metadata come from the file; all other fields are
 * listed in `guessed`. Where the file leaves dimensions open, `input.shape` is left out (the batch is 1);
 * --input-shape, or running the model, then names them. Throws TesseraError TESSERA_MODEL_INVALID for a graph without
 * inputs.
 */
export function guessCard(model: Model, fileName: string, options: GuessOptions = {}): GuessedCard {
  const first = model.graph.inputs[0];
  if (first === undefined) throw new TesseraError('TESSERA_MODEL_INVALID', `${fileName}: the model has no input`);
  const open = first.shape?.map((size, axis) => (axis === 0 && typeof size !== 'number' ? 1 : size));
  const dimensions: readonly (number | string)[] = options.inputShape ?? open ?? [];
  const shape = dimensions.every((size) => typeof size === 'number' && size > 0) ? (dimensions as number[]) : undefined;
  const layout = channelOrder(dimensions);
  const base = { version: 1, name: nameOfFile(fileName), model: fileName.replace(/^.*[/\\]/, '') };
  const facts = {
    ...(model.metadata.has('license') ? { license: model.metadata.get('license') } : {}),
    ...(shape === undefined || shape.length === 0 ? {} : { shape }),
  };
  const { shape: knownShape, ...said } = facts;
  const input = { tensor: first.name, ...(knownShape === undefined ? {} : { shape: knownShape }) };
  if (layout === undefined) {
    const card = parseCard({ ...base, ...said, task: 'raw', input, output: { decoder: 'none' } }, fileName);
    return { card, guessed: ['task'], known: [] };
  }

  const channelsLast = layout.layout === 'nhwc';
  const axis = (index: number) => {
    const size = dimensions[index];
    return typeof size === 'number' ? size : undefined;
  };
  const size = channelsLast
    ? { channels: axis(3)!, height: axis(1), width: axis(2) }
    : { channels: axis(1)!, height: axis(2), width: axis(3) };
  const { shown } = options;
  const head = shown?.head ?? guessHead(withOutputShapes(model, first.name, knownShape), size, channelsLast, fileName);
  const pixels = guessPixels(model, head, size.channels, shown?.firstLayer);
  const given = namesOf(model.metadata) ?? options.labels;
  const named = given && labelsByClass(given, head.classCount ?? 0, head.background);
  const list =
    named === undefined && head.task !== 'segment' ? listOfClasses(head.classCount, head.background) : undefined;
  const labels = named ?? list ?? (/face$/.test(head.decoder) ? ['face'] : undefined);

  const guessed: string[] = [];
  const mark = (certain: boolean, ...fields: string[]) => {
    if (!certain) guessed.push(...fields);
  };
  mark(head.certain, 'task');
  mark(layout.certain, 'input.layout');
  mark(pixels.certain, 'input.color', 'input.scale', 'input.mean', 'input.std');
  mark(false, 'input.resize');
  mark(head.certain, 'output.decoder');
  mark(head.background === null, 'output.background');
  for (const field of ['classes', 'boxes', 'priors', 'fields'] as const)
    mark(head[field] === undefined, `output.${field}`);
  mark(list === undefined, 'labels');

  const { certain: _, ...form } = pixels;
  const card = parseCard(
    {
      ...base,
      ...said,
      task: head.task,
      input: { ...input, layout: layout.layout, ...form, resize: resizeOf(head.task, head.decoder, size.height) },
      output: {
        decoder: head.decoder,
        tensors: head.tensors,
        background: head.background,
        ...(head.classes === undefined ? {} : { classes: head.classes }),
        ...(head.boxes === undefined ? {} : { boxes: head.boxes }),
        ...(head.priors === undefined ? {} : { priors: head.priors }),
        ...(head.fields === undefined ? {} : { fields: [...head.fields] }),
        ...(head.decoder === 'ultraface' ? { score_threshold: 0.7 } : {}),
      },
      ...(labels === undefined ? {} : { labels }),
    },
    fileName,
  );
  return { card, guessed, taken: shown?.taken, known: shown?.known ?? [] };
}
