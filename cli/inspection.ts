import { counted } from '../shared/counted.ts';
import { isConv, nodeMacs } from '../shared/onnx/cost.ts';
import { singleCuts } from '../shared/onnx/cuts.ts';
import { type DescribedTensor, describeModel } from '../shared/onnx/describe.ts';
import { extractSegment } from '../shared/onnx/extract.ts';
import type { ResolvedModel } from '../shared/onnx/model.ts';
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

function rimText({ name, dtype, shape }: InspectedTensor): string {
  return `${name}  ${shape?.join('x') ?? 'shape known only after a run'}${dtype === null ? '' : ` ${dtype}`}`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
