import type { Attribute, GraphNode, Initializer } from '../../onnx/model.ts';
import type { Dtype, TensorSpec } from '../../tensor/tensor.ts';
import type { Axis, Layout } from '../layout.ts';
import type { ReceptiveField } from '../receptive-field.ts';

/** How one input of an operator is read by a tile. */
export interface InputRule {
  readonly layout: Layout;
  readonly h: ReceptiveField;
  readonly w: ReceptiveField;
  /** What padding is filled with; 0 unless given. */
  readonly fill?: number;
}

/** How an operator has to change so that it runs on any tile. Inputs that are replaced bear names of their own. */
export interface Rewrite {
  /** The node becomes Identity: cropping, padding and sampling in front of it do all of its work. */
  readonly identity?: true;
  /** Attributes to set; undefined removes. */
  readonly attributes?: Readonly<Record<string, Attribute | undefined>>;
  /** Constants in place of inputs, by index; undefined removes the input. */
  readonly constants?: ReadonlyMap<number, Initializer | undefined>;
  /** Input that holds a target shape, and the shape: numbers, or what the tile has along the spatial axes. */
  readonly shape?: { readonly input: number; readonly dims: readonly (number | Axis | 'hw')[] };
  /** Averages divide by another count at the border: factor of each output cell along an axis. */
  readonly counts?: Readonly<Partial<Record<Axis, readonly number[]>>>;
}

/** What the tiling of one node needs to know about its operator. Rules depend on the whole network only, never on a grid. */
export interface NodeRule {
  /** Per output; undefined for outputs that no tile can make. */
  readonly outputs: readonly (Layout | undefined)[];
  /** Per input; undefined for what is the same for every tile. */
  readonly inputs: readonly (InputRule | undefined)[];
  /** `anywhere`: runs cell by cell on whatever its inputs hold. `exact`: must be given exactly the cells that it reaches. */
  readonly runs: 'anywhere' | 'exact';
  /** Set where a run makes cells outside the map, which have to be cut off at once. */
  readonly trim?: true;
  readonly rewrite?: Rewrite;
}

/** Why a node cannot be tiled; reads on after the operator's name: "needs the whole map". */
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
  /** The node that makes an input; undefined for constants and inputs of the network. */
  maker(input: number): GraphNode | undefined;
  /** The nodes that read an output. */
  readers(output: number): readonly GraphNode[];
  /** Whether an input is given at all. */
  present(input: number): boolean;
  /** Whether an input is one of the stage's own. */
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

/** Refuses, with the reason. */
export function obstacle(reason: string): Obstacle {
  return { reason };
}

/** Whether a ruling refuses. */
export function isObstacle(ruling: NodeRule | Obstacle): ruling is Obstacle {
  return 'reason' in ruling;
}

/** An axis index of ONNX, where negative ones count from the end. */
export function axisIndex(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}
