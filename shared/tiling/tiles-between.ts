import { nodeMacs } from '../onnx/cost.ts';
import type { ResolvedModel } from '../onnx/model.ts';
import { addNeeds, type Ranges } from './axis-ranges.ts';
import { type Bands, gridBands } from './bands.ts';
import { type Axis, cells, isFolded, type Layout } from './layout.ts';
import { area } from './segment.ts';
import type { Tileable } from './tileable.ts';

/** A place in the order of a network's nodes: where one stage can end and the next begin. */
export interface Place {
  /** Index of the last node before it; -1 for the frame. */
  readonly after: number;
  /** The live tensors. */
  readonly tensors: readonly string[];
  /** Outputs of the network that are made before it. */
  readonly outputs: readonly string[];
}

/** The map at a place whose cells a grid counts. */
export interface Cells {
  readonly tensor: string;
  readonly rows: number;
  readonly cols: number;
}

/**
 * What some parts have of a tensor, or need of it: six numbers for each part, the begin and end of its rows, of its columns
 * and of its channels, as shares (0..1) of the whole.
 */
export type ShareBoxes = Float64Array;

/** What bands along one axis need of the tensors at each earlier place, and the share of each product that they compute. */
interface AxisPass {
  readonly count: number;
  /** By place and tensor: begin and end of each band, as shares. */
  readonly needs: readonly (readonly Float64Array[])[];
  /** By index of the node, for nodes with products. */
  readonly shares: ReadonlyMap<number, Float64Array>;
}

/**
 * Tiles with halo of all stages between some places of a network. What the tiles of a stage that ends at a place need is
 * found for all beginnings at once, in one walk back through the network (reverse tile calculation; D3, section V).
 */
export class TilesBetween {
  readonly #resolved: ResolvedModel;
  readonly #places: readonly Place[];
  readonly #reach: Tileable;
  readonly #passes = new Map<string, AxisPass>();
  /** Multiply-adds by index of the node, the last first. */
  readonly #products: ReadonlyMap<number, number>;

  /** `places`: in order; the first is the frame. `reach`: what tiles can reach from the frame. */
  constructor(resolved: ResolvedModel, places: readonly Place[], reach: Tileable) {
    this.#resolved = resolved;
    this.#places = places;
    this.#reach = reach;
    const { nodes } = resolved.model.graph;
    const macs = this.#reach.nodes.map((index) => [index, nodeMacs(resolved, nodes[index]!)] as const);
    this.#products = new Map(macs.filter(([, products]) => products > 0).reverse());
  }

  /** The map whose cells a grid counts where a tile stage ends at a place; undefined where none can. */
  cells(place: number): Cells | undefined {
    const { tensors, outputs } = this.#places[place]!;
    if (place === 0) return undefined;
    const layouts = [...tensors, ...outputs].map((tensor) => this.#reach.layouts.get(tensor));
    if (tensors.length === 0 || layouts.some((layout) => layout === undefined || isFolded(layout))) return undefined;
    const tensor = this.#reference(place);
    const { rows, cols } = this.#layout(tensor);
    return { tensor, rows, cols };
  }

  /** The shares of each tensor at a place that the tiles of a grid make; `rows` and `cols` are sizes in cells. */
  made(place: number, rows: readonly number[], cols: readonly number[]): readonly ShareBoxes[] {
    const [h, w] = [this.#bands(place, 'h', rows), this.#bands(place, 'w', cols)];
    return this.#places[place]!.tensors.map((tensor) =>
      boxes(
        this.#shares(tensor, 'h', h.given.get(tensor)!, rows.length),
        this.#shares(tensor, 'w', w.given.get(tensor)!, cols.length),
      ),
    );
  }

  /** For each tensor at the place `from`: what the tiles of a stage need of it that begins there and ends at `to`. */
  needs(from: number, to: number, rows: readonly number[], cols: readonly number[]): readonly ShareBoxes[] {
    const [h, w] = [this.#pass(to, 'h', rows), this.#pass(to, 'w', cols)];
    return h.needs[from]!.map((ranges, tensor) => boxes(ranges, w.needs[from]![tensor]!));
  }

  /**
   * Multiply-adds of the tiles of the stages that end at a place, row by row, halo included: by the place at which a stage
   * begins.
   */
  tileMacs(to: number, rows: readonly number[], cols: readonly number[]): readonly Float64Array[] {
    const [high, wide] = [this.#pass(to, 'h', rows), this.#pass(to, 'w', cols)];
    const sums = new Float64Array(high.count * wide.count);
    const found: Float64Array[] = [];
    let place = to - 1;
    for (const [index, products] of this.#products) {
      for (; place >= 0 && this.#places[place]!.after >= index; place--) found[place] = sums.slice();
      const [h, w] = [high.shares.get(index), wide.shares.get(index)];
      if (h === undefined || w === undefined) continue;
      for (let row = 0; row < h.length; row++)
        for (let col = 0; col < w.length; col++) sums[row * w.length + col]! += products * h[row]! * w[col]!;
    }
    for (; place >= 0; place--) found[place] = sums.slice();
    return found;
  }

  #layout(tensor: string): Layout {
    return this.#reach.layouts.get(tensor)!;
  }

  #reference(place: number): string {
    const { tensors } = this.#places[place]!;
    return tensors.reduce((best, tensor) => (area(this.#layout(tensor)) < area(this.#layout(best)) ? tensor : best));
  }

  #bands(place: number, axis: Axis, sizes: readonly number[]): Bands {
    const outputs = this.#places[place]!.tensors;
    const reference = this.#reference(place);
    return gridBands({ layouts: this.#reach.layouts, outputs, reference }, axis, sizes);
  }

  #shares(tensor: string, axis: Axis, { lo, hi }: Ranges, count: number): Float64Array {
    const size = cells(this.#layout(tensor), axis);
    const shares = new Float64Array(2 * count);
    for (let k = 0; k < count; k++) {
      shares[2 * k] = lo[k]! / size;
      shares[2 * k + 1] = hi[k]! / size;
    }
    return shares;
  }

  #pass(to: number, axis: Axis, sizes: readonly number[]): AxisPass {
    const name = `${to} ${axis} ${sizes}`;
    const known = this.#passes.get(name);
    if (known !== undefined) return known;
    const count = sizes.length;
    const need = new Map(
      [...this.#bands(to, axis, sizes).wanted].map(([tensor, { lo, hi }]) => [
        tensor,
        { lo: lo.slice(), hi: hi.slice() },
      ]),
    );
    const needs: (readonly Float64Array[])[] = [];
    const shares = new Map<number, Float64Array>();
    const { nodes } = this.#resolved.model.graph;
    let place = to - 1;
    for (let index = this.#places[to]!.after; index >= -1; index--) {
      for (; place >= 0 && this.#places[place]!.after === index; place--)
        needs[place] = this.#places[place]!.tensors.map((tensor) => {
          const ranges = need.get(tensor);
          return ranges === undefined ? new Float64Array(2 * count) : this.#shares(tensor, axis, ranges, count);
        });
      const rule = this.#reach.rules.get(index);
      const node = nodes[index];
      if (rule === undefined || node?.outputs.some((output) => need.has(output)) !== true) continue;
      const { lo, hi } = addNeeds(need, axis, node, rule, count);
      if (!this.#products.has(index)) continue;
      const size = cells(rule.outputs[0]!, axis);
      shares.set(
        index,
        Float64Array.from({ length: count }, (_, k) => (hi[k]! - lo[k]!) / size),
      );
    }
    const pass = { count, needs, shares };
    this.#passes.set(name, pass);
    return pass;
  }
}

/** The boxes of a grid, row by row, with all channels. */
function boxes(rows: Float64Array, cols: Float64Array): ShareBoxes {
  const all = new Float64Array((6 * rows.length * cols.length) / 4);
  let at = 0;
  for (let row = 0; row < rows.length; row += 2)
    for (let col = 0; col < cols.length; col += 2) {
      all[at] = rows[row]!;
      all[at + 1] = rows[row + 1]!;
      all[at + 2] = cols[col]!;
      all[at + 3] = cols[col + 1]!;
      all[at + 5] = 1;
      at += 6;
    }
  return all;
}
