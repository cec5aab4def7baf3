import type { CodecSpec } from '../../shared/codec/spec.ts';
import type { Plan, Tier } from '../../shared/plan/plan.ts';
import type { Grid } from '../../shared/tiling/grid.ts';
import type { PlanningGraph } from './graph.ts';

/** A node agent as it announces itself. */
export interface PlanningNode {
  readonly id: string;
  readonly tier: Tier;
  readonly memory_mb: number;
  readonly codecs: readonly string[];
  /** Kinds of splits whose parts it runs. */
  readonly splits: readonly string[];
}

/** A link as it was measured, in one direction. */
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
  /** The live tensors there, and the graph's outputs that the stage makes. */
  readonly tensors: readonly string[];
  readonly outputs: readonly string[];
  /** Tensors that exist after the stage: inputs of the graph and what stages so far hand on. */
  readonly known: readonly string[];
  /** Tensors that the tiles hand on. */
  readonly made: readonly string[];
  /** Multiply-adds of the stage, halo not counted. */
  readonly macs: number;
  /** The tensor whose cells a grid counts, and how many it has. */
  readonly cells: Counts & { readonly tensor: string };
}

/** What one tile costs, halo included. */
export interface PartCost {
  readonly macs: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
}

/** Which ends `Tiler.reach` looks at. */
export interface ReachOptions {
  /** Share (0..1) of the convolutions' multiply-adds within reach that the stage has to have. */
  readonly leastShare: number;
  /** Ends at most. */
  readonly most: number;
}

/** Answers questions about tiles of one network, so that no strategy needs to know ONNX. `from`: absent for the frame. */
export interface Tiler {
  /** Where a tile stage can end whose outputs have a cell for each tile of the grid, the deepest first. */
  reach(from: TileEnd | undefined, grid: Counts, options: ReachOptions): readonly TileEnd[];
  /** The tile stage that ends at these tensors. */
  upTo(from: TileEnd | undefined, tensors: readonly string[]): TileEnd | NoPlan;
  /** The tiles of a stage, row by row; `rows` and `cols` are their sizes in cells. */
  parts(from: TileEnd | undefined, to: TileEnd, rows: readonly number[], cols: readonly number[]): readonly PartCost[];
  /** Why no tile stage that begins at the frame can end anywhere: continues "it cannot be cut into tiles: ". */
  obstacle(): string;
}

/** What the user says; everything that is absent is the strategy's to choose. */
export interface Constraints {
  readonly grid?: Grid | undefined;
  readonly padding?: 'zero' | 'halo' | undefined;
  /** Tensors at which tile stages end, in order; several for one stage, where several leave it. */
  readonly cuts?: readonly (readonly string[])[] | undefined;
  /** How every float32 result of a tile travels. */
  readonly codec?: CodecSpec | undefined;
  /** Least agreement with the uncompressed network (0..1). */
  readonly agreement?: number | undefined;
  /** Which nodes may be asked. */
  readonly nodes: readonly string[] | '*';
  /** Node agents to plan for, where fewer are known. */
  readonly nodeCount: number;
  /** Processors that all nodes share, where they are on one machine. */
  readonly sharedCores?: number | undefined;
}

/** A tile stage for which a network was retrained. */
export interface TrainedTiles {
  readonly after: string;
  readonly grid: Grid;
  readonly padding: 'zero' | 'halo';
}

/** A measured way for the tensors of a cut to travel: codecs as text, bytes a picture, share (0..1) of the answers that stay. */
export interface CalibratedSetting {
  readonly codecs: Readonly<Record<string, string>>;
  readonly bytes: number;
  readonly agreement: number;
}

/** What a strategy is asked: plain data, but for the tiler. */
export interface Problem {
  /** SHA-256 of the model's skeleton. */
  readonly model: string;
  /** Without the heads of early exits. */
  readonly graph: PlanningGraph;
  /** Node agents that are known. */
  readonly nodes: readonly PlanningNode[];
  /** Links that were measured. */
  readonly links: readonly Link[];
  /** The node beside which the broker stands, or `central`; null where that is not known. */
  readonly broker: string | null;
  /** Where frames are born, and where the network's outputs have to go. */
  readonly source: string;
  readonly sink: string;
  /** In order; empty where the network was not retrained for tiles. */
  readonly trained: readonly TrainedTiles[];
  readonly calibrated: readonly CalibratedSetting[];
  /** Where heads of early exits branch off: tile stages had better end there, the earliest first. */
  readonly exits: readonly (readonly string[])[];
  readonly constraints: Constraints;
  /** Whether the user named the strategy: then it makes its plan even where another one is faster. */
  readonly isNamed: boolean;
  readonly tiler: Tiler;
}

/**
 * Why a strategy has no plan for a problem. `not-asked`: the problem is left to other strategies; `impossible`: its plan
 * does not exist; `slower`: its plan would be slower than one machine.
 */
export interface NoPlan {
  readonly kind: 'not-asked' | 'impossible' | 'slower';
  /** For people. */
  readonly reason: string;
  readonly hint?: string;
}

/** One way to make plans; a new idea from a new paper is a new file of `strategies/` and a line in `strategies.ts`. */
export interface Strategy {
  readonly name: string;
  /** Its plans for the problem, best guess first and at least one, or why it has none. Pure. */
  propose(problem: Problem): readonly Plan[] | NoPlan;
}
