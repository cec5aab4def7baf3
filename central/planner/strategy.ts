import type { CodecSpec } from '../../shared/codec/spec.ts';
import type { SchedulablePlan } from '../../shared/plan/compiled-plan.ts';
import type { Plan, Tier } from '../../shared/plan/plan.ts';
import type { Grid } from '../../shared/tiling/grid.ts';
import type { Place, TilesBetween } from '../../shared/tiling/tiles-between.ts';
import type { PlanningGraph } from './graph.ts';
import type { Demands } from './query/demands.ts';
import type { TimedNode } from './times.ts';

/** A machine that can run stages, as it announced itself, with what was measured there. */
export interface PlanningNode extends TimedNode {
  readonly tier: Tier;
  /** Null where it is not known. */
  readonly memory_mb: number | null;
  readonly codecs: readonly string[];
  /** Kinds of splits whose parts it runs. */
  readonly splits: readonly string[];
  /** Its own processor time for each message that it sends or receives. */
  readonly message_ms?: number;
  /** Until its executor has a part, and its outcome is known. */
  readonly part_ms?: number;
  /** To encode and decode 10^6 bytes of values, ms, by codec. */
  readonly codec_ms?: Readonly<Record<string, { readonly encode: number; readonly decode: number }>>;
  /** Watts while it computes, and while it does not. */
  readonly power_w?: { readonly idle: number; readonly busy: number };
}

/** A measured link, in one direction. */
export interface Link {
  readonly from: string;
  readonly to: string;
  readonly rtt_ms: number;
  readonly mbps: number;
}

/** Rows and columns of a grid of tiles. */
export interface Counts {
  readonly rows: number;
  readonly cols: number;
}

/** Where a tile stage can end. */
export interface TileEnd {
  /** The live tensors at this cut, and the graph's outputs that the stage makes. */
  readonly tensors: readonly string[];
  readonly outputs: readonly string[];
  /** Tensors that are available after the stage: inputs of the graph and outputs of the stages so far. */
  readonly known: readonly string[];
  /** Tensors that the tiles output. */
  readonly made: readonly string[];
  /** Multiply-adds of the stage, halo not counted. */
  readonly macs: number;
  /** The tensor whose cells a grid counts, and how many it has. */
  readonly cells: Counts & { readonly tensor: string };
}

/** The cost of one tile, halo included. */
export interface PartCost {
  readonly macs: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
}

/** A stage that can be split into slices of channels. */
export interface ChannelStage {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** The output whose channels the sizes of slices count, and how many it has. */
  readonly reference: string;
  readonly channels: number;
  /** Every size is a multiple of it. */
  readonly step: number;
}

/** Which ends `Tiler.reach` returns. */
export interface ReachOptions {
  /** Least share (0..1) of the reachable convolutions' multiply-adds that the stage has. */
  readonly leastShare: number;
  /** The most ends. */
  readonly most: number;
}

/** Tiles with halo of the stages between some places of a network. */
export type TileGeometry = Pick<TilesBetween, 'cells' | 'made' | 'needs' | 'tileMacs'>;

/**
 * Answers questions about tiles and slices of one network, so that strategies do not need ONNX. `from`: absent where the
 * stage starts at the frame.
 */
export interface Tiler {
  /** The ends of a tile stage whose outputs have at least one cell for each tile of the grid, the deepest first. */
  reach(from: TileEnd | undefined, grid: Counts, options: ReachOptions): readonly TileEnd[];
  /** The tile stage that ends at these tensors. */
  upTo(from: TileEnd | undefined, tensors: readonly string[]): TileEnd | NoPlan;
  /** The tiles of a stage, row by row; `rows` and `cols` are their sizes in cells. */
  parts(from: TileEnd | undefined, to: TileEnd, rows: readonly number[], cols: readonly number[]): readonly PartCost[];
  /** The stage from some tensors to others, if it can be split into slices of channels. */
  channels(inputs: readonly string[], outputs: readonly string[]): ChannelStage | NoPlan;
  /** The slices of such a stage, in order; `weight_bytes`: of the weights that a node keeps for one. */
  slices(stage: ChannelStage, sizes: readonly number[]): readonly (PartCost & { readonly weight_bytes: number })[];
  /** Tiles of all stages between some places, in order; the first is the frame. */
  between(places: readonly Place[]): TileGeometry;
  /** A plan as the coordinator sees it, if its stages fit the network. */
  outline(plan: Plan): SchedulablePlan | NoPlan;
  /** Why no tile stage that starts at the frame can end anywhere: continues "it cannot be cut into tiles: ". */
  obstacle(): string;
}

/** The user's settings; absent ones are the strategy's to choose. */
export interface Constraints extends Demands {
  readonly grid?: Grid | undefined;
  readonly padding?: 'zero' | 'halo' | undefined;
  /** Tensors at which tile stages end, in order; several for one stage if several are live there. */
  readonly cuts?: readonly (readonly string[])[] | undefined;
  /** Codec of every float32 result of a tile. */
  readonly codec?: CodecSpec | undefined;
  /** Least agreement with the uncompressed network (0..1). */
  readonly agreement?: number | undefined;
  /** The nodes that may get work. */
  readonly nodes: readonly string[] | '*';
  /** How many node agents to plan for, if fewer are known. */
  readonly nodeCount: number;
  /** Processors that all nodes share, if they run on one machine. */
  readonly sharedCores?: number | undefined;
}

/** A tile stage for which a network was retrained. */
export interface TrainedTiles {
  readonly after: string;
  readonly grid: Grid;
  readonly padding: 'zero' | 'halo';
}

/**
 * Measured codecs of a cut's tensors: codecs as text, bytes per picture, agreement (the share, 0..1, of answers that
 * stay the same).
 */
export interface CalibratedSetting {
  readonly codecs: Readonly<Record<string, string>>;
  readonly bytes: number;
  readonly agreement: number;
}

/** The input of a strategy: plain data, except for the tiler. */
export interface Problem {
  /** SHA-256 of the model's skeleton. */
  readonly model: string;
  /** Without the heads of early exits. */
  readonly graph: PlanningGraph;
  /** Node agents that are known. */
  readonly nodes: readonly PlanningNode[];
  /** Links that were measured. */
  readonly links: readonly Link[];
  /**
   * The node on whose machine the broker runs, or `central`; null where that is not known, and then only the given links
   * exist.
   */
  readonly broker: string | null;
  /** The machine at which frames arrive. */
  readonly source: string;
  /** A frame as cameras publish it; absent: as large as the network's input. */
  readonly picture?: { readonly bytes: number; readonly quality?: number };
  /**
   * Central's own work for a frame, ms: until it is decoded, and from the network's outputs to the prediction; absent where
   * it was not measured.
   */
  readonly frame?: { readonly open_ms: number; readonly finish_ms: number };
  /** The machine that needs the network's outputs; null: their way is not counted. */
  readonly sink: string | null;
  /** In order; empty where the network was not retrained for tiles. */
  readonly trained: readonly TrainedTiles[];
  /** Those whose codecs every node announces. */
  readonly calibrated: readonly CalibratedSetting[];
  /** Where heads of early exits branch off, the earliest first: tile stages should end there. */
  readonly exits: readonly (readonly string[])[];
  readonly constraints: Constraints;
  /** Whether the user named the strategy: then it makes its plan even if another one is faster. */
  readonly isNamed: boolean;
  readonly tiler: Tiler;
}

/**
 * Why a strategy has no plan for a problem. `not-asked`: it leaves the problem to other strategies; `impossible`: its
 * plan does not exist; `slower`: its plan would be slower than one machine.
 */
export interface NoPlan {
  readonly kind: 'not-asked' | 'impossible' | 'slower';
  /** For people. */
  readonly reason: string;
  readonly hint?: string;
}

/** Whether a strategy's answer is a reason instead of a plan. */
export function isNoPlan(value: object): value is NoPlan {
  return 'kind' in value;
}

/** A way to make plans. A new one is a new file in `strategies/` and a line in `strategies.ts`. */
export interface Strategy {
  readonly name: string;
  /** Its plans for the problem, at least one; or why it has none. Pure. */
  propose(problem: Problem): readonly Plan[] | NoPlan;
  /** Of how many plans it proposes the best ones, where it compares all of a kind. */
  compared?(problem: Problem): number;
}

/** The nodes that may get work. */
export function usableNodes({ nodes, constraints }: Pick<Problem, 'nodes' | 'constraints'>): readonly PlanningNode[] {
  return constraints.nodes === '*' ? nodes : nodes.filter(({ id }) => constraints.nodes.includes(id));
}

/** The answer of a strategy that needs measured times, where nodes have none; undefined where all have. */
export function withoutTimes(nodes: readonly PlanningNode[]): NoPlan | undefined {
  const unknown = nodes.filter(({ times }) => times === undefined).map(({ id }) => id);
  if (nodes.length > 0 && unknown.length === 0) return undefined;
  const whose = nodes.length === 0 ? 'any node' : unknown.join(', ');
  return {
    kind: 'not-asked',
    reason: `there are no measured times of ${whose}`,
    hint: '`tessera profile` measures them, and `tessera plan --profile` makes a plan of them',
  };
}
