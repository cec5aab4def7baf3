import { TesseraError } from '../errors.ts';
import { nodeMacs } from '../onnx/cost.ts';
import type { GraphNode } from '../onnx/model.ts';
import { emptyRanges, type Ranges } from './axis-ranges.ts';
import { tileBox } from './bands.ts';
import type { Feed, PartForm, PartOutline, Region, StageForm } from './form.ts';
import { boundaries } from './grid.ts';
import { AXES, type Axis, cells } from './layout.ts';
import { replacedInputs } from './rewritten.ts';
import type { NodeRule } from './rules/rule.ts';
import { area, type Segment } from './segment.ts';
import { GEOMETRY, TileModelBuilder } from './tile-model-builder.ts';

/** Cells of each tensor per cell of the reference output: the product of the strides between them. */
function densities(segment: Segment, axis: Axis): Map<string, number> {
  const known = new Map([[segment.reference, 1]]);
  const learn = (name: string, density: number): boolean => {
    if (known.has(name)) return false;
    known.set(name, density);
    return true;
  };
  // Follow the graph backwards from the reference, then forwards from the tensors found to other outputs, until nothing
  // new is found.
  for (let isNew = true; isNew; ) {
    isNew = false;
    for (const forth of [false, true]) {
      for (const { node, rule } of forth ? segment.nodes : segment.nodes.toReversed()) {
        rule?.inputs.forEach((input, i) => {
          if (input === undefined || input[axis].mul === 0) return;
          const ratio = input[axis].mul / input[axis].div;
          const [from, to] = [node.inputs[i]!, node.outputs[0]!];
          if (forth && known.has(from)) isNew = learn(to, known.get(from)! / ratio) || isNew;
          if (!forth)
            for (const out of node.outputs) if (known.has(out)) isNew = learn(from, known.get(out)! * ratio) || isNew;
        });
      }
    }
  }
  return known;
}

/** Number of cells of each tensor when a tile is run alone, or the reason why the tile cannot be. */
type Alone = { readonly sizes: ReadonlyMap<string, number> } | { readonly fault: string };

/** Sizes along one axis of a tile that is run alone: every operator pads at the tile's own edges. */
function runAlone(segment: Segment, axis: Axis, inputs: ReadonlyMap<string, number>): Alone {
  const sizes = new Map(inputs);
  for (const { node, rule } of segment.nodes) {
    if (rule === undefined) continue;
    const made = new Set<number>();
    for (const [i, input] of rule.inputs.entries()) {
      if (input === undefined || input[axis].mul === 0) continue;
      const size = sizes.get(node.inputs[i]!);
      if (size === undefined) return { fault: `${node.op} "${node.name}" has a constant that varies in space` };
      made.add(input[axis].alone(size));
    }
    if (made.size > 1) return { fault: `maps of different sizes meet at ${node.op} "${node.name}"` };
    const size = [...made][0] ?? 1;
    if (!Number.isInteger(size) || size < 1) return { fault: `tiles are too small for ${node.op} "${node.name}"` };
    for (const output of node.outputs) sizes.set(output, size);
  }
  return { sizes };
}

interface ZeroAxis {
  readonly ranges: ReadonlyMap<string, Ranges>;
  readonly alone: readonly ReadonlyMap<string, number>[];
}

/** Ranges of every input and output for bands of these sizes; the last band takes the cells left over at the end. */
function zeroRanges(segment: Segment, axis: Axis, sizes: readonly number[]): Map<string, Ranges> | { fault: string } {
  const density = densities(segment, axis);
  const ends = boundaries(sizes);
  const result = new Map<string, Ranges>();
  for (const tensor of [...segment.inputs, ...segment.outputs]) {
    const total = cells(segment.layouts.get(tensor)!, axis);
    const scale = density.get(tensor);
    const ranges = emptyRanges(sizes.length);
    for (let k = 0; k < sizes.length; k++) {
      const at = (end: number) => (total === 1 || scale === undefined ? undefined : end * scale);
      const lo = k === 0 ? 0 : at(ends[k]!);
      const hi = k === sizes.length - 1 ? total : at(ends[k + 1]!);
      const whole = total === 1 || scale === undefined;
      ranges.lo[k] = whole ? 0 : lo!;
      ranges.hi[k] = whole ? total : hi!;
      if (!whole && (ranges.lo[k] !== lo || ranges.hi[k] !== hi || ranges.lo[k]! >= ranges.hi[k]!))
        return { fault: `tiles of "${tensor}" would begin between two cells` };
    }
    result.set(tensor, ranges);
  }
  return result;
}

function tryAxis(segment: Segment, axis: Axis, sizes: readonly number[]): ZeroAxis | { fault: string } {
  const ranges = zeroRanges(segment, axis, sizes);
  if ('fault' in ranges) return ranges;
  const alone: ReadonlyMap<string, number>[] = [];
  for (let k = 0; k < sizes.length; k++) {
    const length = (tensor: string) => ranges.get(tensor)!.hi[k]! - ranges.get(tensor)!.lo[k]!;
    const run = runAlone(segment, axis, new Map(segment.inputs.map((tensor) => [tensor, length(tensor)])));
    if ('fault' in run) return run;
    for (const output of segment.outputs)
      if (run.sizes.get(output) !== length(output))
        return {
          fault: `a tile run alone makes ${run.sizes.get(output)} cells of "${output}" where ${length(output)} are wanted`,
        };
    alone.push(run.sizes);
  }
  return { ranges, alone };
}

/** Sizes that a tile in the middle of the map can have, found by trying them; for the hint. */
function possibleSizes(segment: Segment, axis: Axis): number[] {
  const total = cells(segment.layouts.get(segment.reference)!, axis);
  const possible: number[] = [];
  for (let size = 1; 2 * size <= total && size <= 64; size++)
    if (!('fault' in tryAxis(segment, axis, [size, total - size]))) possible.push(size);
  return possible;
}

function planAxis(segment: Segment, axis: Axis, sizes: readonly number[]): ZeroAxis {
  const planned = tryAxis(segment, axis, sizes);
  if (!('fault' in planned)) return planned;
  const what = axis === 'h' ? 'rows' : 'cols';
  const possible = possibleSizes(segment, axis);
  throw new TesseraError('TESSERA_PLAN_INVALID', `${what} [${sizes}] do not work with zero padding: ${planned.fault}`, {
    hint:
      possible.length > 0
        ? `Tiles can end after ${possible.join(', ')} cells of "${segment.reference}"; or use halo padding.`
        : 'This segment of the network can only be tiled with halo padding.',
  });
}

/** The unchanged segment, except for target shapes that name rows or columns and sizes that mean a factor. */
function zeroModel(segment: Segment): {
  piece: TileModelBuilder;
  shapes: { node: number; dims: readonly (number | Axis | 'hw')[] }[];
} {
  const piece = new TileModelBuilder(segment);
  const shapes: { node: number; dims: readonly (number | Axis | 'hw')[] }[] = [];
  segment.nodes.forEach(({ node, rule }, index) => {
    piece.add(rule === undefined ? node : unchanged(piece, shapes, node, rule, index));
  });
  return { piece, shapes };
}

function unchanged(
  piece: TileModelBuilder,
  shapes: { node: number; dims: readonly (number | Axis | 'hw')[] }[],
  node: GraphNode,
  rule: NodeRule,
  index: number,
): GraphNode {
  const shape = rule.rewrite?.shape;
  if (shape !== undefined) {
    shapes.push({ node: index, dims: shape.dims });
    const inputs = [...node.inputs];
    inputs[shape.input] = piece.geometry(shape.dims.length);
    return { ...node, inputs };
  }
  if (node.op !== 'Resize' || rule.rewrite?.constants === undefined) return node;
  const attributes = new Map([...node.attributes].filter(([name]) => name !== 'axes'));
  return {
    ...node,
    attributes,
    inputs: replacedInputs(node.inputs, rule.rewrite.constants, (tensor) => piece.constant(tensor)),
  };
}

type ZeroAxes = Readonly<Record<Axis, ZeroAxis>>;

function planned(segment: Segment, rows: readonly number[], cols: readonly number[]): ZeroAxes {
  return { h: planAxis(segment, 'h', rows), w: planAxis(segment, 'w', cols) };
}

function outlinesOf(segment: Segment, axes: ZeroAxes, rows: number, cols: number): PartOutline[] {
  const { resolved, layouts, inputs, outputs, nodes } = segment;
  const isNeeded = new Set(nodes.flatMap(({ node }) => node.inputs));
  const regions = (tensors: readonly string[], row: number, col: number): Region[] =>
    tensors.map((tensor) => {
      const ranges = { h: axes.h.ranges.get(tensor)!, w: axes.w.ranges.get(tensor)! };
      return { tensor, box: tileBox(resolved.specs.get(tensor)!.shape, layouts.get(tensor)!, ranges, row, col) };
    });
  return Array.from({ length: rows * cols }, (_, t_id): PartOutline => {
    const [row, col] = [Math.floor(t_id / cols), t_id % cols];
    const macs = nodes.reduce((sum, { node, rule }) => {
      const whole = rule === undefined ? 0 : nodeMacs(resolved, node);
      if (whole === 0) return sum;
      const cellsOf = AXES.reduce((product, axis) => product * sizeOf(axes, node.outputs[0]!, axis, row, col), 1);
      return sum + (whole * cellsOf) / area(rule!.outputs[0]!);
    }, 0);
    const read = inputs.filter((tensor) => isNeeded.has(tensor));
    return { t_id, in: regions(read, row, col), out: regions(outputs, row, col), macs: Math.round(macs) };
  });
}

/** Cells of a tensor of one tile along an axis. */
function sizeOf(axes: ZeroAxes, tensor: string, axis: Axis, row: number, col: number): number {
  return axes[axis].alone[axis === 'h' ? row : col]!.get(tensor)!;
}

/** The parts of a stage of tiles without halo, as `zeroForm` compiles them, without their model. Throws as it does. */
export function zeroOutlines(segment: Segment, rows: readonly number[], cols: readonly number[]): PartOutline[] {
  return outlinesOf(segment, planned(segment, rows, cols), rows.length, cols.length);
}

/**
 * Compiles a stage of tiles that are each run alone, with the network's padding applied at the tile's own edges (FDSP,
 * ADCNN section 3). The sides of the tiles must be multiples of the strides' product; otherwise TESSERA_PLAN_INVALID
 * names possible sizes.
 */
export function zeroForm(segment: Segment, rows: readonly number[], cols: readonly number[]): StageForm {
  const axes = planned(segment, rows, cols);
  const { piece, shapes } = zeroModel(segment);
  const model = piece.finish();
  const parts = outlinesOf(segment, axes, rows.length, cols.length).map((outline): PartForm => {
    const [row, col] = [Math.floor(outline.t_id / cols.length), outline.t_id % cols.length];
    const values = shapes.flatMap(({ node, dims }) => {
      const output = segment.nodes[node]!.node.outputs[0]!;
      const [h, w] = AXES.map((axis) => sizeOf(axes, output, axis, row, col)) as [number, number];
      return dims.map((dim) => (dim === 'h' ? h : dim === 'w' ? w : dim === 'hw' ? h * w : dim));
    });
    const feeds: Feed[] =
      values.length === 0 ? [] : [{ name: GEOMETRY, dtype: 'int64', shape: [values.length], values }];
    return { ...outline, model, slices: [], feeds };
  });
  return { parts, approximate: rows.length * cols.length > 1 };
}
