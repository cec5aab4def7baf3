import type { GraphNode, Model } from '../onnx/model.ts';
import { type Dtype, elementCount } from '../tensor/tensor.ts';
import { axisRanges, type Ranges, sameRanges } from './axis-ranges.ts';
import { everyBand } from './bands.ts';
import type { Adjustment, CountFeed, GeometrySlot, GridRanges, RangesByAxis, SampleFeed } from './halo-feeds.ts';
import { AXES, type Axis, type Layout } from './layout.ts';
import { changedAttributes, replacedInputs } from './rewritten.ts';
import type { InputRule, NodeRule, Rewrite } from './rules/rule.ts';
import type { Segment } from './segment.ts';
import { newNode, TileModelBuilder } from './tile-model-builder.ts';

/** The model of all halo tiles of a segment, and the geometry that each tile is fed. */
export interface HaloModel {
  readonly model: Model;
  readonly slots: readonly GeometrySlot[];
  readonly counts: readonly CountFeed[];
  readonly samples: readonly SampleFeed[];
  /** Adjustments that the model leaves out, because no band of any grid needs them. */
  readonly untouched: readonly Adjustment[];
  readonly alignment: Readonly<Record<Axis, readonly boolean[]>>;
}

interface Adjusted {
  readonly adjustment: Adjustment;
  readonly fill: number;
  /** The DequantizeLinear that made the tensor, where the adjusted tensor is quantised and dequantised again. */
  readonly codes: GraphNode | undefined;
  readonly name: string;
}

/** Builds the model of a segment; one instance builds one model. */
class HaloBuilder {
  readonly #segment: Segment;
  readonly #builder: TileModelBuilder;
  readonly #ranges: RangesByAxis;
  readonly #slots: GeometrySlot[] = [];
  readonly #counts: CountFeed[] = [];
  readonly #samples: SampleFeed[] = [];
  readonly #untouched: Adjustment[] = [];
  readonly #adjusted = new Map<string, Adjusted[]>();
  readonly #makers: ReadonlyMap<string, GraphNode>;
  /** New names of tensors whose own name goes to the cropped tensor. */
  readonly #renamed = new Map<string, string>();

  constructor(segment: Segment, ranges: RangesByAxis) {
    this.#segment = segment;
    this.#ranges = ranges;
    this.#builder = new TileModelBuilder(segment);
    this.#makers = new Map(segment.nodes.flatMap(({ node }) => node.outputs.map((output) => [output, node] as const)));
  }

  build(): HaloModel {
    const finals = this.#segment.outputs.map((name) => ({
      name,
      adjustment: this.#adjustment(name, (along) => along.wanted.get(name)!),
    }));
    for (const { name, adjustment } of finals)
      if (this.#differs(adjustment)) this.#renamed.set(name, this.#builder.fresh('wide'));
    this.#segment.nodes.forEach(({ node, rule }, index) => {
      if (rule === undefined) this.#builder.add(node);
      else this.#node(index, node, rule);
    });
    for (const { name, adjustment } of finals) {
      if (!this.#renamed.has(name)) this.#untouched.push(adjustment);
      else this.#pad(this.#name(name), name, adjustment, 0);
    }
    return {
      model: this.#builder.finish(),
      slots: this.#slots,
      counts: this.#counts,
      samples: this.#samples,
      untouched: this.#untouched,
      alignment: { h: this.#ranges.h.aligned, w: this.#ranges.w.aligned },
    };
  }

  #node(index: number, node: GraphNode, rule: NodeRule): void {
    const inputs = node.inputs.map((name, i) =>
      rule.inputs[i] === undefined ? name : this.#sampled(index, rule.inputs[i], this.#operand(index, i, name, rule)),
    );
    const counts = this.#factor(index, rule);
    const dtype = this.#dtype(node.outputs[0]!);
    // In float16 the average and the product would each be rounded; the network rounds once.
    const widened = counts !== undefined && dtype === 'float16';
    if (widened) inputs[0] = this.#builder.cast(inputs[0]!, 'float32');
    const rewritten = this.#rewritten(index, node, inputs, rule.rewrite ?? {});
    let outputs = node.outputs.map((name) => this.#name(name));
    const trimmed = rule.trim === true ? this.#trim(index, node.outputs[0]!, rule.outputs[0]!) : undefined;
    const made = outputs[0]!;
    if (counts !== undefined || trimmed !== undefined) outputs = [this.#builder.fresh('made'), ...outputs.slice(1)];
    this.#builder.add({ ...rewritten, outputs });
    if (counts !== undefined) {
      const product = widened ? this.#builder.fresh('product') : made;
      this.#builder.add(newNode('Mul', [outputs[0]!, counts], [product]));
      if (widened) this.#builder.cast(product, dtype, made);
    }
    if (trimmed !== undefined) this.#pad(outputs[0]!, made, trimmed, 0, node.outputs[0]!);
  }

  /** The input of a node with the cells that the node needs: the tensor itself, or cropped and padded. */
  #operand(index: number, input: number, name: string, rule: NodeRule): string {
    const adjustment = this.#adjustment(name, (along) => along.given[index]![input]!, rule.inputs[input]!.layout);
    if (!this.#differs(adjustment)) {
      this.#untouched.push(adjustment);
      return this.#name(name);
    }
    const fill = rule.inputs[input]!.fill ?? 0;
    const used = this.#pads(adjustment) ? fill : 0;
    // Padding with 0 is a code too; in a maximum the lowest code loses against every other.
    const isCode = used === 0 || this.#segment.nodes[index]!.node.op === 'MaxPool';
    const codes = isCode ? this.#quantizedBy(name) : undefined;
    const known = this.#adjusted.get(name) ?? [];
    const twin = known.find((other) => other.codes === codes && this.#serves(other, adjustment, fill));
    if (twin !== undefined) return twin.name;
    const adjusted = { adjustment, fill, codes, name: this.#builder.fresh('given') };
    this.#adjusted.set(name, [...known, adjusted]);
    const padded = codes === undefined ? adjusted.name : this.#builder.fresh('padded');
    this.#pad(this.#name(name), padded, adjustment, used, name);
    if (codes !== undefined) this.#builder.requantize(padded, adjusted.name, codes);
    return adjusted.name;
  }

  /**
   * The DequantizeLinear that makes a tensor, if it has one scale and byte codes, which can be restored exactly. The
   * runtime computes with codes only where QuantizeLinear and DequantizeLinear stand next to each other before an
   * operator; with floats it would make other codes.
   */
  #quantizedBy(name: string): GraphNode | undefined {
    const maker = this.#makers.get(name);
    if (maker?.op !== 'DequantizeLinear') return undefined;
    const [codes = '', scale = '', zero = ''] = maker.inputs;
    const one = (constant: string) => {
      const { initializers } = this.#segment.resolved.model.graph;
      return elementCount(initializers.get(constant)?.dims ?? [0]) === 1;
    };
    if (!this.#segment.layouts.has(codes) || !one(scale)) return undefined;
    const type = this.#dtype(codes);
    const isPlain = zero === '' ? type === 'uint8' : (type === 'uint8' || type === 'int8') && one(zero);
    return isPlain ? maker : undefined;
  }

  /**
   * An input with its axes resampled. Copies are one Gather, exact for every type. Weighted sums are one product with
   * the matrix of the weights: for the sizes of tiles it costs a third to an eighth of gathering, multiplying and
   * adding (measured, 28 to 256 cells), because a Gather along columns moves single numbers. The price: a NaN or an
   * infinity spreads along its row and column of the tile, where the network confines it to the cells that depend on
   * it.
   */
  #sampled(index: number, input: InputRule, operand: string): string {
    let name = operand;
    for (const axis of ['w', 'h'] as const) {
      const { taps } = input[axis];
      if (taps === undefined) continue;
      const by = taps.weights === undefined ? 'positions' : axis === 'w' ? 'right' : 'left';
      const made = this.#builder.fresh('sampled');
      const feed =
        by === 'positions'
          ? this.#builder.gather(name, made, input.layout[axis])
          : this.#builder.multiply(name, made, by);
      this.#samples.push({ name: feed, axis, node: index, taps, by });
      name = made;
    }
    return name;
  }

  #serves(other: Adjusted, adjustment: Adjustment, fill: number): boolean {
    const alike = AXES.every((axis) =>
      sameRanges(other.adjustment.to(this.#ranges[axis]), adjustment.to(this.#ranges[axis])),
    );
    return alike && (other.fill === fill || !this.#pads(adjustment));
  }

  #adjustment(name: string, to: (along: GridRanges) => Ranges, layout = this.#segment.layouts.get(name)!): Adjustment {
    const rank = this.#segment.resolved.specs.get(name)!.shape.length;
    return { layout, rank, from: (along) => along.have.get(name)!, to };
  }

  #trim(index: number, output: string, layout: Layout): Adjustment | undefined {
    const rank = this.#segment.resolved.specs.get(output)!.shape.length;
    const adjustment: Adjustment = {
      layout,
      rank,
      from: (along) => along.runs[index]!,
      to: (along) => along.have.get(output)!,
    };
    if (this.#differs(adjustment)) return adjustment;
    this.#untouched.push(adjustment);
    return undefined;
  }

  #differs(adjustment: Adjustment): boolean {
    return AXES.some((axis) => !sameRanges(adjustment.from(this.#ranges[axis]), adjustment.to(this.#ranges[axis])));
  }

  /** Whether an adjustment ever adds cells, so that the fill value matters. */
  #pads(adjustment: Adjustment): boolean {
    return AXES.some((axis) => {
      const from = adjustment.from(this.#ranges[axis]);
      const to = adjustment.to(this.#ranges[axis]);
      return to.lo.some((lo, k) => lo < from.lo[k]! || to.hi[k]! > from.hi[k]!);
    });
  }

  #pad(input: string, output: string, adjustment: Adjustment, fill: number, tensor = output): void {
    const pads = this.#builder.geometry(2 * adjustment.rank);
    this.#slots.push({ kind: 'adjustment', adjustment });
    this.#builder.pad(input, output, pads, this.#dtype(tensor), fill);
  }

  #dtype(tensor: string): Dtype {
    return this.#segment.resolved.specs.get(tensor)!.dtype;
  }

  #name(tensor: string): string {
    return this.#renamed.get(tensor) ?? tensor;
  }

  #rewritten(index: number, node: GraphNode, inputs: string[], rewrite: Rewrite): GraphNode {
    if (rewrite.identity === true) return newNode('Identity', inputs.slice(0, 1), node.outputs);
    if (rewrite.shape !== undefined) {
      inputs[rewrite.shape.input] = this.#builder.geometry(rewrite.shape.dims.length);
      this.#slots.push({ kind: 'shape', node: index, dims: rewrite.shape.dims });
    }
    return {
      ...node,
      inputs: replacedInputs(inputs, rewrite.constants, (tensor) => this.#builder.constant(tensor)),
      attributes: changedAttributes(node.attributes, rewrite.attributes),
    };
  }

  /** The product of a pool's count factors as a tensor, or undefined where none are needed. */
  #factor(index: number, rule: NodeRule): string | undefined {
    const layout = rule.outputs[0]!;
    const output = this.#segment.nodes[index]!.node.outputs[0]!;
    const rank = this.#segment.resolved.specs.get(output)!.shape.length;
    const names = AXES.flatMap((axis) => {
      const factors = rule.rewrite?.counts?.[axis];
      if (factors === undefined) return [];
      const dtype = this.#dtype(output) === 'float64' ? 'float64' : 'float32';
      const name = this.#builder.vector(rank, layout[axis], dtype);
      const shape = Array.from({ length: rank }, (_, i) => (i === layout[axis] ? -1 : 1));
      this.#counts.push({ name, dtype, axis, shape, node: index, factors });
      return [name];
    });
    if (names.length < 2) return names[0];
    const product = this.#builder.fresh('factor');
    this.#builder.add(newNode('Mul', names, [product]));
    return product;
  }
}

/**
 * Builds the one model that runs every tile of every grid of a segment. The network's pads become Pad nodes with
 * run-time pads; where an operator needs fewer cells than a branch made, such a Pad crops. Neither is inserted where no
 * band of any grid can need it.
 */
export function haloModel(segment: Segment): HaloModel {
  const walked = (axis: Axis): GridRanges => {
    const { wanted } = everyBand(segment, axis);
    return { ...axisRanges(segment, axis, wanted), wanted };
  };
  return new HaloBuilder(segment, { h: walked('h'), w: walked('w') }).build();
}
