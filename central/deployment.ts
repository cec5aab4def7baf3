import { TesseraError } from '../shared/errors.ts';
import { channelsOf, type ModelCard, normalisation, pictureShape } from '../shared/model/card.ts';
import type { Model, ResolvedModel } from '../shared/onnx/model.ts';
import { withPreprocessing } from '../shared/onnx/preprocess.ts';
import { resolveModel } from '../shared/onnx/resolve.ts';
import { unknownShapeReason } from '../shared/onnx/unknown-shape.ts';
import type { BlobStore } from '../shared/ports.ts';
import type { ModelManifest } from '../shared/protocol/messages.ts';
import { packModel } from '../shared/runtime/package.ts';
import type { SigningKey } from '../shared/runtime/signature.ts';
import { byteLength, elementCount, type TensorSpec } from '../shared/tensor/tensor.ts';

/** A model ready to be planned and sent: its graph with everything known, and its pieces in the blob store. */
export interface Deployment {
  readonly name: string;
  readonly card: ModelCard;
  readonly labels: readonly string[];
  /** True: frames are pictures and the graph begins with the preparation; false: frames are tensors for the first input. */
  readonly picture: boolean;
  readonly resolved: ResolvedModel;
  readonly manifest: ModelManifest;
  /** SHA-256 that results name as the model's version. */
  readonly version: string;
  readonly input: TensorSpec & { readonly name: string };
  /** The graph's outputs without the exits of model.yaml. */
  readonly outputs: readonly string[];
}

/** What to deploy. `inputShape`: of the first input, where the file and the card leave it open. */
export interface DeployRequest {
  readonly name: string;
  readonly card: ModelCard;
  readonly labels: readonly string[];
  readonly model: Model;
  /** SHA-256 of the model's file, for results; absent: that of the prepared skeleton. */
  readonly sha256?: string | undefined;
  readonly picture: boolean;
  readonly inputShape?: readonly number[] | undefined;
}

/** Bytes of the largest tensor that a frame may have: more is a mistake in a shape, or a trap. */
const MAX_TENSOR_BYTES = 1e9;

/**
 * Fixes the model's shapes, puts the preparation of pictures in front of it, stores its pieces and signs for them.
 * Throws TesseraError: TESSERA_SHAPE, TESSERA_MODEL_INVALID, TESSERA_MODEL_UNSUPPORTED.
 */
export async function deployModel(request: DeployRequest, store: BlobStore, key: SigningKey): Promise<Deployment> {
  const { name, card, labels, picture } = request;
  const first = request.model.graph.inputs[0];
  if (first === undefined) throw new TesseraError('TESSERA_MODEL_INVALID', `model "${name}" has no input`);
  const shape = request.inputShape ?? card.input.shape;
  const options = shape === undefined ? {} : { inputShapes: { [first.name]: shape } };
  let resolved = resolveModel(request.model, options);
  if (picture) {
    const { layout, color } = card.input;
    const { shape: given } = resolved.specs.get(first.name)!;
    const size = pictureShape(given, layout);
    if (size === undefined || size.channels !== channelsOf(color))
      throw new TesseraError(
        'TESSERA_SHAPE',
        `input "${first.name}" [${given.join(', ')}] is not a ${color} picture in layout ${layout}`,
        { hint: 'set input.layout, input.color and input.shape in model.yaml, or send tensors (--tensor)' },
      );
    const { height, width } = size;
    const head = { tensor: first.name, height, width, layout, color, ...normalisation(card.input) };
    resolved = resolveModel(withPreprocessing(resolved, head));
  }
  const { graph } = resolved.model;
  if (graph.inputs.length !== 1)
    throw new TesseraError(
      'TESSERA_MODEL_UNSUPPORTED',
      `model "${name}" has ${graph.inputs.length} inputs: ${graph.inputs.map((value) => value.name).join(', ')}`,
      { hint: 'only models with one input that is not a constant can run' },
    );
  const input = graph.inputs[0]!;
  const exits = card.exits.map(({ tensor }) => tensor);
  const outputs = graph.outputs.map((value) => value.name).filter((output) => !exits.includes(output));
  for (const tensor of [input.name, ...outputs]) {
    const spec = resolved.specs.get(tensor);
    if (spec !== undefined && byteLength(spec) > MAX_TENSOR_BYTES)
      throw new TesseraError(
        'TESSERA_MODEL_UNSUPPORTED',
        `"${tensor}" of model "${name}" is [${spec.shape.join(', ')}], ${byteLength(spec)} bytes; at most ${MAX_TENSOR_BYTES} are handled`,
        { hint: 'give a smaller shape with --input-shape, or mend input.shape in model.yaml' },
      );
  }
  for (const output of outputs)
    if (!resolved.specs.has(output))
      throw new TesseraError(
        'TESSERA_MODEL_UNSUPPORTED',
        `the shape of output "${output}" of model "${name}" cannot be known: ${unknownShapeReason(resolved, output)}`,
        {
          hint:
            'export the network without that part, or cut it off with onnx.utils.extract_model: ' +
            'choosing boxes and the like is done by the task in model.yaml',
        },
      );
  checkExits(request, resolved, outputs);
  const manifest = await packModel({ name, model: resolved.model, store });
  return {
    name,
    card,
    labels,
    picture,
    resolved,
    manifest: { ...manifest, signature: key.sign(manifest) },
    version: request.sha256 ?? manifest.skeleton.sha,
    input: { name: input.name, ...resolved.specs.get(input.name)! },
    outputs,
  };
}

/** Exits answer as the model's output does: one value for each of its classes. Throws TESSERA_MODEL_CARD. */
function checkExits({ name, card }: DeployRequest, { specs }: ResolvedModel, outputs: readonly string[]): void {
  if (card.exits.length === 0) return;
  const refusal = (field: string, fault: string) =>
    new TesseraError('TESSERA_MODEL_CARD', `model "${name}": ${field} ${fault}`, {
      hint: 'mend it in model.yaml; `tessera model inspect` lists the tensors',
    });
  if (outputs.length === 0) throw refusal('exits', 'names every output; the one that all work leads to is none');
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
