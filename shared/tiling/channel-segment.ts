import { TesseraError } from '../errors.ts';
import { nodeMacs } from '../onnx/cost.ts';
import { dagOf } from '../onnx/dag.ts';
import type { GraphNode, ResolvedModel } from '../onnx/model.ts';
import { isRandomOperator } from '../onnx/random-operator.ts';
import { isDtype } from '../tensor/tensor.ts';
import { type ChannelRule, channelRule } from './channel-rules.ts';
import type { Layout } from './layout.ts';
import { isObstacle } from './rules/rule.ts';
import { viewOf } from './tileable.ts';

/** A tensor as nodes of a part read it: whole, or only its channels, which lie on an axis. */
export type Reading = 'whole' | number;

/** A node of a segment that is split by channels; without a rule every part runs it whole. */
export interface ChannelNode {
  readonly node: GraphNode;
  readonly rule: ChannelRule | undefined;
  /** How its outputs are read, by tensor; nodes of which nothing is read are left out. */
  readonly readings: ReadonlyMap<string, ReadonlySet<Reading>>;
}

/** A piece of a network that can be split into slices of channels. */
export interface ChannelSegment {
  readonly resolved: ResolvedModel;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly ChannelNode[];
  /** How the inputs and constants of the segment are read. */
  readonly readings: ReadonlyMap<string, ReadonlySet<Reading>>;
  /** The axis of each tensor of which a part makes only its channels. */
  readonly axes: ReadonlyMap<string, number>;
  /** The output with the fewest channels (ties: the first), which the sizes of slices count; and how many it has. */
  readonly reference: string;
  readonly channels: number;
  /** Slices can begin at multiples of so many channels. */
  readonly step: number;
}

function refusal(problem: string, hint: string): TesseraError {
  return new TesseraError('TESSERA_PLAN_INVALID', problem, { hint });
}

function impassable({ op, name, outputs }: GraphNode, reason: string): TesseraError {
  return refusal(
    `channels cannot pass ${op} "${name || outputs[0]}": it ${reason}`,
    'End the stage before that operator, or begin one with it.',
  );
}

/** Finds the rule of each node, and the axis of each tensor of which a part makes only its channels. */
function followChannels(resolved: ResolvedModel, inputs: readonly string[], chosen: ReadonlySet<number>) {
  const { nodes, initializers } = resolved.model.graph;
  const { reads } = dagOf(resolved);
  const axes = new Map<string, number>();
  const rules = new Map<number, ChannelRule>();
  const constants = new Set(initializers.keys());
  for (const input of inputs) constants.delete(input);
  const layoutOf = (tensor: string): Layout | undefined => {
    const axis = axes.get(tensor);
    return axis === undefined ? undefined : { h: -1, w: axis, rows: 1, cols: resolved.specs.get(tensor)!.shape[axis]! };
  };
  for (const [index, node] of nodes.entries()) {
    if (!chosen.has(index)) continue;
    if (isRandomOperator(node, initializers)) throw impassable(node, 'draws random numbers, other ones in each part');
    const read = reads[index]!;
    if (read.every((name) => constants.has(name))) {
      for (const output of node.outputs) constants.add(output);
      continue;
    }
    const sliced = new Map(read.flatMap((name) => (axes.has(name) ? [[name, layoutOf(name)!] as const] : [])));
    if (/^(If|Loop|Scan)$/.test(node.op)) throw impassable(node, 'runs a graph of its own');
    const rule = channelRule({
      ...viewOf(resolved, node, sliced, new Set(), new Set(inputs)),
      channels: (input) => axes.get(node.inputs[input] ?? ''),
      constant: (input) => constants.has(node.inputs[input] ?? ''),
    });
    if (rule === undefined) {
      if (nodeMacs(resolved, node) > 0) throw impassable(node, 'multiplies, and every part would compute all of it');
      continue;
    }
    if (isObstacle(rule)) throw impassable(node, rule.reason);
    if (!resolved.specs.has(node.outputs[0] ?? '')) throw impassable(node, 'has an output of unknown shape');
    for (const [i, input] of node.inputs.entries()) {
      const [asked, made] = [rule.inputs[i], axes.get(input)];
      if (made !== undefined && made !== asked) throw impassable(node, `needs all channels of "${input}"`);
      if (asked !== undefined && !resolved.specs.has(input))
        throw impassable(node, `reads "${input}", whose shape is unknown`);
    }
    rules.set(index, rule);
    for (const [i, output] of node.outputs.entries())
      if (output !== '') axes.set(output, rule.outputs[i] ?? rule.outputs[0]!);
  }
  return { axes, rules, constants };
}

/**
 * Goes back from the outputs: how each tensor is read, and which nodes are needed for it. A constant that nodes make is
 * read whole, except behind a DequantizeLinear, whose constants can be cut themselves.
 */
function readingsOf(
  resolved: ResolvedModel,
  chosen: ReadonlySet<number>,
  outputs: readonly string[],
  { axes, rules, constants }: ReturnType<typeof followChannels>,
) {
  const { nodes } = resolved.model.graph;
  const { reads } = dagOf(resolved);
  const readings = new Map<string, Set<Reading>>();
  const read = (tensor: string, reading: Reading): void => {
    if (tensor !== '') readings.set(tensor, (readings.get(tensor) ?? new Set()).add(reading));
  };
  for (const output of outputs) read(output, axes.get(output)!);
  const kept: ChannelNode[] = [];
  for (const index of [...chosen].sort((a, b) => b - a)) {
    const node = nodes[index]!;
    const own = new Map(
      node.outputs.flatMap((output) => (readings.has(output) ? [[output, readings.get(output)!]] : [])),
    );
    if (own.size === 0) continue;
    const rule = rules.get(index) ?? constantRule(resolved, node, own, constants);
    kept.push({ node, rule, readings: own });
    if (rule === undefined) for (const tensor of reads[index]!) read(tensor, 'whole');
    else for (const [i, input] of node.inputs.entries()) read(input, rule.inputs[i] ?? 'whole');
  }
  return { nodes: kept.reverse(), readings };
}

/** The rule for a DequantizeLinear of constants of which all that is read are channels: quantised weights. */
function constantRule(
  resolved: ResolvedModel,
  node: GraphNode,
  own: ReadonlyMap<string, ReadonlySet<Reading>>,
  constants: ReadonlySet<string>,
): ChannelRule | undefined {
  const [asked, ...more] = own.get(node.outputs[0] ?? '') ?? [];
  if (node.op !== 'DequantizeLinear' || typeof asked !== 'number' || more.length > 0) return undefined;
  if (!node.inputs.every((input) => input === '' || constants.has(input))) return undefined;
  const rule = channelRule({
    ...viewOf(resolved, node, new Map(), new Set(), new Set()),
    channels: (input) => (input === 0 ? asked : undefined),
    constant: () => true,
  });
  return rule === undefined || isObstacle(rule) ? undefined : rule;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/**
 * The piece of a network that makes `outputs` from `inputs`, ready to be split into slices of channels: layers with
 * weights that read whole tensors, what acts on each of their channels alone behind them, and what every part can
 * compute whole in front of them. Throws TESSERA_PLAN_INVALID, with the operator and the reason, for anything else.
 */
export function channelSegment(
  resolved: ResolvedModel,
  inputs: readonly string[],
  outputs: readonly string[],
): ChannelSegment {
  const chosen = dagOf(resolved).between(inputs, outputs);
  const followed = followChannels(resolved, inputs, chosen);
  const { axes, constants } = followed;
  const sizeOf = (tensor: string, axis: number): number => resolved.specs.get(tensor)!.shape[axis]!;
  let [reference, channels] = ['', Number.POSITIVE_INFINITY];
  for (const output of outputs) {
    const axis = axes.get(output);
    if (axis === undefined)
      throw refusal(
        `"${output}" cannot be the output of a stage that is split by channels: no layer of the stage makes its channels`,
        'Begin the stage with a Conv, Gemm or MatMul that has weights.',
      );
    if (sizeOf(output, axis) < channels) [reference, channels] = [output, sizeOf(output, axis)];
  }
  if (reference === '') throw refusal('the stage has no outputs', 'Name at least one tensor.');
  const { nodes, readings } = readingsOf(resolved, chosen, outputs, followed);
  const parts = nodes.flatMap(({ rule }) => rule?.groups ?? []);
  for (const [tensor, ways] of readings)
    for (const axis of ways) {
      if (axis === 'whole') continue;
      parts.push(sizeOf(tensor, axis));
      const { dtype } = resolved.model.graph.initializers.get(tensor) ?? { dtype: 'float32' };
      if (constants.has(tensor) && !isDtype(dtype))
        throw refusal(`"${tensor}" of type ${dtype} cannot be cut into channels`, 'Split that layer in another way.');
    }
  const step = channels / parts.reduce(gcd, channels);
  return { resolved, inputs, outputs, nodes, readings, axes, reference, channels, step };
}
