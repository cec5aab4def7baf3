import type { Attribute, GraphNode, Initializer } from '../../onnx/model.ts';
import type { Dtype, TensorSpec } from '../../tensor/tensor.ts';
import type { Axis, Layout } from '../layout.ts';
import type { ReceptiveField } from '../receptive-field.ts';

/** How a tile reads one input of an operator. */
export interface InputRule {
  readonly layout: Layout;
  readonly h: ReceptiveField;
  readonly w: ReceptiveField;
  /** Fill value of the padding; 0 unless given. */
  readonly fill?: number;
}

/** The changes that make an operator run on any tile. Replaced inputs get new names. */
export interface Rewrite {
  /** The node becomes an Identity: cropping, padding and resampling in front of it do all its work. */
  readonly identity?: true;
  /** Attributes to set; undefined removes. */
  readonly attributes?: Readonly<Record<string, Attribute | undefined>>;
  /** Constants in place of inputs, by index; undefined removes the input. */
  readonly constants?: ReadonlyMap<number, Initializer | undefined>;
  /** The input that holds a target shape, and that shape: numbers, or the tile's size along spatial axes. */
  readonly shape?: { readonly input: number; readonly dims: readonly (number | Axis | 'hw')[] };
  /** An average divides by another count at the border: the correction factor of each output cell along an axis. */
  readonly counts?: Readonly<Partial<Record<Axis, readonly number[]>>>;
}

/** The tiling rule of one node. It depends on the whole network only, never on a grid. */
export interface NodeRule {
  /** Per output; undefined for outputs that no tile can make. */
  readonly outputs: readonly (Layout | undefined)[];
  /** Per input; undefined for what is the same for every tile. */
  readonly inputs: readonly (InputRule | undefined)[];
  /**
   * `anywhere`: works cell by cell on all cells that its inputs have. `exact`: must be given exactly the cells of its
   * receptive field.
   */
  readonly runs: 'anywhere' | 'exact';
  /** Set where a run computes cells outside the map, which must be trimmed at once. */
  readonly trim?: true;
  readonly rewrite?: Rewrite;
}

/**
 * Why a node cannot be tiled; `reason` continues a sentence that begins with the operator's name: "needs the whole
 * map".
 */
export interface Obstacle {
  readonly reason: string;
}

/** A node as its rule sees it. */
export interface NodeView {
  readonly node: GraphNode;
  /** Version of the default operator set. */
  readonly opset: number;
  /** Layout of an input that is a feature map. */
  map(input: number): Layout | undefined;
  /** The node that makes an input; undefined for constants and for inputs of the network. */
  maker(input: number): GraphNode | undefined;
  /** The nodes that read an output. */
  readers(output: number): readonly GraphNode[];
  /** Whether an optional input is present. */
  present(input: number): boolean;
  /** Whether an input is an input of the stage. */
  given(input: number): boolean;
  /** Type of an input; undefined where it is absent or unknown. */
  input(index: number): TensorSpec | undefined;
  /** Element type of an output; undefined where it is unknown. */
  made(index: number): Dtype | undefined;
  /** Shape of an output. */
  output(index: number): readonly number[];
  /** Values of an input that is a constant; undefined where they are not known. */
  values(input: number): readonly number[] | undefined;
}

/** A rule for one family of operators. */
export type RuleOf = (view: NodeView) => NodeRule | Obstacle;

/** Makes an obstacle. */
export function obstacle(reason: string): Obstacle {
  return { reason };
}

/** Whether a ruling is an obstacle. */
export function isObstacle(ruling: object): ruling is Obstacle {
  return 'reason' in ruling;
}

/** An axis index of ONNX, where negative ones count from the end. */
export function axisIndex(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}
