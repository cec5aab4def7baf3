import { TesseraError } from '../errors.ts';
import { isConv, modelTotals, nodeMacs } from '../onnx/cost.ts';
import { type Dag, dagOf } from '../onnx/dag.ts';
import type { ResolvedModel } from '../onnx/model.ts';
import { byteLength } from '../tensor/tensor.ts';
import { isFolded } from './layout.ts';
import { area } from './segment.ts';
import { findTileable, type Stop, type Tileable } from './tileable.ts';

/** A tileable beginning of a network (or of what follows some cut). */
export interface Prefix {
  /** Every tensor that the rest of the network, or its user, needs of it; empty where nothing can be tiled. */
  readonly outputs: readonly string[];
  /** Multiply-adds of the prefix, and of its convolutions, halo not counted. */
  readonly macs: number;
  readonly convMacs: number;
  /** Where tiling ends and why. */
  readonly stops: readonly Stop[];
  /** The output whose cells a grid counts, and its size; absent where there is none. */
  readonly reference?: { readonly tensor: string; readonly rows: number; readonly cols: number };
}

interface Context {
  readonly resolved: ResolvedModel;
  readonly reach: Tileable;
  readonly dag: Dag;
  readonly rows: number;
  readonly cols: number;
}

/** Whether tiles of the grid can hand a tensor over: rows and columns apart, and at least a cell for each tile. */
function canLeave(context: Context, tensor: string): boolean {
  const layout = context.reach.layouts.get(tensor);
  return layout !== undefined && !isFolded(layout) && layout.rows >= context.rows && layout.cols >= context.cols;
}

/** Takes nodes away from the end until every tensor that leaves is one that tiles can hand over. The largest such set is unique. */
function shrink(context: Context, nodes: Iterable<number>): Set<number> {
  const set = new Set(nodes);
  for (;;) {
    const bad = context.dag.boundary(set).find((tensor) => !canLeave(context, tensor));
    if (bad === undefined) return set;
    for (const index of context.dag.dependants(context.dag.maker(bad)!, set)) set.delete(index);
  }
}

function boundaryBytes(context: Context, set: ReadonlySet<number>): number {
  return context.dag.boundary(set).reduce((sum, name) => sum + byteLength(context.resolved.specs.get(name)!), 0);
}

/** How many operators without products a cut may move back over, and how much smaller it must get. */
const LOOK_BACK = 6;
const CLEARLY_FEWER = 0.75;

/**
 * Moves the end back over operators that cost nothing where clearly fewer bytes cross there: an enlargement at the very
 * end of a stage is cheaper done by the stage that needs it.
 */
function withoutEnlargements(context: Context, set: Set<number>): Set<number> {
  let best = set;
  for (;;) {
    const bytes = boundaryBytes(context, best);
    const ends = new Set(context.dag.boundary(best).map((tensor) => context.dag.maker(tensor)!));
    const smaller = [...ends]
      .map((index) => movedBack(context, best, index, bytes))
      .find((found) => found !== undefined);
    if (smaller === undefined) return best;
    best = smaller;
  }
}

/** The set without the chain of free operators that ends at `index`, as soon as that makes the cut clearly smaller. */
function movedBack(context: Context, set: ReadonlySet<number>, index: number, bytes: number): Set<number> | undefined {
  const { dag, resolved } = context;
  const isEnd = (node: number, within: ReadonlySet<number>) =>
    nodeMacs(resolved, dag.nodes[node]!) === 0 &&
    dag.nodes[node]!.outputs.every((output) => !dag.readers(output).some((reader) => within.has(reader)));
  let current = index;
  const rest = new Set(set);
  for (let step = 0; step < LOOK_BACK; step++) {
    if (!rest.has(current) || !isEnd(current, rest)) return undefined;
    rest.delete(current);
    if (rest.size === 0) return undefined;
    const valid = dag.boundary(rest).every((tensor) => canLeave(context, tensor));
    if (valid && boundaryBytes(context, rest) < CLEARLY_FEWER * bytes) return rest;
    const before = dag.nodes[current]!.inputs.map((input) => dag.maker(input)).find((maker) => rest.has(maker ?? -1));
    if (before === undefined) return undefined;
    current = before;
  }
  return undefined;
}

function prefixOf(context: Context, set: ReadonlySet<number>): Prefix {
  const { resolved, reach, dag } = context;
  const outputs = dag.boundary(set);
  let macs = 0;
  let convMacs = 0;
  for (const index of set) {
    const own = nodeMacs(resolved, dag.nodes[index]!);
    macs += own;
    if (isConv(dag.nodes[index]!)) convMacs += own;
  }
  const base = { outputs, macs, convMacs, stops: reach.stops };
  const [first] = outputs;
  if (first === undefined) return base;
  let tensor = first;
  for (const output of outputs)
    if (area(reach.layouts.get(output)!) < area(reach.layouts.get(tensor)!)) tensor = output;
  const { rows, cols } = reach.layouts.get(tensor)!;
  return { ...base, reference: { tensor, rows, cols } };
}

/** Share of the network's multiply-adds below which tiles are not worth their messages. */
const WORTH_SPREADING = 0.05;

/** The prefix, or an empty one with the same stops where tiles would have (nearly) nothing of the network's products to do. */
function ifWorthSpreading(resolved: ResolvedModel, prefix: Prefix): Prefix {
  if (prefix.macs >= WORTH_SPREADING * modelTotals(resolved).macs) return prefix;
  return { outputs: [], macs: 0, convMacs: 0, stops: prefix.stops };
}

/**
 * The longest beginning of the network behind `inputs` that tiles losslessly and whose every output has at least
 * `rows` x `cols` cells; empty where that is less than a twentieth of the network's multiply-adds. Branches end where they have to, so outputs can have different strides (detection heads, skips).
 */
export function longestPrefix(
  resolved: ResolvedModel,
  inputs: readonly string[],
  grid: { readonly rows: number; readonly cols: number },
): Prefix {
  const context: Context = { resolved, reach: findTileable(resolved, inputs), dag: dagOf(resolved), ...grid };
  return ifWorthSpreading(
    resolved,
    prefixOf(context, withoutEnlargements(context, shrink(context, context.reach.nodes))),
  );
}

/**
 * The beginning of the network that ends at the tensors the user named: what makes them, and nothing after it. Its
 * outputs are those tensors and whatever else leaves it (skips). Throws TESSERA_PLAN_INVALID where tiles cannot get there.
 */
export function explicitCut(resolved: ResolvedModel, inputs: readonly string[], tensors: readonly string[]): Prefix {
  const reach = findTileable(resolved, inputs);
  const dag = dagOf(resolved);
  const chosen = dag.between(inputs, tensors);
  const stop =
    reach.stops.find(({ node, waits }) => chosen.has(node) && !waits) ??
    reach.stops.find(({ node }) => chosen.has(node));
  if (stop !== undefined)
    throw new TesseraError(
      'TESSERA_PLAN_INVALID',
      `tiles cannot reach ${tensors.map((tensor) => `"${tensor}"`).join(', ')}: ${stop.op} "${stop.name}" ${stop.reason}`,
      { hint: 'Cut before that operator; `tessera model inspect` lists the tensors where tiles can end.' },
    );
  const context: Context = { resolved, reach, dag, rows: 1, cols: 1 };
  const set = new Set([...chosen].filter((index) => reach.rules.has(index)));
  const bad = dag.boundary(set).find((tensor) => !canLeave(context, tensor));
  if (bad !== undefined || set.size === 0)
    throw new TesseraError('TESSERA_PLAN_INVALID', `a tile stage cannot end at "${bad ?? tensors.join('", "')}"`, {
      hint: 'Take a feature map with rows and columns on axes of their own.',
    });
  return prefixOf(context, set);
}

/**
 * Ever shorter beginnings of the network, the longest first: each ends before another operator with products, and the
 * last still has `leastShare` of the convolution multiply-adds that tiles can reach at all. At most `most` of them; one
 * with less than a twentieth of the network's multiply-adds is empty.
 */
export function shorterPrefixes(
  resolved: ResolvedModel,
  inputs: readonly string[],
  grid: { readonly rows: number; readonly cols: number },
  leastShare: number,
  most: number,
): Prefix[] {
  const context: Context = { resolved, reach: findTileable(resolved, inputs), dag: dagOf(resolved), ...grid };
  const longest = shrink(context, context.reach.nodes);
  const order = [...longest].sort((a, b) => a - b);
  const cost = (index: number) =>
    isConv(context.dag.nodes[index]!) ? nodeMacs(resolved, context.dag.nodes[index]!) : 0;
  const least = leastShare * context.reach.nodes.reduce((sum, index) => sum + cost(index), 0);
  // Nodes stand in topological order, so the first k of them are a beginning of the network.
  const ends: number[] = [];
  let conv = 0;
  order.forEach((index, k) => {
    if (cost(index) > 0 && conv >= least) ends.push(k);
    conv += cost(index);
  });
  const chosen = new Set(
    Array.from(
      { length: Math.min(most - 1, ends.length) },
      (_, i) => ends[Math.floor((i * ends.length) / Math.min(most - 1, ends.length))]!,
    ),
  );
  const found = new Map<string, Prefix>();
  for (const end of [order.length, ...[...chosen].sort((a, b) => b - a)]) {
    const set = withoutEnlargements(context, shrink(context, order.slice(0, end)));
    const prefix = prefixOf(context, set);
    const enough = prefix.convMacs >= least || end === order.length;
    if (enough && !found.has(prefix.outputs.join('\n'))) found.set(prefix.outputs.join('\n'), prefix);
  }
  return [...found.values()].map((prefix) => ifWorthSpreading(resolved, prefix));
}
