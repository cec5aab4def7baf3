import type { Layer, PlanningGraph } from '../graph.ts';
import { bytesOf } from '../graph.ts';
import { type Row, ridge } from './ridge.ts';
import { rounded } from './samples.ts';

/**
 * Times of blocks by type of layer (Neurosurgeon, ASPLOS 2017; D3, ICDCS 2021): a layer's time
 * is a sum of its multiply-adds, its bytes in and out, and one for the layer itself, with coefficients of its type. They
 * are fitted to all measured nodes together, each relative to its speed; a node that was never measured has the speed of
 * the measured nodes that are most like it.
 */

/** A node as far as its speed can be guessed from others. */
export interface LikeNode {
  readonly hardware?: string | undefined;
  readonly threads?: number | undefined;
}

/** Measured blocks of a node; undefined for those that were not measured. */
export interface MeasuredBlocks extends LikeNode {
  readonly block_ms: readonly (number | undefined)[];
}

/** Predicted times of blocks, and the error (share of the time) that the same prediction has where it can be checked. */
export interface PredictedBlocks {
  readonly block_ms: readonly number[];
  readonly error: number;
}

const TYPES: readonly (readonly [type: string, ops: RegExp])[] = [
  ['convolution', /^Conv/],
  ['dense', /^(Gemm|MatMul)/],
  ['pooling', /Pool/],
];
/** Features of each type; a layer of another type is of the last one. */
const WIDTH = 3;
const FEATURES = (TYPES.length + 1) * WIDTH;

function typeOf({ op }: Layer): number {
  const type = TYPES.findIndex(([, ops]) => ops.test(op));
  return type === -1 ? TYPES.length : type;
}

/** Features of every block: sums over its layers. */
export function blockFeatures(graph: PlanningGraph): number[][] {
  return graph.blocks.map(({ first, last }) => {
    const features = new Array<number>(FEATURES).fill(0);
    for (const layer of graph.layers.slice(first, last + 1)) {
      const at = typeOf(layer) * WIDTH;
      features[at]! += layer.macs;
      features[at + 1]! += bytesOf(graph, [...layer.inputs, ...layer.outputs]);
      features[at + 2]! += 1;
    }
    return features;
  });
}

interface Speeds {
  readonly node: MeasuredBlocks;
  /** Time of its measured blocks over the time that the mean node takes for them. */
  readonly speed: number;
}

/** Rounds in which speeds and times of blocks are fitted to each other. */
const ROUNDS = 30;

/**
 * Speeds of the nodes that measured something: a node's time for a block is its speed times that of the mean node, whichever
 * of the blocks it measured. Both are fitted in turn.
 */
function speedsOf(nodes: readonly MeasuredBlocks[]): Speeds[] {
  const timed = nodes.filter(({ block_ms }) => block_ms.some((ms) => ms !== undefined && ms > 0));
  const blocks = timed[0]?.block_ms.length ?? 0;
  let speeds = timed.map(() => 1);
  for (let round = 0; round < ROUNDS; round++) {
    const means = Array.from({ length: blocks }, (_, block) => {
      const times = timed.flatMap(({ block_ms }, n) =>
        block_ms[block] === undefined ? [] : [block_ms[block] / speeds[n]!],
      );
      return times.reduce((sum, ms) => sum + ms, 0) / Math.max(1, times.length);
    });
    speeds = timed.map(({ block_ms }) => {
      let [own, mean] = [0, 0];
      block_ms.forEach((ms, block) => {
        if (ms === undefined) return;
        own += ms;
        mean += means[block]!;
      });
      return own / mean;
    });
  }
  return timed.map((node, n) => ({ node, speed: speeds[n]! }));
}

function rowsOf(features: readonly (readonly number[])[], { node, speed }: Speeds): Row[] {
  return node.block_ms.flatMap((ms, block) =>
    ms === undefined || ms === 0 ? [] : [{ features: features[block]!, value: ms / speed }],
  );
}

/** So little are coefficients held to equal shares of the time that only those are which no row tells apart. */
const WEIGHT = 1e-5;

/** The coefficients that fit the rows best. */
function fitted(rows: readonly Row[]): number[] {
  const time = rows.reduce((sum, { value }) => sum + value, 0);
  const near = Array.from({ length: FEATURES }, (_, j) => {
    const amount = rows.reduce((sum, { features }) => sum + features[j]!, 0);
    return amount === 0 ? 0 : time / amount / FEATURES;
  });
  return ridge(rows, near, WEIGHT);
}

function timeOf(features: readonly number[], coefficients: readonly number[]): number {
  return features.reduce((sum, feature, i) => sum + feature * coefficients[i]!, 0);
}

/** The speed of a node that was never measured: of equal hardware, else of all; by threads where these are known. */
function speedLike({ hardware, threads }: LikeNode, others: readonly Speeds[]): number {
  const equal = others.filter(({ node }) => node.hardware !== undefined && node.hardware === hardware);
  const like = equal.length > 0 ? equal : others;
  const speeds = like.map(({ node, speed }) => {
    const scale = equal.length > 0 && threads !== undefined && node.threads !== undefined ? node.threads / threads : 1;
    return speed * scale;
  });
  return speeds.sort((a, b) => a - b)[Math.floor(speeds.length / 2)]!;
}

/**
 * Times of a node's blocks that were not measured, from its own ones that were and those of other nodes; measured times
 * stay. Undefined where no node measured anything. The error is that of leaving out: a tenth of its own blocks at a
 * time, else one of the other nodes at a time, else (there is only one) a tenth of that node's blocks at a time.
 */
export function predictBlocks(
  graph: PlanningGraph,
  node: MeasuredBlocks,
  others: readonly MeasuredBlocks[],
): PredictedBlocks | undefined {
  const features = blockFeatures(graph);
  const all = speedsOf([node, ...others]);
  if (all.length === 0) return undefined;
  const own = all.find((one) => one.node === node);
  const rest = all.filter((one) => one !== own);
  const coefficients = fitted(all.flatMap((one) => rowsOf(features, one)));
  const speed = own?.speed ?? speedLike(node, rest);
  const block_ms = node.block_ms.map((ms, block) => ms ?? rounded(speed * timeOf(features[block]!, coefficients)));
  const error =
    own !== undefined || rest.length === 1
      ? errorOfBlocks(features, own ?? rest[0]!, all)
      : errorOfNodes(features, rest);
  return { block_ms, error: rounded(error) };
}

/** A node's blocks are left out in so many groups. */
const FOLDS = 10;

/** The error of a node's block times when a tenth of them at a time is predicted without itself, as a share of all. */
function errorOfBlocks(features: readonly (readonly number[])[], node: Speeds, all: readonly Speeds[]): number {
  const others = all.flatMap((one) => (one === node ? [] : rowsOf(features, one)));
  const own = rowsOf(features, node);
  let [wrong, sum] = [0, 0];
  for (let fold = 0; fold < FOLDS; fold++) {
    const left = own.filter((_, index) => index % FOLDS === fold);
    if (left.length === 0) continue;
    const coefficients = fitted([...others, ...own.filter((row) => !left.includes(row))]);
    for (const row of left) {
      wrong += Math.abs(timeOf(row.features, coefficients) - row.value);
      sum += row.value;
    }
  }
  return sum === 0 ? 0 : wrong / sum;
}

/** The mean error of nodes' block times when each node is predicted from the others alone. */
function errorOfNodes(features: readonly (readonly number[])[], nodes: readonly Speeds[]): number {
  const errors = nodes.map(({ node }) => {
    const rest = speedsOf(nodes.flatMap((other) => (other.node === node ? [] : [other.node])));
    const coefficients = fitted(rest.flatMap((one) => rowsOf(features, one)));
    const speed = speedLike(node, rest);
    let [wrong, sum] = [0, 0];
    node.block_ms.forEach((ms, block) => {
      if (ms === undefined) return;
      wrong += Math.abs(speed * timeOf(features[block]!, coefficients) - ms);
      sum += ms;
    });
    return sum === 0 ? 0 : wrong / sum;
  });
  return errors.reduce((total, error) => total + error, 0) / errors.length;
}
