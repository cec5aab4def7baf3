import { intAttribute } from '../../onnx/attributes.ts';
import { isFolded, isSpatial, type Layout, moved } from '../layout.ts';
import { broadcastWith, through } from './elementwise.ts';
import { axisIndex, type NodeRule, type NodeView, type Obstacle, obstacle } from './rule.ts';

/** Concat along an axis that is neither rows nor columns. */
export function concat(view: NodeView): NodeRule | Obstacle {
  const out = view.output(0);
  const axis = axisIndex(intAttribute(view.node, 'axis', 1), out.length);
  return broadcastWith(view, out, (layout) =>
    isSpatial(layout, axis) ? obstacle('joins maps side by side, so cells change their place') : undefined,
  );
}

/** Split along an axis that is neither rows nor columns. */
export function split(view: NodeView): NodeRule | Obstacle {
  const layout = view.map(0);
  if (layout === undefined || view.map(1) !== undefined) return obstacle('has sizes that are computed from the frame');
  const axis = axisIndex(intAttribute(view.node, 'axis', 0), view.input(0)!.shape.length);
  if (isSpatial(layout, axis)) return obstacle('splits rows or columns, so cells change their place');
  return { ...through(layout, layout), outputs: view.node.outputs.map(() => layout) };
}

/** Gather of constant indices along an axis that is neither rows nor columns. */
export function gather(view: NodeView): NodeRule | Obstacle {
  const layout = view.map(0);
  const data = view.input(0);
  const indices = view.input(1);
  if (layout === undefined || data === undefined || indices === undefined || view.map(1) !== undefined)
    return obstacle('looks up indices that are computed from the frame');
  const axis = axisIndex(intAttribute(view.node, 'axis', 0), data.shape.length);
  if (isSpatial(layout, axis)) return obstacle('picks rows or columns, so cells change their place');
  const grows = indices.shape.length - 1;
  return through(
    layout,
    moved(layout, (dim) => (dim > axis ? dim + grows : dim)),
  );
}

/** MatMul of a map with a constant matrix that acts on an axis which is neither rows nor columns. */
export function matMul(view: NodeView): NodeRule | Obstacle {
  const side = view.map(0) !== undefined ? 0 : 1;
  const layout = view.map(side)!;
  const weight = view.input(1 - side)?.shape;
  const rank = view.input(side)!.shape.length;
  if (weight === undefined || view.map(1 - side) !== undefined)
    return obstacle('multiplies two maps, so every cell meets every other');
  if (weight.length !== 2 || rank < 2) return obstacle('multiplies by something that is no plain matrix');
  const summed = side === 0 ? rank - 1 : rank - 2;
  return isSpatial(layout, summed) ? obstacle('needs the whole map') : throughInput(view, side, layout);
}

function throughInput(view: NodeView, side: number, layout: Layout): NodeRule {
  const rule = through(layout, layout);
  return { ...rule, inputs: view.node.inputs.map((_, i) => (i === side ? rule.inputs[0] : undefined)) };
}

/** Transpose: rows and columns move to other axes; their cells stay. */
export function transpose(view: NodeView): NodeRule | Obstacle {
  const layout = view.map(0)!;
  const rank = view.output(0).length;
  const attribute = view.node.attributes.get('perm');
  const order = attribute?.kind === 'ints' ? attribute.value : Array.from({ length: rank }, (_, i) => rank - 1 - i);
  return through(
    layout,
    moved(layout, (dim) => order.indexOf(dim)),
  );
}

function axesOf(view: NodeView): readonly number[] | undefined {
  const attribute = view.node.attributes.get('axes');
  if (attribute?.kind === 'ints') return attribute.value;
  return view.present(1) ? view.values(1) : [];
}

/** Squeeze of axes that are neither rows nor columns, or of a spatial axis of size 1. */
export function squeeze(view: NodeView): NodeRule | Obstacle {
  const layout = view.map(0)!;
  const shape = view.input(0)!.shape;
  const given = axesOf(view);
  if (given === undefined) return obstacle('removes axes that are not constant');
  if (given.length === 0) return obstacle('removes every axis of size 1, which depends on the tile');
  const removed = given.map((axis) => axisIndex(axis, shape.length));
  return through(
    layout,
    moved(layout, (dim) => (removed.includes(dim) ? -1 : dim - removed.filter((axis) => axis < dim).length)),
  );
}

/** Unsqueeze. */
export function unsqueeze(view: NodeView): NodeRule | Obstacle {
  const layout = view.map(0)!;
  const rank = view.output(0).length;
  const added = axesOf(view)?.map((axis) => axisIndex(axis, rank));
  if (added === undefined) return obstacle('adds axes that are not constant');
  const kept = Array.from({ length: rank }, (_, i) => i).filter((i) => !added.includes(i));
  return through(
    layout,
    moved(layout, (dim) => kept[dim]!),
  );
}

/** Refuses maps whose rows and columns share an axis, for operators that have to tell them apart. */
export function unfolded(layout: Layout): Obstacle | undefined {
  return isFolded(layout) ? obstacle('works on rows and columns folded into one axis') : undefined;
}
