import { drawScene } from '../../shared/camera/scenes/scene.ts';
import { pictureShape } from '../../shared/model/card.ts';
import { channelOrder, type GuessedCard, type GuessOptions, guessCard, namesOf } from '../../shared/model/guess.ts';
import { lastOperator, RAW_HEAD } from '../../shared/model/guess-head.ts';
import {
  COMMON_PIXEL_FORMATS,
  guessPixels,
  isPixelFormatKnown,
  type PixelFormat,
} from '../../shared/model/guess-pixels.ts';
import type { TrialOutputs } from '../../shared/model/heads/candidate.ts';
import { selectHead } from '../../shared/model/heads/select-head.ts';
import { lumaOf, type TrialPicture, trialTensor } from '../../shared/model/heads/trial-input.ts';
import { extractSegment } from '../../shared/onnx/extract.ts';
import type { Model, ResolvedModel } from '../../shared/onnx/model.ts';
import { resolveModel } from '../../shared/onnx/resolve.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { machineLimits } from '../../shared/runtime/machine-limits.ts';
import {
  type TrialAnswer,
  type TrialEnd,
  type Trials,
  type TrialTask,
  withTrials,
} from '../../shared/runtime/trial.ts';
import { numbers } from '../../shared/tensor/numbers.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';

/** Seeds of the drawn scenes that are the trial's input. */
const SEEDS = [3_000_005, 3_000_010] as const;
/** Side of a trial picture where the file leaves it open. */
const OPEN_SIDE = 128;
/** Larger inputs are not tried: the trial would take too long. */
const MAX_TRIAL_PIXELS = 4_194_304;

/** A network to be tried, and its input. */
interface Subject {
  readonly path: string;
  readonly model: Model;
  readonly name: string;
  readonly shape: readonly number[];
  readonly input: { readonly dtype: Tensor['dtype']; readonly channels: number; readonly channelsLast: boolean };
  readonly pictures: readonly TrialPicture[];
}

function subjectOf(path: string, model: Model, options: GuessOptions): Subject | undefined {
  const first = model.graph.inputs[0];
  const said =
    options.inputShape ?? first?.shape?.map((size, axis) => (axis === 0 && typeof size !== 'number' ? 1 : size));
  const layout = said === undefined ? undefined : channelOrder(said);
  if (first === undefined || first.dtype === 'other' || said?.[0] !== 1 || layout === undefined) return undefined;
  const shape = said.map((size) => (typeof size === 'number' && size > 0 ? size : OPEN_SIDE));
  const { channels, width, height } = pictureShape(shape, layout.layout)!;
  if (width * height > MAX_TRIAL_PIXELS) return undefined;
  return {
    path,
    model,
    name: first.name,
    shape,
    input: { dtype: first.dtype, channels, channelsLast: layout.layout === 'nhwc' },
    pictures: SEEDS.map((seed) => drawScene(seed, { width, height })),
  };
}

/** A trial of the whole network with each picture in each pixel format. Undefined where its input is no picture. */
function wholeTrial({ path, name, input, pictures }: Subject, forms: readonly PixelFormat[]): TrialTask | undefined {
  const tensors = forms.flatMap((form) => pictures.map((picture) => trialTensor(picture, input, form)));
  const feeds = tensors.flatMap((tensor) => (tensor === undefined ? [] : [[[name, tensor] as const]]));
  return feeds.length < tensors.length ? undefined : { model: path, threads: threads(), feeds };
}

const threads = () => Math.max(1, machineLimits().cores - 1);
const AS_BYTES: PixelFormat = { color: 'rgb', scale: 1, mean: [], std: [], certain: false };

/** A trial of the network up to its first layer, on pixels of 0 to 255. Undefined where it cannot be extracted. */
function firstLayerTrial({ model, name, shape, input, pictures }: Subject): TrialTask | undefined {
  const layer = model.graph.nodes.find(({ op, domain }) => domain === '' && /^(Conv|MatMul|Gemm)$/.test(op));
  const tensor = trialTensor(pictures[0]!, input, AS_BYTES);
  if (layer === undefined || tensor === undefined) return undefined;
  let piece: ResolvedModel;
  try {
    piece = extractSegment(resolveModel(model, { inputShapes: { [name]: shape } }), [name], [layer.outputs[0]!]);
  } catch {
    return undefined; // Running the model reports its faults.
  }
  const weights = [...piece.model.graph.initializers.values()];
  if (weights.some(({ data }) => data.kind === 'external')) return undefined;
  return { model: writeModel(piece.model), threads: threads(), feeds: [[[name, tensor]]] };
}

function strengthOf(answer: TrialAnswer | undefined): number | undefined {
  const tensor = answer !== undefined && 'outputs' in answer ? answer.outputs[0]?.[0]?.[1] : undefined;
  if (tensor === undefined) return undefined;
  const values = numbers(tensor);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! ** 2;
  return Math.sqrt(sum / Math.max(1, values.length));
}

const looksOf = (answer: TrialAnswer): TrialOutputs[] =>
  'outputs' in answer
    ? answer.outputs.map((outputs) =>
        outputs.map(([name, tensor]) => ({ name, dtype: tensor.dtype, shape: tensor.shape, values: numbers(tensor) })),
      )
    : [];

/** Whether every pixel format gives the same outputs, up to a thousandth of their range. */
function isSame(looks: readonly TrialOutputs[], pictures: number): boolean {
  return looks.slice(pictures).every((look, index) => {
    const first = looks[index % pictures]!;
    return look.every(({ values }, output) => {
      const other = first[output]!.values;
      let [most, range] = [0, 1e-6];
      for (let i = 0; i < values.length; i++) {
        most = Math.max(most, Math.abs(values[i]! - other[i]!));
        range = Math.max(range, Math.abs(other[i]!));
      }
      return most <= 1e-3 * range;
    });
  });
}

/** Why a trial has no outputs of its first network. */
function problemOf(end: TrialEnd): string {
  if (end.kind === 'late') return `it took longer than ${end.seconds} s`;
  if (end.kind === 'crashed') return `the runtime ended its process (${end.by})`;
  if (end.kind === 'ended') return end.reason;
  const [answer] = end.answers;
  return answer !== undefined && 'failure' in answer ? answer.failure.message : 'it gave no outputs';
}

/**
 * Guesses the model.yaml of an ONNX file (`guessCard`) and checks the guess by a trial: the network runs on drawn
 * pictures in a process of its own. Where the outputs fit no decoder, or more than one, the card is raw and `known` has the
 * observations. Throws the reason with which `trials` were aborted.
 */
export async function guessByTrial(
  path: string,
  model: Model,
  options: GuessOptions,
  trials?: Trials,
): Promise<GuessedCard> {
  if (trials === undefined) return withTrials({}, (own) => guessByTrial(path, model, options, own));
  const guess = guessCard(model, path, options);
  const subject =
    guess.card.task === 'raw' && guess.card.input.shape?.length !== 4 ? undefined : subjectOf(path, model, options);
  if (subject === undefined) return guess;
  const { color, scale, mean, std } = guess.card.input;
  const form: PixelFormat = { color, scale, mean, std, certain: false };
  const whole = wholeTrial(subject, [form]);
  const layer = firstLayerTrial(subject);
  if (whole === undefined) return guess;
  const end = await trials.run(layer === undefined ? [whole] : [whole, layer]);
  const [answer, layerAnswer] = end.kind === 'answered' ? end.answers : [];
  const firstLayer = strengthOf(layerAnswer);
  const raw = (known: readonly string[]) =>
    guessCard(model, path, { ...options, shown: { head: RAW_HEAD, known, firstLayer } });
  if (answer === undefined || !('outputs' in answer)) {
    // One value for each class is a classifier's output, also where the network could not run on this machine.
    const isSure = guess.card.task === 'classify' || !guess.guessed.includes('output.decoder');
    return isSure
      ? guess
      : raw([`the trial run failed, so the meaning of the outputs is not known: ${problemOf(end)}`]);
  }
  const { channels, channelsLast } = subject.input;
  const { width, height } = subject.pictures[0]!;
  const labels = (namesOf(model.metadata) ?? options.labels ?? []).length;
  const { head, taken, known } = selectHead(looksOf(answer), {
    ...{ width, height, channels, channelsLast, labels },
    fileName: path,
    producer: model.producer,
    metadata: model.metadata,
    lastOperator: (output) => lastOperator(model, output),
    luma: subject.pictures.map(lumaOf),
  });
  const settled = () => guessCard(model, path, { ...options, shown: { head, taken, known, firstLayer } });
  if (isPixelFormatKnown(model, head, firstLayer)) return settled();
  const others =
    channels === 1 ? [] : COMMON_PIXEL_FORMATS.map((form) => ({ ...form, color: 'rgb', certain: false }) as const);
  const wide = wholeTrial(subject, [guessPixels(model, head, channels, firstLayer), ...others]);
  const wideEnd = wide === undefined ? undefined : await trials.run([wide]);
  const [all] = wideEnd?.kind === 'answered' ? wideEnd.answers : [];
  if (all !== undefined && 'outputs' in all && isSame(looksOf(all), subject.pictures.length)) return settled();
  const { decoder, tensors, background, boxes, priors, fields } = head;
  const parts = Object.entries({ decoder, tensors, background, boxes, priors, fields })
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([key, value]) => `${key}: ${Array.isArray(value) ? `[${value.join(', ')}]` : value}`);
  return raw([
    `its numbers fit task: detect, output: {${parts.join(', ')}}`,
    'its pixel scaling is not known, and it changes the boxes: 0 to 1 (scale: 255), -1 to 1 (scale: 127.5, ' +
      "mean: [1]), 0 to 255 (scale: 1), or ImageNet's mean and deviation; with that and the line above the card is complete",
  ]);
}
