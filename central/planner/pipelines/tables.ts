import type { Hop, Hops } from '../cost/hop.ts';
import type { PlanningGraph } from '../graph.ts';
import type { PlanningNode } from '../strategy.ts';

/** Times of consecutive blocks as one stage on a node: entry `first * blocks + last`, both ends included. */
export function runTable({ blocks }: PlanningGraph, { id, times }: PlanningNode): Float64Array {
  if (times === undefined) throw new Error(`node ${id} was not profiled`);
  const count = blocks.length;
  const table = new Float64Array(count * count);
  const blockMs = blocks.map(({ first, last }) => {
    let ms = 0;
    for (let layer = first; layer <= last; layer++) ms += times.layer_ms[layer]!;
    return ms;
  });
  for (let first = 0; first < count; first++) {
    let sum = 0;
    for (let last = first; last < count; last++) {
      sum += blockMs[last]!;
      table[first * count + last] = times.ratio * sum;
    }
  }
  const starts = new Map(blocks.map(({ first }, index) => [first, index]));
  const ends = new Map(blocks.map(({ last }, index) => [last, index]));
  // The first measurement of a run counts, as in `layersTime`.
  for (const { first, last, ms } of times.runs.toReversed()) {
    const [from, to] = [starts.get(first), ends.get(last)];
    if (from !== undefined && to !== undefined) table[from * count + to] = ms;
  }
  return table;
}

/** Bytes that stages of consecutive blocks send one another. */
export interface CrossingBytes {
  /** Of the frame, to the stage that starts with the first block. */
  readonly frame: number;
  /** Crossing each cut, behind the block of that index. */
  readonly cut: Float64Array;
  /**
   * Entry `cut * blocks + last`: what crosses the cut and is read up to that block; what crosses it and is read behind
   * that block. Undefined where each tensor is read only by the block behind its cut.
   */
  readonly skips: { readonly read: Float64Array; readonly passed: Float64Array } | undefined;
  /** Whether blocks behind the first read the frame, or blocks before the last make outputs. */
  readonly isOdd: boolean;
}

/** What crosses the cuts of a network. */
export function crossingBytes({ blocks, layers, tensors, inputs, outputs }: PlanningGraph): CrossingBytes {
  const count = blocks.length;
  const blockOf = blocks.flatMap(({ first, last }, index) => Array.from({ length: last - first + 1 }, () => index));
  const readers = new Map<string, number[]>();
  const maker = new Map<string, number>();
  layers.forEach((layer, index) => {
    const block = blockOf[index]!;
    for (const tensor of layer.inputs) {
      const known = readers.get(tensor);
      if (known === undefined) readers.set(tensor, [block]);
      else if (known.at(-1) !== block) known.push(block);
    }
    for (const tensor of layer.outputs) maker.set(tensor, block);
  });
  const bytes = new Map(tensors.map((tensor) => [tensor.name, tensor.bytes]));
  const cut = new Float64Array(count);
  const made = blocks.map(({ cut: names }) => names.filter((tensor) => maker.has(tensor)));
  made.forEach((names, index) => {
    cut[index] = names.reduce((sum, tensor) => sum + (bytes.get(tensor) ?? 0), 0);
  });
  const isPassed = made.some((names, index) => names.some((tensor) => (readers.get(tensor)?.at(-1) ?? 0) > index + 1));
  const skips = isPassed
    ? { read: new Float64Array(count * count), passed: new Float64Array(count * count) }
    : undefined;
  if (skips !== undefined)
    made.slice(0, -1).forEach((names, index) => {
      for (const tensor of names) {
        const behind = readers.get(tensor)?.filter((block) => block > index) ?? [];
        const [next, last] = [behind[0] ?? count, behind.at(-1) ?? -1];
        for (let end = index + 1; end < count; end++) {
          if (next <= end) skips.read[index * count + end]! += bytes.get(tensor) ?? 0;
          if (last > end) skips.passed[index * count + end]! += bytes.get(tensor) ?? 0;
        }
      }
    });
  return {
    frame: inputs.reduce((sum, tensor) => (readers.get(tensor)?.[0] === 0 ? sum + (bytes.get(tensor) ?? 0) : sum), 0),
    cut,
    skips,
    isOdd:
      inputs.some((tensor) => readers.get(tensor)?.some((block) => block > 0)) ||
      outputs.some((tensor) => maker.get(tensor) !== count - 1),
  };
}

/** Machines in a row, one of each tier at most, as numbers for the inner loop. */
export interface Chain {
  readonly nodes: readonly PlanningNode[];
  /** Where frames are born. */
  readonly source: string;
  readonly times: readonly Float64Array[];
  /** The hop to each machine from the one before it; to the first from where frames are born. */
  readonly hops: readonly Hop[];
  /** From the first to the third, and from the last to whoever needs the outputs. */
  readonly skip: Hop | undefined;
  readonly home: Hop | undefined;
  /** Whether its machines do more for a frame than a score counts: handling tensors, or messages that wait for others. */
  readonly doesMore: boolean;
}

/** Every chain of machines (Scission, UCC 2020): frames go from device to edge to cloud, tiers may be left out. */
export function chainsOf(
  nodes: readonly PlanningNode[],
  tables: ReadonlyMap<PlanningNode, Float64Array>,
  hops: Hops,
  source: string,
  sink: string | null,
): Chain[] {
  const of = (tier: string): (PlanningNode | undefined)[] => [undefined, ...nodes.filter((node) => node.tier === tier)];
  const rows = of('device').flatMap((device) =>
    of('edge').flatMap((edge) =>
      of('cloud').map((cloud) => [device, edge, cloud].flatMap((node) => (node === undefined ? [] : [node]))),
    ),
  );
  return rows
    .filter((row) => row.length > 0)
    .map((row): Chain => {
      const [first, , third] = row;
      const toEach = row.map(({ id }, index) => hops(row[index - 1]?.id ?? source, id));
      return {
        nodes: row,
        source,
        times: row.map((node) => tables.get(node)!),
        hops: toEach,
        skip: third === undefined ? undefined : hops(first!.id, third.id),
        home: sink === null || sink === row.at(-1)!.id ? undefined : hops(row.at(-1)!.id, sink),
        doesMore:
          row.some(({ part_ms, codec_ms }) => part_ms !== undefined || codec_ms !== undefined) ||
          (toEach.some(({ order_ms }) => order_ms > 0) && nodes.some(({ message_ms = 0 }) => message_ms > 0)),
      };
    });
}
