import { counted } from '../shared/counted.ts';
import { TesseraError } from '../shared/errors.ts';
import { isConv, nodeMacs } from '../shared/onnx/cost.ts';
import { singleCuts } from '../shared/onnx/cuts.ts';
import { type DescribedTensor, describeModel } from '../shared/onnx/describe.ts';
import { extractSegment } from '../shared/onnx/extract.ts';
import type { GraphNode, ResolvedModel } from '../shared/onnx/model.ts';
import { channelSegment } from '../shared/tiling/channel-segment.ts';
import { findTileable } from '../shared/tiling/tileable.ts';
import { table } from './output.ts';

/** An operator of a network, for `tessera model inspect`. */
export interface InspectedLayer {
  readonly index: number;
  readonly name: string;
  readonly op: string;
  /** Name of the first output, by which plans and `--cut` know the layer. */
  readonly output: string;
  readonly shape: readonly number[] | null;
  readonly bytes: number;
  readonly macs: number;
  readonly params: number;
  /** The only live tensor at this cut. */
  readonly cut: boolean;
  /** Tiles of the input can make tiles of the output. */
  readonly tileable: boolean;
  /** Of a layer that a stage can split into slices of channels: how many, in multiples of `step`. */
  readonly channels: { readonly count: number; readonly step: number } | null;
}

/** A network as `tessera model inspect --json` prints it. */
export interface Inspection {
  readonly opset: number;
  readonly producer: string;
  readonly inputs: readonly InspectedTensor[];
  readonly outputs: readonly InspectedTensor[];
  readonly layers: readonly InspectedLayer[];
  readonly totals: { readonly macs: number; readonly conv_macs: number; readonly params: number };
  readonly tiles: {
    readonly layers: number;
    /** Multiply-adds of convolutions that tiles can do. */
    readonly conv_macs: number;
    /** Operators that tiles cannot pass; the reason reads on after the operator. */
    readonly stops: readonly {
      readonly layer: number;
      readonly name: string;
      readonly op: string;
      readonly reason: string;
    }[];
  };
}

/** A tensor at the rim of a network. */
export interface InspectedTensor {
  readonly name: string;
  readonly dtype: string | null;
  readonly shape: readonly number[] | null;
}

/** What a network is made of, where it can be cut, and how far tiles reach from its inputs. `exits` cross no cut. */
export function inspectModel(resolved: ResolvedModel, exits: readonly string[] = []): Inspection {
  const description = describeModel(resolved);
  const { nodes, inputs, outputs } = resolved.model.graph;
  const from = inputs.map(({ name }) => name);
  const answers = outputs.map(({ name }) => name).filter((name) => !exits.includes(name));
  const trunk =
    answers.length === outputs.length || answers.length === 0 ? resolved : extractSegment(resolved, from, answers);
  const reach = findTileable(resolved, from);
  const tiled = new Set(reach.nodes);
  const computed = [...reach.constants].flatMap((index) => nodes[index]!.outputs);
  const constants = new Set([...resolved.model.graph.initializers.keys(), ...computed]);
  const cuts = new Set(singleCuts(trunk).map(({ tensor }) => tensor));
  const { macs, convMacs, params } = description.totals;
  return {
    opset: description.opset,
    producer: description.producer,
    inputs: description.inputs.map(rim),
    outputs: description.outputs.map(rim),
    layers: description.layers.map((layer, index) => ({
      index,
      ...layer,
      shape: layer.shape ?? null,
      cut: cuts.has(layer.output),
      tileable: tiled.has(index),
      channels: channelsOf(resolved, nodes[index]!, constants),
    })),
    totals: { macs, conv_macs: convMacs, params },
    tiles: {
      layers: reach.nodes.length,
      conv_macs: reach.nodes
        .map((index) => nodes[index]!)
        .reduce((sum, node) => sum + (isConv(node) ? nodeMacs(resolved, node) : 0), 0),
      stops: reach.stops
        .filter(({ waits }) => !waits)
        .map(({ node, name, op, reason }) => ({ layer: node, name, op, reason })),
    },
  };
}

/** The channels of a layer with weights; null for all other operators. */
function channelsOf(
  resolved: ResolvedModel,
  node: GraphNode,
  constants: ReadonlySet<string>,
): InspectedLayer['channels'] {
  const read = [...new Set(node.inputs)].filter((name) => name !== '' && !constants.has(name));
  try {
    const { channels: count, step } = channelSegment(resolved, read, node.outputs.slice(0, 1));
    return { count, step };
  } catch (error) {
    if (error instanceof TesseraError) return null;
    throw error;
  }
}

function rim({ name, spec }: DescribedTensor): InspectedTensor {
  return { name, dtype: spec?.dtype ?? null, shape: spec?.shape ?? null };
}

/** An inspection as lines for people: rims, a table of layers, totals, and where tiles end and why. */
export function inspectionLines(inspection: Inspection): string[] {
  const { inputs, outputs, layers, totals, tiles } = inspection;
  const shares =
    totals.conv_macs === 0 ? '' : `, ${percent(tiles.conv_macs / totals.conv_macs)} of the convolution multiply-adds`;
  return [
    ...inputs.map((tensor) => `input   ${rimText(tensor)}`),
    ...outputs.map((tensor) => `output  ${rimText(tensor)}`),
    '',
    ...table(
      [
        { title: '#', align: 'right', cell: ({ index }) => String(index) },
        { title: 'operator', cell: ({ op }) => op },
        { title: 'output', cell: ({ output }) => output },
        { title: 'shape', cell: ({ shape }) => shape?.join('x') ?? '?' },
        { title: 'kB', align: 'right', cell: ({ bytes }) => (bytes / 1e3).toFixed(1) },
        { title: 'MMAC', align: 'right', cell: ({ macs }) => (macs === 0 ? '' : (macs / 1e6).toFixed(2)) },
        { title: 'weights', align: 'right', cell: ({ params }) => (params === 0 ? '' : String(params)) },
        { title: 'cut', cell: ({ cut }) => (cut ? 'cut' : '') },
        { title: 'channels', align: 'right', cell: ({ channels }) => channelsText(channels) },
        { title: 'tiles', cell: ({ tileable }) => (tileable ? 'yes' : 'no') },
      ],
      layers,
    ),
    '',
    `${counted(layers.length, 'operator')}, ${(totals.macs / 1e6).toFixed(1)} MMAC (10^6 multiply-adds), ${counted(totals.params, 'weight')}, ` +
      `${counted(layers.filter(({ cut }) => cut).length, 'cut point')}, opset ${inspection.opset}`,
    `tiles reach ${counted(tiles.layers, 'operator')}${shares}`,
    ...tiles.stops.map(({ layer, op, name, reason }) => `tiles end at #${layer} ${op} "${name}": it ${reason}`),
  ];
}

/** `64`, or `64 by 4` where slices are multiples of 4. */
function channelsText(channels: InspectedLayer['channels']): string {
  if (channels === null) return '';
  return channels.step === 1 ? String(channels.count) : `${channels.count} by ${channels.step}`;
}

function rimText({ name, dtype, shape }: InspectedTensor): string {
  return `${name}  ${shape?.join('x') ?? 'shape known only after a run'}${dtype === null ? '' : ` ${dtype}`}`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
