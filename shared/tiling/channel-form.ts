import { TesseraError } from '../errors.ts';
import { nodeMacs } from '../onnx/cost.ts';
import type { Attribute, GraphNode, Initializer } from '../onnx/model.ts';
import { tensorsReadBy } from '../onnx/order.ts';
import { valueInfo } from '../onnx/value-info-proto.ts';
import { constantTensor } from '../onnx/values.ts';
import { type Box, boxShape, byteLength, wholeBox } from '../tensor/tensor.ts';
import type { ChannelNode, ChannelSegment, Reading } from './channel-segment.ts';
import type { PartForm, PartOutline, Region, StageForm } from './form.ts';
import { boundaries } from './grid.ts';
import type { TileCost } from './halo-form.ts';
import { newNode } from './tile-model-builder.ts';
import type { WeightSlice } from './weight-slice.ts';

/** The channels of one part, as a range of the reference output's. */
type Slice = readonly [start: number, end: number];

/** Throws TESSERA_PLAN_INVALID unless `sizes` split the channels of the segment where they can be cut. */
function slicesOf({ reference, channels, step }: ChannelSegment, sizes: readonly number[]): Slice[] {
  const sum = sizes.reduce((all, size) => all + size, 0);
  const refusal = (problem: string, hint: string) => new TesseraError('TESSERA_PLAN_INVALID', problem, { hint });
  if (sum !== channels)
    throw refusal(
      `sizes ${JSON.stringify(sizes)} do not split "${reference}", which has ${channels} channels.`,
      `Give positive whole sizes that add up to ${channels}.`,
    );
  if (sizes.some((size) => size % step !== 0))
    throw refusal(
      `sizes ${JSON.stringify(sizes)} cut "${reference}" where its channels depend on one another.`,
      `Give sizes that are multiples of ${step}, and add up to ${channels}.`,
    );
  const ends = boundaries(sizes);
  return sizes.map((_, i) => [ends[i]!, ends[i + 1]!]);
}

/** A slice as a range of an axis with `size` elements. */
function rangeOf({ channels }: ChannelSegment, [start, end]: Slice, size: number): readonly [number, number] {
  return [(start * size) / channels, (end * size) / channels];
}

/** The region of a tensor that belongs to a slice; all of it where it is read whole. */
function boxOf(segment: ChannelSegment, slice: Slice, tensor: string, reading: Reading): Box {
  const { shape } = segment.resolved.specs.get(tensor)!;
  return wholeBox(shape).map((range, dim) => (dim === reading ? rangeOf(segment, slice, shape[dim]!) : range));
}

/** How an input of the stage travels: only the channels of the part where nothing reads more. */
function inputReading({ readings }: ChannelSegment, input: string): Reading | undefined {
  const [first, ...more] = readings.get(input) ?? [];
  return more.length > 0 ? 'whole' : first;
}

function regionsOf(segment: ChannelSegment, slice: Slice): { in: Region[]; out: Region[] } {
  const region = (tensor: string, reading: Reading): Region => ({
    tensor,
    box: boxOf(segment, slice, tensor, reading),
  });
  return {
    in: segment.inputs.flatMap((input) => {
      const reading = inputReading(segment, input);
      return reading === undefined ? [] : [region(input, reading)];
    }),
    out: segment.outputs.map((output) => region(output, segment.axes.get(output)!)),
  };
}

function macsOf({ resolved, nodes, channels }: ChannelSegment, [start, end]: Slice): number {
  const whole = nodes.reduce((sum, { node }) => sum + nodeMacs(resolved, node), 0);
  return Math.round((whole * (end - start)) / channels);
}

/** The parts of a stage of slices, as `channelForm` compiles them, without their models. Throws as it does. */
export function channelOutlines(segment: ChannelSegment, sizes: readonly number[]): PartOutline[] {
  return slicesOf(segment, sizes).map((slice, t_id) => {
    return { t_id, ...regionsOf(segment, slice), macs: macsOf(segment, slice) };
  });
}

/** What a slice of channels costs; `weight_bytes`: of the weights that a node keeps for it. */
export interface SliceCost extends TileCost {
  readonly weight_bytes: number;
}

/** The costs of slices of these sizes, computed without building their models. Throws as `channelForm` does. */
export function channelCosts(segment: ChannelSegment, sizes: readonly number[]): SliceCost[] {
  const { resolved, readings } = segment;
  const bytes = (regions: readonly Region[]): number =>
    regions.reduce((sum, { tensor, box }) => {
      const { dtype } = resolved.specs.get(tensor)!;
      return sum + byteLength({ dtype, shape: boxShape(box) });
    }, 0);
  const { initializers } = resolved.model.graph;
  const weights = [...readings].filter(([tensor]) => initializers.has(tensor) && resolved.specs.has(tensor));
  return slicesOf(segment, sizes).map((slice) => {
    const regions = regionsOf(segment, slice);
    const kept = weights.flatMap(([tensor, ways]) =>
      [...ways].map((reading) => ({ tensor, box: boxOf(segment, slice, tensor, reading) })),
    );
    return {
      macs: macsOf(segment, slice),
      bytes_in: bytes(regions.in),
      bytes_out: bytes(regions.out),
      weight_bytes: bytes(kept),
    };
  });
}

/** Builds the model of one slice. */
class SliceModel {
  readonly #segment: ChannelSegment;
  readonly #slice: Slice;
  readonly #nodes: GraphNode[] = [];
  readonly #added = new Map<string, Initializer>();
  readonly #slices = new Map<string, WeightSlice>();
  /** Tensors of which the model has only the channels of the slice, under their own names. */
  readonly #narrow: ReadonlySet<string>;
  /** Names of tensors that were cut in the model itself. */
  readonly #cut = new Set<string>();

  constructor(segment: ChannelSegment, slice: Slice) {
    this.#segment = segment;
    this.#slice = slice;
    const made = segment.nodes.flatMap(({ node, rule }) => (rule === undefined ? [] : node.outputs));
    const read = segment.inputs.filter((input) => typeof inputReading(segment, input) === 'number');
    this.#narrow = new Set([...made, ...read]);
  }

  build(): Pick<PartForm, 'model' | 'slices'> {
    const { resolved, nodes, inputs, outputs, readings, axes } = this.#segment;
    for (const each of nodes) this.#add(each);
    const { model, specs } = resolved;
    const initializers = new Map(this.#added);
    for (const name of new Set(this.#nodes.flatMap(tensorsReadBy))) {
      const constant = inputs.includes(name) ? undefined : model.graph.initializers.get(name);
      if (constant !== undefined) initializers.set(name, constant);
    }
    const port = (name: string, reading: Reading) => {
      const box = boxOf(this.#segment, this.#slice, name, reading);
      return valueInfo(name, { dtype: specs.get(name)!.dtype, shape: boxShape(box) });
    };
    const graph = {
      ...model.graph,
      nodes: this.#nodes,
      initializers,
      inputs: inputs.flatMap((name) => (readings.has(name) ? [port(name, inputReading(this.#segment, name)!)] : [])),
      outputs: outputs.map((name) => port(name, axes.get(name)!)),
    };
    return { model: { ...model, graph }, slices: [...this.#slices.values()] };
  }

  #add({ node, rule }: ChannelNode): void {
    if (rule === undefined) {
      this.#nodes.push(node);
      return;
    }
    const inputs = node.inputs.map((input, i) => this.#read(input, rule.inputs[i] ?? 'whole'));
    const attributes = new Map(node.attributes);
    if (rule.groups !== undefined) attributes.set('group', int(rule.groups * this.#share));
    if (rule.reshapes) this.#reshape(node, rule.outputs[0]!, inputs, attributes);
    this.#nodes.push({ ...node, inputs, attributes });
  }

  /** The share of all channels that the slice has. */
  get #share(): number {
    const [start, end] = this.#slice;
    return (end - start) / this.#segment.channels;
  }

  /** Gives a Reshape the shape of the slice: its input 1, before operator set 5 an attribute. */
  #reshape(node: GraphNode, axis: number, inputs: string[], attributes: Map<string, Attribute>): void {
    const [output] = node.outputs;
    const shape = boxShape(boxOf(this.#segment, this.#slice, output!, axis));
    if (attributes.has('shape')) attributes.set('shape', { kind: 'ints', value: shape });
    else inputs[1] = this.#constant(`tessera_shape/${output}`, shape);
  }

  /** The name of a tensor, or of the slice's channels of it. */
  #read(tensor: string, reading: Reading): string {
    if (reading === 'whole' || tensor === '' || this.#narrow.has(tensor)) return tensor;
    const name = `tessera_channels/${reading}/${tensor}`;
    const box = boxOf(this.#segment, this.#slice, tensor, reading);
    const { inputs, resolved } = this.#segment;
    if (resolved.model.graph.initializers.has(tensor) && !inputs.includes(tensor))
      this.#slices.set(name, { name, tensor, box });
    else if (!this.#cut.has(name)) this.#nodes.push(this.#cutNode(tensor, name, reading, box[reading]!));
    this.#cut.add(name);
    return name;
  }

  #cutNode(tensor: string, name: string, axis: number, [start, end]: readonly [number, number]): GraphNode {
    const { opsets } = this.#segment.resolved.model;
    const ints = (value: readonly number[]) => ({ kind: 'ints', value }) as const;
    if ((opsets.get('') ?? opsets.get('ai.onnx') ?? 1) < 10)
      return newNode('Slice', [tensor], [name], { starts: ints([start]), ends: ints([end]), axes: ints([axis]) });
    const bounds = [[start], [end], [axis]].map((values, i) => this.#constant(`tessera_bound${i}/${name}`, values));
    return newNode('Slice', [tensor, ...bounds], [name]);
  }

  #constant(name: string, values: readonly number[]): string {
    this.#added.set(name, constantTensor(name, 'int64', [values.length], values));
    return name;
  }
}

const int = (value: number): Attribute => ({ kind: 'int', value });

/**
 * Compiles a stage that is split into slices of channels, of these sizes: each part computes its channels with its
 * slice of the weights, and its outputs lie side by side on the axis of the channels. Throws TESSERA_PLAN_INVALID
 * where the channels cannot be cut there.
 */
export function channelForm(segment: ChannelSegment, sizes: readonly number[]): StageForm {
  const cut = slicesOf(segment, sizes);
  const parts = channelOutlines(segment, sizes).map((outline, t_id): PartForm => {
    return { ...outline, ...new SliceModel(segment, cut[t_id]!).build(), feeds: [] };
  });
  return { parts, approximate: false };
}
