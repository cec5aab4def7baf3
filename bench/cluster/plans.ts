import type { CodecSpec } from '../../shared/codec/spec.ts';
import { CENTRAL, type Placement, type Plan, type Stage } from '../../shared/plan/plan.ts';
import { planId } from '../../shared/plan/plan-id.ts';

/** Plans of the testbed, with tensors by the names of the zoo's networks, for any number of nodes. */

/** A stage without its number. */
export type Draft = Omit<Stage, 'id'>;

/** The ids of the node agents of an emulated cluster. */
export function nodeIds(nodes: number): string[] {
  return Array.from({ length: nodes }, (_, i) => `node-${i + 1}`);
}

/** As many sizes as there are shares, at most, which differ by one and add up to `total`, the largest first. */
export function evenSizes(total: number, shares: number): number[] {
  const count = Math.min(total, shares);
  return Array.from({ length: count }, (_, i) => Math.floor(total / count) + (i < total % count ? 1 : 0));
}

type Cells = readonly number[];

/** Tiles without halo (FDSP), which any nodes compute. */
export function fdsp(inputs: readonly string[], output: string, rows: Cells, cols: Cells, codec: CodecSpec): Draft {
  return tiles('zero', inputs, output, rows, cols, codec);
}

/** Tiles with halo, which any nodes compute. */
export function halo(inputs: readonly string[], output: string, rows: Cells, cols: Cells, codec: CodecSpec): Draft {
  return tiles('halo', inputs, output, rows, cols, codec);
}

function tiles(
  padding: 'zero' | 'halo',
  inputs: readonly string[],
  output: string,
  rows: Cells,
  cols: Cells,
  codec: CodecSpec,
): Draft {
  return {
    inputs,
    outputs: [output],
    split: { kind: 'tiles', padding, rows, cols },
    on: { mode: 'share', nodes: '*' },
    fallback: 'central',
    codec: { [output]: codec },
  };
}

/** Slices of channels, one at each node, whose weights stay there. */
export function slices(input: string, output: string, channels: number, nodes: number, codec: CodecSpec): Draft {
  const ids = nodeIds(nodes);
  return {
    inputs: [input],
    outputs: [output],
    split: { kind: 'channels', sizes: evenSizes(channels, nodes) },
    on: { mode: 'share', nodes: ids, parts: ids },
    fallback: 'none',
    codec: { [output]: codec },
  };
}

/** A whole stage at one machine. */
export function whole(inputs: readonly string[], outputs: readonly string[], node: string = CENTRAL): Draft {
  const on: Placement = { mode: 'share', nodes: [node] };
  return { inputs, outputs, split: { kind: 'whole' }, on, fallback: 'none', codec: {} };
}

/** A plan of such stages for the model whose skeleton has this SHA-256. */
export function planOf(drafts: readonly Draft[], model: string): Plan {
  const stages = drafts.map((draft, id): Stage => ({ ...draft, id }));
  const content = { model, source: CENTRAL, stages };
  return {
    format: 'tessera-plan/1',
    id: planId(content),
    ...content,
    strategy: 'testbed',
    reason: 'by the table of the testbed',
    predicted: null,
  };
}
