import { TesseraError } from '../errors.ts';
import type { GraphNode } from '../onnx/model.ts';
import { type Axis, cells } from './layout.ts';
import { firstInputCell, inputCellsEnd, type ReceptiveField } from './receptive-field.ts';
import type { NodeRule } from './rules/rule.ts';
import type { Segment } from './segment.ts';

/** One half-open range of cells per band; a band is a row or a column of tiles. */
export interface Ranges {
  readonly lo: Int32Array;
  readonly hi: Int32Array;
}

/** Allocates ranges, for the caller to fill in. */
export function emptyRanges(count: number): Ranges {
  return { lo: new Int32Array(count), hi: new Int32Array(count) };
}

/** Whether two lists of ranges are equal. */
export function sameRanges(a: Ranges, b: Ranges): boolean {
  if (a === b) return true;
  for (let k = 0; k < a.lo.length; k++) if (a.lo[k] !== b.lo[k] || a.hi[k] !== b.hi[k]) return false;
  return true;
}

/**
 * Ranges along one axis for each node of a segment, by its index there; undefined for nodes that depend on constants
 * alone.
 */
export interface AxisRanges {
  /** The cells of each tensor that a tile needs: the hull of what the tensor's consumers need. */
  readonly need: ReadonlyMap<string, Ranges>;
  /** The cells of each tensor that a tile has: at least those that it needs, never any outside the map. */
  readonly have: ReadonlyMap<string, Ranges>;
  /** The output cells that each node computes. */
  readonly runs: readonly (Ranges | undefined)[];
  /** Per node and input: the cells that the operator is given, padding included, so the range may exceed the map. */
  readonly given: readonly (readonly (Ranges | undefined)[] | undefined)[];
  /** Nodes that run on all cells that their inputs have, because these are the same for every input. */
  readonly aligned: readonly boolean[];
}

/**
 * Whether a node of kind `anywhere` has aligned inputs in every possible band; found by computing the ranges of all of
 * them.
 */
export type Alignment = (node: number) => boolean;

function uniteInto(target: Map<string, Ranges>, name: string, count: number): { ranges: Ranges; fresh: boolean } {
  const known = target.get(name);
  if (known !== undefined) return { ranges: known, fresh: false };
  const ranges = emptyRanges(count);
  target.set(name, ranges);
  return { ranges, fresh: true };
}

/**
 * Widens an output range until its window touches the map: a window that lies in the padding altogether has no cells to
 * pad.
 */
function widen(field: ReceptiveField, size: number, outSize: number, run: Ranges): void {
  for (let k = 0; k < run.lo.length; k++) {
    while (run.lo[k]! > 0 && firstInputCell(field, run.lo[k]!) >= size) run.lo[k]!--;
    while (run.hi[k]! < outSize && inputCellsEnd(field, run.hi[k]!) <= 0) run.hi[k]!++;
  }
}

/** Adds the cells of an input that an operator needs to compute `run`: clipped to the map, at least one cell. */
function needInto(need: Map<string, Ranges>, name: string, field: ReceptiveField, size: number, run: Ranges): void {
  const { ranges, fresh } = uniteInto(need, name, run.lo.length);
  for (let k = 0; k < run.lo.length; k++) {
    const lo = Math.min(Math.max(firstInputCell(field, run.lo[k]!), 0), size - 1);
    const hi = Math.max(Math.min(inputCellsEnd(field, run.hi[k]!), size), lo + 1);
    ranges.lo[k] = fresh ? lo : Math.min(ranges.lo[k]!, lo);
    ranges.hi[k] = fresh ? hi : Math.max(ranges.hi[k]!, hi);
  }
}

/**
 * Computes the ranges of a segment from those of its outputs. First backwards: reverse tile calculation per operator,
 * and the hull where a tensor has several consumers (D3, section V). Then forwards: the cells that each tensor really
 * has, which can be more than a consumer needs. A crop then stands in front of each such consumer; operators that work
 * cell by cell need none.
 */
export function axisRanges(
  segment: Segment,
  axis: Axis,
  wanted: ReadonlyMap<string, Ranges>,
  alignment?: Alignment,
): AxisRanges {
  const count = [...wanted.values()][0]?.lo.length ?? 0;
  const need = new Map<string, Ranges>();
  for (const [name, ranges] of wanted) need.set(name, { lo: ranges.lo.slice(), hi: ranges.hi.slice() });
  const runs = new Array<Ranges | undefined>(segment.nodes.length);
  for (let index = segment.nodes.length - 1; index >= 0; index--) {
    const { node, rule } = segment.nodes[index]!;
    if (rule === undefined) continue;
    runs[index] = addNeeds(need, axis, node, rule, count);
  }
  return forwards(segment, axis, need, runs, alignment);
}

/**
 * Reverse tile calculation for one operator: from the cells that bands need of its outputs to those that they need of its
 * inputs, which are added to `need`. Returns the cells that the operator computes. `count`: of the bands.
 */
export function addNeeds(
  need: Map<string, Ranges>,
  axis: Axis,
  { inputs, outputs }: Pick<GraphNode, 'inputs' | 'outputs'>,
  rule: NodeRule,
  count: number,
): Ranges {
  const run = hullOfOutputs(need, outputs, count);
  const first = rule.inputs.find((input) => input?.[axis].beyond === 'pad');
  if (first !== undefined) widen(first[axis], cells(first.layout, axis), cells(rule.outputs[0]!, axis), run);
  rule.inputs.forEach((input, i) => {
    if (input !== undefined) needInto(need, inputs[i]!, input[axis], cells(input.layout, axis), run);
  });
  return run;
}

function hullOfOutputs(need: Map<string, Ranges>, outputs: readonly string[], count: number): Ranges {
  const run = emptyRanges(count);
  let fresh = true;
  for (const output of outputs) {
    const ranges = need.get(output);
    if (ranges === undefined) continue;
    for (let k = 0; k < count; k++) {
      run.lo[k] = fresh ? ranges.lo[k]! : Math.min(run.lo[k]!, ranges.lo[k]!);
      run.hi[k] = fresh ? ranges.hi[k]! : Math.max(run.hi[k]!, ranges.hi[k]!);
    }
    fresh = false;
  }
  return run;
}

function forwards(
  segment: Segment,
  axis: Axis,
  need: ReadonlyMap<string, Ranges>,
  runs: (Ranges | undefined)[],
  alignment: Alignment | undefined,
): AxisRanges {
  const have = new Map<string, Ranges>();
  for (const [name, ranges] of need) if (isSource(segment, name)) have.set(name, ranges);
  // Constants that vary in space are present whole.
  const holdings = (name: string, size: number): Ranges => {
    const known = have.get(name);
    if (known !== undefined) return known;
    const whole = emptyRanges(need.get(name)!.lo.length);
    whole.hi.fill(size);
    have.set(name, whole);
    return whole;
  };
  const given: (readonly (Ranges | undefined)[] | undefined)[] = [];
  const aligned: boolean[] = [];
  segment.nodes.forEach(({ node, rule }, index) => {
    if (rule === undefined) {
      given.push(undefined);
      aligned.push(true);
      return;
    }
    const held = rule.inputs.map((input, i) => input && holdings(node.inputs[i]!, cells(input.layout, axis)));
    const run = runs[index]!;
    const moving = held.filter((ranges, i) => ranges !== undefined && rule.inputs[i]![axis].mul !== 0);
    const alike = rule.runs === 'anywhere' && moving.every((ranges) => sameRanges(ranges!, moving[0]!));
    const isAligned = alignment === undefined ? alike : alignment(index);
    if (isAligned && rule.runs === 'anywhere' && !alike)
      throw new TesseraError('TESSERA_INTERNAL', `inputs of ${node.op} "${node.name}" differ in a tile`, {
        hint: 'Please report the model and the grid; --grid 1x1 avoids it.',
      });
    aligned.push(isAligned);
    const targets = rule.inputs.map((input, i) => {
      if (input === undefined) return undefined;
      return isAligned || input[axis].mul === 0 ? held[i]! : operand(input[axis], cells(input.layout, axis), run);
    });
    given.push(targets);
    const made = isAligned ? (moving[0] ?? run) : madeBy(rule, axis, targets, run);
    runs[index] = made;
    const kept = rule.trim === true ? need.get(node.outputs[0]!)! : made;
    for (const output of node.outputs) if (output !== '') have.set(output, kept);
  });
  return { need, have, runs, given, aligned };
}

function isSource(segment: Segment, name: string): boolean {
  return segment.inputs.includes(name);
}

/** The cells that an operator must be given to compute exactly `run`; those outside the map are padding. */
function operand(field: ReceptiveField, size: number, run: Ranges): Ranges {
  const target = emptyRanges(run.lo.length);
  for (let k = 0; k < run.lo.length; k++) {
    const lo = firstInputCell(field, run.lo[k]!);
    const hi = inputCellsEnd(field, run.hi[k]!);
    if (field.beyond === 'pad') {
      target.lo[k] = lo;
      target.hi[k] = hi;
    } else {
      target.lo[k] = Math.min(Math.max(lo, 0), size - 1);
      target.hi[k] = Math.max(Math.min(hi, size), target.lo[k]! + 1);
    }
  }
  return target;
}

function madeBy(rule: NodeRule, axis: Axis, targets: readonly (Ranges | undefined)[], run: Ranges): Ranges {
  const index = rule.inputs.findIndex((input) => input?.[axis].made !== undefined);
  const made = rule.inputs[index]?.[axis].made;
  if (made === undefined) return run;
  const target = targets[index]!;
  const result = emptyRanges(run.lo.length);
  for (let k = 0; k < run.lo.length; k++) {
    result.lo[k] = target.lo[k]! * made.up + made.first;
    result.hi[k] = (target.hi[k]! - 1) * made.up + made.last;
  }
  return result;
}
