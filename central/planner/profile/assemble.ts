import type { PlanningGraph } from '../graph.ts';
import type { PlanningNode } from '../strategy.ts';
import { codecTimes, type TimedCodecs } from './codec-times.ts';
import { correctionOf } from './correction.ts';
import { type FusedTimes, fusedTimes, typesOf } from './fused-times.ts';
import { type EchoedLink, fixedMs } from './link-times.ts';
import { type PredictedBlocks, predictBlocks } from './regression.ts';
import type { BlockRange } from './runs.ts';
import { quantile, rounded, type SampledTime } from './samples.ts';
import type { Profile, ProfiledNode } from './schema.ts';

/** A node of the fleet to profile, as it announces itself. */
export interface FleetNode extends Pick<PlanningNode, 'id' | 'tier' | 'codecs' | 'splits'> {
  readonly memory_mb?: number | undefined;
  readonly hardware?: string | undefined;
  readonly runtime?: string | undefined;
  readonly threads?: number | undefined;
}

/** The time of a range of blocks at a node. */
export interface MeasuredTime extends SampledTime {
  readonly node: string;
  readonly blocks: BlockRange;
  readonly repeats: number;
  /** Parts of frames that the node computed meanwhile. */
  readonly others: number;
}

/** A link, with the CPU time of its sender for a message. */
export interface MeasuredLink extends EchoedLink {
  readonly from: string;
  readonly to: string;
  readonly message_ms: number;
}

/** What a node does with tensors besides computing. */
export interface MeasuredCodecs extends TimedCodecs {
  readonly node: string;
}

/** What a profile is made of. */
export interface Measured {
  readonly name: string;
  /** SHA-256 of the skeleton. */
  readonly model: string;
  readonly graph: PlanningGraph;
  /** Where frames are born and results are needed. */
  readonly center: string;
  readonly nodes: readonly FleetNode[];
  readonly times: readonly MeasuredTime[];
  readonly links: readonly MeasuredLink[];
  readonly codecs: readonly MeasuredCodecs[];
  /** Central's own work for a frame; undefined before its first frame of the model. */
  readonly frame: Profile['frame'];
  /** Nodes that have the times of another one of equal hardware. */
  readonly sharedFrom: ReadonlyMap<string, string>;
}

/** A node before what blocks lose in runs is known. */
type Unfused = Omit<ProfiledNode, 'runs' | 'layer_ms'> & { readonly runs: NonNullable<ProfiledNode['runs']> };

/** The times of one node, by block and of runs of several. */
interface NodeTimes {
  readonly block: readonly (MeasuredTime | undefined)[];
  readonly runs: readonly MeasuredTime[];
}

/**
 * The profile of what was measured; blocks that a node did not measure are predicted from those that were. Some block must
 * have been measured.
 */
export function assembleProfile(measured: Measured): Profile {
  const { name, model, graph, center, nodes, links, frame, sharedFrom } = measured;
  const times = new Map(nodes.map(({ id }) => [id, timesOf(measured, sharedFrom.get(id) ?? id)]));
  const messageMs = new Map(nodes.map(({ id }) => [id, messageMsOf(links, id)]));
  const profiled = nodes.map((node): Unfused => {
    const { block, runs } = times.get(node.id)!;
    const isWhole = block.every((time) => time !== undefined);
    const predicted = isWhole ? undefined : predictedOf(graph, node, nodes, times);
    const spread = isWhole
      ? { p10_ms: block.map(({ p10_ms }) => p10_ms), p90_ms: block.map(({ p90_ms }) => p90_ms) }
      : {};
    const own = [...block.flatMap((time) => time ?? []), ...runs];
    const busy = own.reduce((sum, { others }) => sum + others, 0);
    const repeats = Math.min(...own.map((time) => time.repeats));
    const message_ms = messageMs.get(node.id);
    const { id, tier, memory_mb, hardware, runtime, threads, codecs, splits } = node;
    const measuredOn = sharedFrom.get(id);
    const ownCodecs = measured.codecs.find((codecs) => codecs.node === id);
    return {
      id,
      tier,
      ...(memory_mb === undefined ? {} : { memory_mb }),
      ...(hardware === undefined ? {} : { hardware }),
      ...(runtime === undefined ? {} : { runtime }),
      ...(threads === undefined ? {} : { threads }),
      codecs: [...codecs],
      splits: [...splits],
      block_ms: isWhole ? block.map(({ ms }) => ms) : [...predicted!.block_ms],
      ...spread,
      ...(own.length === 0 ? {} : { repeats }),
      runs: runs.map(({ blocks: [first, last], ms, p10_ms, p90_ms }) => {
        return { blocks: [first, last], ms, p10_ms, p90_ms };
      }),
      ...(message_ms === undefined ? {} : { message_ms }),
      ...(ownCodecs === undefined ? {} : codecTimes(ownCodecs)),
      ...(measuredOn === undefined ? {} : { measured_on: measuredOn }),
      ...(busy === 0 ? {} : { busy }),
      ...(predicted === undefined ? {} : { predicted: { error: predicted.error } }),
    };
  });
  // Only of nodes that measured all of their blocks themselves.
  const whole = profiled.filter(({ predicted, measured_on }) => predicted === undefined && measured_on === undefined);
  const ratio = correctionOf(whole);
  const types = typesOf(graph);
  const fused = new Map(whole.map((node) => [node.id, fusedTimes(types, node)]));
  const errors = [...fused.values()].flatMap((times) => times?.error ?? []);
  const correction =
    ratio === undefined
      ? undefined
      : { ratio, error: rounded(errors.reduce((sum, one) => sum + one, 0) / errors.length) };
  const hop = ({ from, to, ...link }: MeasuredLink): Profile['links'][number] => {
    return { from, to, rtt_ms: fixedMs(link, [messageMs.get(from) ?? 0, messageMs.get(to) ?? 0]), mbps: link.mbps };
  };
  const bytes = new Map(graph.tensors.map((tensor) => [tensor.name, tensor.bytes]));
  return {
    format: 'tessera-profile/1',
    model: name,
    sha256: model,
    input_bytes: graph.inputs.reduce((sum, input) => sum + (bytes.get(input) ?? 0), 0),
    ...(frame === undefined ? {} : { frame }),
    source: center,
    sink: center,
    blocks: graph.blocks.map(({ name: block, first, last, cut, bytes: output_bytes }) => {
      return { name: block, output_bytes, cut: [...cut], layers: [first, last] };
    }),
    layers: graph.layers.map((layer) => ({
      ...layer,
      inputs: [...layer.inputs],
      outputs: layer.outputs.map((tensor) => ({ name: tensor, bytes: bytes.get(tensor) ?? 0 })),
    })),
    nodes: profiled.map((node) => {
      const inRuns = fused.get(node.measured_on ?? node.id)?.block_ms ?? likeOthers(node, whole, fused);
      return inRuns === undefined || ratio === undefined ? node : { ...node, layer_ms: ofLayers(graph, inRuns, ratio) };
    }),
    links: links.map(hop),
    ...(correction === undefined ? {} : { correction }),
  };
}

function timesOf({ graph, times }: Measured, node: string): NodeTimes {
  const own = times.filter((time) => time.node === node);
  const block = new Array<MeasuredTime | undefined>(graph.blocks.length).fill(undefined);
  const runs: MeasuredTime[] = [];
  for (const time of own) {
    const [first, last] = time.blocks;
    if (first === last) block[first] = time;
    else runs.push(time);
  }
  return { block, runs };
}

function predictedOf(
  graph: PlanningGraph,
  node: FleetNode,
  nodes: readonly FleetNode[],
  times: ReadonlyMap<string, NodeTimes>,
): PredictedBlocks | undefined {
  const blocksOf = ({ id, hardware, threads }: FleetNode) => {
    return { hardware, threads, block_ms: times.get(id)!.block.map((time) => time?.ms) };
  };
  const others = nodes.filter(({ id }) => id !== node.id).map(blocksOf);
  return predictBlocks(graph, blocksOf(node), others);
}

/** The median over a node's links of its CPU time for a message. */
function messageMsOf(links: readonly MeasuredLink[], node: string): number | undefined {
  const own = links.filter(({ from }) => from === node).map(({ message_ms }) => message_ms);
  return own.length === 0
    ? undefined
    : quantile(
        [...own].sort((a, b) => a - b),
        0.5,
      );
}

/** Times of a predicted node's blocks in runs: each block has the mean share of its time alone that it has elsewhere. */
function likeOthers(
  { block_ms }: Unfused,
  measured: readonly Unfused[],
  fused: ReadonlyMap<string, FusedTimes | undefined>,
): number[] | undefined {
  const known = measured.flatMap(({ id, block_ms: alone }) => {
    const times = fused.get(id);
    return times === undefined ? [] : [{ alone, inRuns: times.block_ms }];
  });
  if (known.length === 0) return undefined;
  return block_ms.map((ms, block) => {
    const shares = known.map(({ alone, inRuns }) => (alone[block] === 0 ? 0 : inRuns[block]! / alone[block]!));
    return (ms * shares.reduce((sum, share) => sum + share, 0)) / shares.length;
  });
}

/** Divides the times of blocks among their layers by multiply-adds, evenly where there are none; before the correction. */
function ofLayers({ layers, blocks }: PlanningGraph, block_ms: readonly number[], ratio: number): number[] {
  return blocks.flatMap(({ first, last }, block) => {
    const macs = layers.slice(first, last + 1).map((layer) => layer.macs);
    const sum = macs.reduce((all, one) => all + one, 0);
    return macs.map((one) => rounded((block_ms[block]! / ratio) * (sum === 0 ? 1 / macs.length : one / sum)));
  });
}
