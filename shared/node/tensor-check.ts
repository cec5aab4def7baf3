import { findCodec } from '../codec/codecs.ts';
import { CENTRAL, type Plan, type Stage } from '../plan/plan.ts';
import type { WireRegion } from '../protocol/messages/region.ts';
import { boxShape, contains } from '../tensor/tensor.ts';
import type { PreparedPlan } from './executor-types.ts';
import { keptBytes } from './work-parts.ts';

/** No codec makes a region more than this many times as large as its values, apart from a constant. */
const MOST_EXPANSION = 4;
const MOST_HEADER_BYTES = 1024;

/** Whether a plan lets a node run a stage; which tier a node has is not known here. */
function mayRun({ on, fallback }: Stage, node: string): boolean {
  if (fallback === 'nodes' || (typeof fallback !== 'string' && fallback.includes(node))) return true;
  if (on.parts !== undefined) return on.parts.includes(node);
  return 'tier' in on || on.nodes === '*' || on.nodes.includes(node);
}

/** Whether a plan lets a node have a tensor: it may make it, or read it, or frames are born there. Central has all. */
function mayHave(plan: Plan, node: string, tensor: string): boolean {
  if (node === CENTRAL) return true;
  const isMade = plan.stages.some(({ outputs }) => outputs.includes(tensor));
  if (!isMade && [node, 'topic'].includes(plan.source)) return true;
  return plan.stages.some(
    (stage) => (stage.inputs.includes(tensor) || stage.outputs.includes(tensor)) && mayRun(stage, node),
  );
}

/** Whether any tensor of a plan may come from a node. */
export function maySend({ plan }: PreparedPlan, node: string): boolean {
  return node === CENTRAL || plan.source === node || plan.stages.some((stage) => mayRun(stage, node));
}

/**
 * Why a region that a node sent is not accepted: the plan does not let that node have it, or no part that may run here
 * reads it, or it is not in a form that a part could read. Undefined for an accepted one.
 */
export function regionFault({ plan, stages }: PreparedPlan, from: string, region: WireRegion): string | undefined {
  const { tensor, box, dtype, shape, codec, d } = region;
  if (!mayHave(plan, from, tensor)) return `plan ${plan.id} does not let it have "${tensor}"`;
  const readers = [...stages.values()].filter(({ parts }) =>
    [...parts.values()].some((part) => part.in.some((read) => read.tensor === tensor && contains(read.box, box))),
  );
  const [reader] = readers;
  if (reader === undefined) return `no part here reads that box of "${tensor}"`;
  const known = reader.tensors.get(tensor)!;
  const areCodes = known.areCodes && codec.name === 'raw';
  if (dtype !== (areCodes ? 'uint8' : known.dtype)) return `"${tensor}" is not ${dtype}`;
  if (!sameShape(shape, boxShape(box))) return `the shape of "${tensor}" is not that of its box`;
  if (findCodec(codec.name)?.carries({ dtype, shape }) !== true) return `codec ${codec.name} cannot carry "${tensor}"`;
  if (d.byteLength > MOST_EXPANSION * keptBytes(reader, tensor, box)! + MOST_HEADER_BYTES)
    return `"${tensor}" has more bytes than any codec makes`;
  return undefined;
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}
