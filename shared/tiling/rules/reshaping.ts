import type { Axis, Layout } from '../layout.ts';
import { CELL_BY_CELL, type ReceptiveField, windowField } from '../receptive-field.ts';
import { blockField } from './enlarging.ts';
import { type NodeRule, type NodeView, type Obstacle, obstacle } from './rule.ts';

/** A factor of the input's shape in memory order: rows, columns, or an axis that is the same for every tile. */
interface Atom {
  size: number;
  readonly axis: Axis | undefined;
  /** Cells of rows or columns per step of this atom; set when the axis was split. */
  readonly block: number;
}

function atomsOf(shape: readonly number[], layout: Layout): Atom[] {
  return shape.flatMap((size, dim): Atom[] => {
    if (dim === layout.h && dim === layout.w)
      return [
        { size: layout.rows, axis: 'h', block: 1 },
        { size: layout.cols, axis: 'w', block: 1 },
      ];
    return [{ size, axis: dim === layout.h ? 'h' : dim === layout.w ? 'w' : undefined, block: 1 }];
  });
}

/**
 * Distributes the input's atoms over the output's axes, in memory order; undefined where an axis takes an indivisible
 * part of an atom.
 */
function deal(shape: readonly number[], layout: Layout, out: readonly number[]): Atom[][] | undefined {
  const atoms = atomsOf(shape, layout);
  const dealt: Atom[][] = [];
  for (const size of out) {
    const taken: Atom[] = [];
    let left = size;
    while (left > 1) {
      const atom = atoms.shift();
      if (atom === undefined) return undefined;
      if (left % atom.size === 0) {
        taken.push(atom);
        left /= atom.size;
      } else if (atom.size % left === 0) {
        // The leading part keeps the kind; the rest counts cells inside one of its blocks.
        const block = atom.size / left;
        taken.push({ ...atom, size: left, block: atom.block * block });
        atoms.unshift({ size: block, axis: undefined, block: 1 });
        left = 1;
      } else return undefined;
    }
    if (size === 1 && atoms[0]?.size === 1) taken.push(atoms.shift()!);
    dealt.push(taken);
  }
  return atoms.every((atom) => atom.size === 1) ? dealt : undefined;
}

/** The atom that an output axis consists of. */
interface Part {
  readonly dim: number | Axis | 'hw';
  readonly axis?: Axis;
  readonly field?: ReceptiveField;
  readonly cells?: number;
}

function partOf(atoms: readonly Atom[]): Part | undefined {
  const real = atoms.filter((atom) => atom.size > 1 || (atom.axis !== undefined && atoms.length === 1));
  const spatial = real.filter((atom) => atom.axis !== undefined);
  const size = real.reduce((product, atom) => product * atom.size, 1);
  if (spatial.length === 0) return { dim: size };
  const first = real[0]!;
  if (spatial.length === 2) {
    const folds = real.length === 2 && first.axis === 'h' && real[1]!.axis === 'w';
    return folds && first.block === 1 && real[1]!.block === 1 ? { dim: 'hw' } : undefined;
  }
  if (first.axis === undefined) return undefined;
  const factor = size / first.size;
  if (first.block > 1 && factor > 1) return undefined;
  const { block } = first;
  const field =
    block > 1 ? windowField(block, block, 0, 'clip', (n) => n / block) : factor > 1 ? blockField(factor) : CELL_BY_CELL;
  return { dim: first.axis, axis: first.axis, field, cells: size };
}

/**
 * Reshape-5..21 and Flatten where rows and columns stay axes of their own (channel shuffle), are folded into one axis
 * and unfolded later, or are joined with or split from a block (pixel shuffle). The target shape is fed at run time.
 */
export function reshape(view: NodeView): NodeRule | Obstacle {
  const layout = view.map(0);
  const shape = view.input(0)?.shape;
  if (layout === undefined || shape === undefined) return obstacle('has a shape that is computed from the frame');
  const out = view.output(0);
  const wholeMap = obstacle('mixes rows and columns with other axes, so it needs the whole map');
  const dealt = deal(shape, layout, out);
  if (dealt === undefined) return wholeMap;
  const fields: Record<Axis, ReceptiveField> = { h: CELL_BY_CELL, w: CELL_BY_CELL };
  const dims: (number | Axis | 'hw')[] = [];
  const target = { h: -1, w: -1, rows: layout.rows, cols: layout.cols };
  for (const [dim, atoms] of dealt.entries()) {
    const part = partOf(atoms);
    if (part === undefined) return wholeMap;
    dims.push(part.dim);
    if (part.dim === 'hw') {
      target.h = dim;
      target.w = dim;
    }
    if (part.axis === undefined) continue;
    target[part.axis] = dim;
    target[part.axis === 'h' ? 'rows' : 'cols'] = part.cells!;
    fields[part.axis] = part.field!;
  }
  if ((target.h < 0 && layout.rows > 1) || (target.w < 0 && layout.cols > 1)) return wholeMap;
  const moves = fields.h !== CELL_BY_CELL || fields.w !== CELL_BY_CELL;
  if (moves && layout.h >= 0 && layout.h === layout.w) {
    // Unfolding and blocking at once would crop a folded map; no known network does it.
    return obstacle('unfolds rows and columns into blocks');
  }
  return {
    outputs: [target],
    inputs: [{ layout, ...fields }],
    runs: moves ? 'exact' : 'anywhere',
    ...(view.node.op === 'Reshape' ? { rewrite: { shape: { input: 1, dims } } } : {}),
  };
}
