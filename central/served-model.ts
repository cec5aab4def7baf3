import { TesseraError } from '../shared/errors.ts';
import { channelsOf, type ModelCard, normalisation, pictureShape } from '../shared/model/card.ts';
import { withComputedOutputs, withoutUnusedInputs } from '../shared/onnx/inputs-outputs.ts';
import type { Model, ResolvedModel } from '../shared/onnx/model.ts';
import { type PreparedInput, withPreprocessing } from '../shared/onnx/preprocess.ts';
import { readModel } from '../shared/onnx/read.ts';
import { asOpaque, resolveModel } from '../shared/onnx/resolve.ts';
import { type TensorNames, withPlainNames } from '../shared/onnx/tensor-names.ts';
import type { CompiledPlan } from '../shared/plan/compiled-plan.ts';
import { MAX_RANK, MAX_STAGE_TENSORS } from '../shared/plan/limits.ts';
import type { BlobStore } from '../shared/ports.ts';
import type { ModelManifest } from '../shared/protocol/messages/control.ts';
import { packSlices } from '../shared/runtime/pack-slices.ts';
import { packModel } from '../shared/runtime/package.ts';
import type { SigningKey } from '../shared/runtime/signature.ts';
import { byteLength, elementCount, type TensorSpec } from '../shared/tensor/tensor.ts';
import type { Change } from './replanner/fleet.ts';

/** A model that is ready to be planned and sent: its graph with all shapes, its pieces in the blob store, its signature. */
export interface ServedModel {
  readonly name: string;
  /** Tensors in it have the names of `resolved`. */
  readonly card: ModelCard;
  readonly labels: readonly string[];
  /**
   * True: frames are pictures and the graph begins with the preprocessing; false: frames are tensors for the first
   * input.
   */
  readonly picture: boolean;
  readonly resolved: ResolvedModel;
  /** Why shapes of the network's operators are not known, where they are left to the runtime. */
  readonly doubt: TesseraError | undefined;
  /** Names that the tensors of `resolved` have in the user's file. */
  readonly names: TensorNames;
  /** The network's own input, as plans name it; where frames are pictures, the graph makes it of `input`. */
  readonly ownInput: string;
  readonly manifest: ModelManifest;
  /** The SHA-256 in results that identifies the model's version. */
  readonly version: string;
  readonly input: TensorSpec & { readonly name: string };
  /** The graph's outputs without the exits of model.yaml. The shape of some may be known only after a run. */
  readonly outputs: readonly string[];
}

/** A plan in use and the model that it cuts. */
export interface ServedPlan {
  readonly compiled: CompiledPlan;
  readonly model: ServedModel;
  /** Why it replaces the plan before it, where it was made while frames flow. */
  readonly changes?: readonly Change[];
}

/** The model with the slices of its weights that parts of a plan read, as blobs, and signed. Throws TESSERA_BLOB. */
export async function withCutWeights(
  model: ServedModel,
  { slices: regions }: CompiledPlan,
  store: BlobStore,
  key: SigningKey,
): Promise<ServedModel> {
  if (regions.length === 0) return model;
  const slices = await packSlices(model.resolved.model, regions, store);
  const manifest = { ...model.manifest, slices };
  return { ...model, manifest: { ...manifest, signature: key.sign(manifest) } };
}

/**
 * The model as nodes read it, whose large weights lie in the store and not in memory: central needs the graph and the
 * shapes.
 */
export async function withStoredWeights(model: ServedModel, store: BlobStore): Promise<ServedModel> {
  const { sha, size } = model.manifest.skeleton;
  return { ...model, resolved: resolveModel(readModel(await store.read(sha, 0, size))) };
}

/** A model to load. `inputShape`: of the first input, where file and card leave it open. */
export interface LoadRequest {
  readonly name: string;
  readonly card: ModelCard;
  readonly labels: readonly string[];
  readonly model: Model;
  /** SHA-256 of the model's file, for results; absent: that of the prepared skeleton. */
  readonly sha256?: string | undefined;
  readonly picture: boolean;
  readonly inputShape?: readonly number[] | undefined;
  /** Interprets no operator: the network then runs whole. Default: only where its shapes cannot be inferred here. */
  readonly opaque?: boolean;
}

/** Most bytes of one tensor of a frame; more is a mistake in a shape, or an attack. */
const MAX_TENSOR_BYTES = 1e9;

/**
 * Resolves the model's shapes, puts the preprocessing of pictures in front of the graph, stores its pieces and signs them.
 * Throws TesseraError: TESSERA_SHAPE, TESSERA_MODEL_INVALID, TESSERA_MODEL_UNSUPPORTED.
 */
export async function loadServedModel(request: LoadRequest, store: BlobStore, key: SigningKey): Promise<ServedModel> {
  const { name, labels, picture } = request;
  const { resolved, names, ownInput, doubt } = preparedNetwork(request);
  const card = withInnerNames(request.card, names);
  const { graph } = resolved.model;
  const input = graph.inputs[0]!;
  const exits = card.exits.map(({ tensor }) => tensor);
  const outputs = graph.outputs.map((value) => value.name).filter((output) => !exits.includes(output));
  checkInputOutputs(name, resolved, names, [input.name, ...outputs]);
  checkExits({ name, card }, resolved, outputs);
  const { color, resize, crop } = card.input;
  const [, height, width] = resolved.specs.get(input.name)!.shape;
  const settings = { tensor: input.name, width: width!, height: height!, color, resize, crop };
  const manifest = await packModel({ name, model: resolved.model, picture: picture ? settings : undefined, store });
  return {
    name,
    card,
    labels,
    picture,
    resolved,
    doubt,
    names,
    ownInput,
    manifest: { ...manifest, signature: key.sign(manifest) },
    version: request.sha256 ?? manifest.skeleton.sha,
    input: { name: input.name, ...resolved.specs.get(input.name)! },
    outputs,
  };
}

/**
 * The network with shapes, one input, and names that are allowed in plans; where frames are pictures, with their
 * preprocessing.
 */
function preparedNetwork(request: LoadRequest): Pick<ServedModel, 'resolved' | 'names' | 'ownInput' | 'doubt'> {
  const { name, card, model, picture, inputShape } = request;
  const used = withoutUnusedInputs(model);
  const first = used.graph.inputs[0];
  if (first === undefined)
    throw new TesseraError(
      'TESSERA_MODEL_UNSUPPORTED',
      `model "${name}" has no input: its outputs are the same for every frame`,
      {
        hint: 'only models with one input that is not a constant can run',
      },
    );
  const { tensor } = card.input;
  if (tensor !== undefined && !model.graph.inputs.some((input) => input.name === tensor))
    throw new TesseraError(
      'TESSERA_MODEL_CARD',
      `model "${name}": input.tensor: the network has no input "${tensor}"`,
      {
        hint: `its inputs are ${model.graph.inputs.map((input) => `"${input.name}"`).join(', ')}`,
      },
    );
  const shape = inputShape ?? card.input.shape;
  const options = shape === undefined ? {} : { inputShapes: { [first.name]: shape } };
  const { resolved: whole, doubt } = understoodOrOpaque(used, options, request.opaque);
  const { resolved: plain, names } = withPlainNames({ ...whole, model: withoutUnusedInputs(whole.model) });
  const { inputs } = plain.model.graph;
  if (inputs.length !== 1)
    throw new TesseraError(
      'TESSERA_MODEL_UNSUPPORTED',
      `model "${name}" has ${inputs.length} inputs: ${inputs.map((value) => value.name).join(', ')}`,
      { hint: 'only models with one input that is not a constant can run' },
    );
  const input = inputs[0]!;
  if (!plain.specs.has(input.name))
    throw new TesseraError(
      'TESSERA_MODEL_UNSUPPORTED',
      `input "${input.name}" of model "${name}" is no tensor of numbers`,
      {
        hint: 'only models whose input is a tensor of numbers can run',
      },
    );
  const framed = picture ? resolveModel(withPreprocessing(plain, pictureInput(card, plain, input.name))) : plain;
  const made = withComputedOutputs(framed);
  // Nodes resolve the model that they get; here the result has to be the same.
  const resolved = made === framed ? framed : resolveModel(made.model);
  return { resolved, names, ownInput: input.name, doubt };
}

/** The model with its shapes. A model with unsupported operators is left to the runtime and can run whole only. */
function understoodOrOpaque(
  model: Model,
  options: Parameters<typeof resolveModel>[1],
  opaque = false,
): Pick<ServedModel, 'resolved' | 'doubt'> {
  if (opaque) return { resolved: resolveModel(asOpaque(model), options), doubt: undefined };
  try {
    return { resolved: resolveModel(model, options), doubt: undefined };
  } catch (error) {
    const isBeyondUs = error instanceof TesseraError && /^TESSERA_(SHAPE|MODEL_UNSUPPORTED)$/.test(error.code);
    if (!isBeyondUs) throw error;
    // Wrong or open shapes of inputs are refused again here.
    return { resolved: resolveModel(asOpaque(model), options), doubt: error };
  }
}

/** Preprocessing of pictures for the network's input. Throws TESSERA_SHAPE where the input is not a picture. */
function pictureInput(card: ModelCard, { specs }: ResolvedModel, tensor: string): PreparedInput {
  const { layout, color } = card.input;
  const { shape } = specs.get(tensor)!;
  const size = pictureShape(shape, layout);
  if (size === undefined || size.channels !== channelsOf(color))
    throw new TesseraError(
      'TESSERA_SHAPE',
      `input "${tensor}" [${shape.join(', ')}] is not a ${color} picture in layout ${layout}`,
      { hint: 'set input.layout, input.color and input.shape in model.yaml, or send tensors (--tensor)' },
    );
  const { height, width } = size;
  return { tensor, height, width, layout, color, ...normalisation(card.input) };
}

/** The card with the tensor names of plans and messages. */
function withInnerNames(card: ModelCard, names: TensorNames): ModelCard {
  if (names.pairs.length === 0) return card;
  const { output, tiles, calibrated, exits } = card;
  return {
    ...card,
    output: { ...output, tensors: output.tensors.map((tensor) => names.inner(tensor)) },
    tiles: tiles.map((tile) => ({ ...tile, after: names.inner(tile.after) })),
    calibrated: calibrated.map((setting) => ({
      ...setting,
      codecs: Object.fromEntries(Object.entries(setting.codecs).map(([tensor, codec]) => [names.inner(tensor), codec])),
    })),
    exits: exits.map((exit) => ({ ...exit, tensor: names.inner(exit.tensor) })),
  };
}

/** Checks that messages can carry the input and outputs. Throws TESSERA_MODEL_UNSUPPORTED. */
function checkInputOutputs(
  name: string,
  resolved: ResolvedModel,
  names: TensorNames,
  tensors: readonly string[],
): void {
  const refusal = (what: string, hint: string) =>
    new TesseraError('TESSERA_MODEL_UNSUPPORTED', `model "${name}": ${what}`, { hint });
  if (tensors.length - 1 > MAX_STAGE_TENSORS)
    throw refusal(
      `it has ${tensors.length - 1} outputs; at most ${MAX_STAGE_TENSORS} are handled`,
      'remove outputs that are not needed',
    );
  for (const tensor of tensors) {
    const spec = resolved.specs.get(tensor);
    const label = `"${shortened(names.original(tensor))}"`;
    if (spec !== undefined && byteLength(spec) > MAX_TENSOR_BYTES)
      throw refusal(
        `${label} is [${spec.shape.join(', ')}], ${byteLength(spec)} bytes; at most ${MAX_TENSOR_BYTES} are handled`,
        'give a smaller shape with --input-shape, or correct input.shape in model.yaml',
      );
    if (spec !== undefined && spec.shape.length > MAX_RANK)
      throw refusal(
        `${label} has ${spec.shape.length} axes; at most ${MAX_RANK} are handled`,
        'reshape it in the network',
      );
    const info = resolved.model.graph.outputs.find((output) => output.name === tensor);
    const isOther = info?.dtype === 'other' && (info.type !== undefined || info.elementType !== 0);
    if (spec === undefined && isOther)
      throw refusal(
        `output ${label} is not a tensor of plain numbers (text, lists and bfloat16 cannot be sent)`,
        'cut it off with onnx.utils.extract_model, or cast it within the network',
      );
  }
}

/** The beginning of a name for an error: converters make names of thousands of characters. */
function shortened(name: string): string {
  return name.length > 80 ? `${name.slice(0, 77)}...` : name;
}

/** Checks that each exit has one value for each class of the model's output. Throws TESSERA_MODEL_CARD. */
function checkExits(
  { name, card }: Pick<LoadRequest, 'name' | 'card'>,
  { specs }: ResolvedModel,
  outputs: readonly string[],
): void {
  if (card.exits.length === 0) return;
  const refusal = (field: string, fault: string) =>
    new TesseraError('TESSERA_MODEL_CARD', `model "${name}": ${field} ${fault}`, {
      hint: 'correct it in model.yaml; `tessera model inspect` lists the tensors',
    });
  if (outputs.length === 0)
    throw refusal('exits', 'names every output; the final output of the network cannot be an exit');
  const answer = card.output.tensors[0] ?? outputs[0]!;
  const main = specs.get(answer);
  if (main === undefined) throw refusal('output.tensors', `names "${answer}", which is no tensor whose shape is known`);
  const classes = elementCount(main.shape);
  for (const [index, { tensor }] of card.exits.entries()) {
    const exit = specs.get(tensor);
    const isAnswer =
      exit !== undefined && elementCount(exit.shape) === classes && exit.shape.filter((size) => size !== 1).length <= 1;
    if (isAnswer) continue;
    const given = exit === undefined ? 'is no tensor whose shape is known' : `is [${exit.shape.join(', ')}]`;
    const wanted = `beside the network's own output, one value for each of its ${classes} classes`;
    throw refusal(`exits[${index}].tensor: "${tensor}"`, `${given}; an exit is, ${wanted}`);
  }
}
