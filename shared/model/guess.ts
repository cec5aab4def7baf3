import { TesseraError } from '../errors.ts';
import type { Model } from '../onnx/model.ts';
import { resolveModel } from '../onnx/resolve.ts';
import { type ModelCard, parseCard } from './card.ts';
import { guessHead } from './guess-head.ts';
import { guessPixels } from './guess-pixels.ts';

/** A card made from an ONNX file. */
export interface GuessedCard {
  readonly card: ModelCard;
  /** Fields whose values the file does not say, as paths such as `input.scale`. */
  readonly guessed: readonly string[];
}

/** What the caller knows better than the file. */
export interface GuessOptions {
  /** Shape of the first input, where the file leaves dimensions open. */
  readonly inputShape?: readonly number[] | undefined;
  /** A labels file that lies beside the model. */
  readonly labels?: string | readonly string[] | undefined;
}

/** A model's name from its file's: what is not a letter, digit, _ or - becomes _. */
export function nameOfFile(fileName: string): string {
  const base = fileName.replace(/^.*[/\\]/, '').replace(/\.onnx$/i, '');
  const name = base.replace(/[^A-Za-z0-9_-]+/g, '_').slice(0, 64);
  return name === '' || /^_+$/.test(name) ? 'model' : name;
}

/** Labels in the metadata of Ultralytics' exports: `names` = "{0: 'person', 1: 'bicycle'}". */
function namesOf(metadata: ReadonlyMap<string, string>): string[] | undefined {
  const names: string[] = [];
  for (const match of (metadata.get('names') ?? '').matchAll(/(\d+):\s*(?:'([^']*)'|"([^"]*)")/g)) {
    const index = Number(match[1]);
    if (index < 65536) names[index] = match[2] ?? match[3] ?? '';
  }
  return names.length === 0 ? undefined : Array.from(names, (name, index) => name || `class ${index}`);
}

/** nchw where the second axis can be channels, nhwc where only the last can; both possible is a guess. */
function layoutOf(shape: readonly (number | string)[]): { layout: 'nchw' | 'nhwc'; certain: boolean } | undefined {
  const isChannels = (size: number | string | undefined) => size === 1 || size === 3;
  if (shape.length !== 4) return undefined;
  if (isChannels(shape[1])) return { layout: 'nchw', certain: !isChannels(shape[3]) };
  if (isChannels(shape[3])) return { layout: 'nhwc', certain: true };
  return undefined;
}

/** Cropping is how ImageNet's networks are used; small pictures come as they are. */
function resizeOf(task: ModelCard['task'], decoder: string, height: number | undefined): ModelCard['input']['resize'] {
  if (task === 'classify') return (height ?? 224) >= 160 ? 'crop' : 'stretch';
  return decoder === 'yolo' ? 'letterbox' : 'stretch';
}

/** The model with the shapes of its outputs inferred, where the file leaves them out and they can be known. */
function withOutputShapes(model: Model, first: string, shape: readonly number[] | undefined): Model {
  // The batch says nothing of what an output means.
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
    return model; // Whoever runs the model says what is wrong with it.
  }
}

/**
 * Writes the model.yaml that an ONNX file most likely needs: shapes, layout, softmax and metadata are taken from the
 * file, all else is named in `guessed`. Dimensions that the file leaves open stay out of `input.shape` as a whole (the
 * batch is 1): --input-shape, or running the model, names them. Throws TesseraError TESSERA_MODEL_INVALID for a graph
 * without inputs.
 */
export function guessCard(model: Model, fileName: string, options: GuessOptions = {}): GuessedCard {
  const first = model.graph.inputs[0];
  if (first === undefined) throw new TesseraError('TESSERA_MODEL_INVALID', `${fileName}: the model has no input`);
  const open = first.shape?.map((size, axis) => (axis === 0 && typeof size !== 'number' ? 1 : size));
  const dimensions: readonly (number | string)[] = options.inputShape ?? open ?? [];
  const shape = dimensions.every((size) => typeof size === 'number' && size > 0) ? (dimensions as number[]) : undefined;
  const layout = layoutOf(dimensions);
  const base = { version: 1, name: nameOfFile(fileName), model: fileName.replace(/^.*[/\\]/, '') };
  const given = {
    ...(model.metadata.has('license') ? { license: model.metadata.get('license') } : {}),
    ...(shape === undefined || shape.length === 0 ? {} : { shape }),
  };
  const { shape: knownShape, ...said } = given;
  const input = { tensor: first.name, ...(knownShape === undefined ? {} : { shape: knownShape }) };
  if (layout === undefined) {
    const card = parseCard({ ...base, ...said, task: 'raw', input, output: { decoder: 'none' } }, fileName);
    return { card, guessed: ['task'] };
  }

  const channelsLast = layout.layout === 'nhwc';
  const axis = (index: number) => {
    const size = dimensions[index];
    return typeof size === 'number' ? size : undefined;
  };
  const size = channelsLast
    ? { channels: axis(3)!, height: axis(1), width: axis(2) }
    : { channels: axis(1)!, height: axis(2), width: axis(3) };
  const head = guessHead(withOutputShapes(model, first.name, knownShape), size, channelsLast, fileName);
  const pixels = guessPixels(model, head, size.channels);
  const labels = namesOf(model.metadata) ?? options.labels;

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
        ...(head.decoder === 'ultraface' ? { score_threshold: 0.7 } : {}),
      },
      ...(labels === undefined ? (head.decoder === 'ultraface' ? { labels: ['face'] } : {}) : { labels }),
    },
    fileName,
  );
  return { card, guessed };
}
