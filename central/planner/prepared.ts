import { findCodec } from '../../shared/codec/codec.ts';
import { TesseraError } from '../../shared/errors.ts';
import { isConv, nodeMacs } from '../../shared/onnx/cost.ts';
import { extractSegment } from '../../shared/onnx/extract.ts';
import type { ResolvedModel } from '../../shared/onnx/model.ts';
import type { TensorNames } from '../../shared/onnx/tensor-names.ts';
import { unknownShapeReason } from '../../shared/onnx/unknown-shape.ts';
import { codecOf, heldCodes } from '../../shared/plan/held-codes.ts';
import { MAX_REASON } from '../../shared/plan/limits.ts';
import { CENTRAL, type Plan, type Stage } from '../../shared/plan/plan.ts';
import { parsePlan } from '../../shared/plan/validate.ts';
import { boxShape, byteLength, type TensorSpec } from '../../shared/tensor/tensor.ts';
import { type DifferenceBound, differenceBound } from '../../shared/tiling/difference-bound.ts';
import type { Region, StageForm } from '../../shared/tiling/form.ts';
import { buildStage } from '../../shared/tiling/stage.ts';
import type { PlanLayout } from '../assembly/frame-store.ts';
import type { PlanFacts } from '../coordinator/plan-facts.ts';
import { steadinessOf } from './steadiness.ts';

/** A plan with the geometry of its tiles. */
export interface PreparedPlan {
  readonly plan: Plan;
  /** One per stage. */
  readonly forms: readonly StageForm[];
  /** Whether results may be further from those of the whole network than `bound`. */
  readonly approximate: boolean;
  /** Largest difference from the whole network, as a share of an output's range; or why none can be named. */
  readonly bound: DifferenceBound;
  /** Share (0..1) of the whole network's multiply-adds that runs on nodes, halo not counted; of its convolutions alone. */
  readonly macsOnNodes: number;
  readonly convMacsOnNodes: number;
  readonly cost: PlanCost;
}

/** What a frame costs beside what one machine would do for it. */
export interface PlanCost {
  /** Bytes to nodes and back, before any codec. */
  readonly bytesOut: number;
  readonly bytesBack: number;
  /** Multiply-adds that nodes do, and bytes that they are sent, of those that there are without halo: 1 is nothing twice. */
  readonly work: number;
  readonly input: number;
}

/** Whether a stage runs on node agents, not on central's own executor. */
function isOnNodes({ on }: Stage): boolean {
  return 'tier' in on || on.nodes === '*' || on.nodes.some((node) => node !== CENTRAL);
}

function specOf(resolved: ResolvedModel, tensor: string): TensorSpec {
  const spec = resolved.specs.get(tensor);
  if (spec !== undefined) return spec;
  const reason = unknownShapeReason(resolved, tensor);
  throw new TesseraError(
    'TESSERA_PLAN_INVALID',
    reason === undefined
      ? `the model has no tensor "${tensor}"`
      : `the shape of "${tensor}" cannot be known, so no stage can end there: ${reason}`,
    { hint: '`tessera model inspect` lists the tensors' },
  );
}

/** Whether a stage has a lossy codec. Throws TESSERA_PLAN_INVALID for a codec that cannot carry its tensor. */
function checkCodecs({ id, codec: codecs }: Stage, resolved: ResolvedModel): boolean {
  return Object.entries(codecs)
    .map(([tensor, { name }]) => {
      const codec = findCodec(name);
      const spec = specOf(resolved, tensor);
      if (codec?.carries(spec)) return !codec.lossless;
      throw new TesseraError(
        'TESSERA_PLAN_INVALID',
        `stage ${id}: codec ${name} cannot carry "${tensor}", ${spec.dtype}`,
        {
          hint: 'codecs other than raw are for float32',
        },
      );
    })
    .includes(true);
}

function shortened(reason: string): string {
  return reason.length > MAX_REASON ? `${reason.slice(0, MAX_REASON - 3)}...` : reason;
}

/** A plan's reason with why its results are approximate; a plan that is prepared again has it already. */
function withRemark(reason: string, why: string): string {
  return reason.includes('; approximate: ') ? reason : shortened(`${reason}; approximate: ${why}`);
}

/** Only what the network ends with may be of a shape that a run tells: what stages hand on has to be known before. */
function checkTensors({ stages }: Plan, resolved: ResolvedModel): void {
  const results = new Set(outputsOf(resolved));
  for (const { split, inputs, outputs } of stages) {
    for (const tensor of inputs) specOf(resolved, tensor);
    for (const tensor of outputs) if (split.kind !== 'whole' || !results.has(tensor)) specOf(resolved, tensor);
  }
}

/** A plan that names tensors as the user's file does, with the names that the model has inside (onnx/tensor-names.ts). */
export function withInnerTensors(plan: Plan, names: TensorNames): Plan {
  const inner = (tensor: string): string => names.inner(tensor);
  const stages = plan.stages.map((stage) => ({
    ...stage,
    inputs: stage.inputs.map(inner),
    outputs: stage.outputs.map(inner),
    codec: Object.fromEntries(Object.entries(stage.codec).map(([tensor, codec]) => [inner(tensor), codec])),
    ...(stage.exit === undefined ? {} : { exit: { ...stage.exit, tensor: inner(stage.exit.tensor) } }),
  }));
  return { ...plan, stages };
}

/** Works out a plan's geometry for its model. Throws TesseraError TESSERA_PLAN_INVALID where the two do not fit. */
export function preparePlan(asked: Plan, resolved: ResolvedModel): PreparedPlan {
  // What nodes would refuse to read is refused here.
  const read = parsePlan({ ...asked, reason: shortened(asked.reason) });
  checkTensors(read, resolved);
  const bound = differenceBound(resolved, read.stages);
  const plan = 'unbounded' in bound ? { ...read, reason: withRemark(read.reason, bound.unbounded) } : read;
  const sum = { all: 0, conv: 0, nodes: 0, nodesConv: 0 };
  for (const node of resolved.model.graph.nodes) {
    const macs = nodeMacs(resolved, node);
    sum.all += macs;
    if (isConv(node)) sum.conv += macs;
  }
  for (const stage of plan.stages) {
    if (!isOnNodes(stage)) continue;
    const segment = extractSegment(resolved, stage.inputs, stage.outputs);
    for (const node of segment.model.graph.nodes) {
      const macs = nodeMacs(segment, node);
      sum.nodes += macs;
      if (isConv(node)) sum.nodesConv += macs;
    }
  }
  const lossy = plan.stages.map((stage) => checkCodecs(stage, resolved)).includes(true);
  const forms = plan.stages.map((stage) => buildStage(resolved, stage));
  return {
    plan,
    forms,
    approximate: lossy || 'unbounded' in bound || forms.some((form) => form.approximate),
    bound,
    // Where nobody knows what an operator costs, a network on nodes is all theirs.
    macsOnNodes: sum.all === 0 ? Number(plan.stages.every(isOnNodes)) : sum.nodes / sum.all,
    convMacsOnNodes: sum.conv === 0 ? Number(plan.stages.every(isOnNodes)) : sum.nodesConv / sum.conv,
    cost: costOf(plan, forms, resolved, sum.nodes),
  };
}

function costOf({ stages }: Plan, forms: readonly StageForm[], resolved: ResolvedModel, macs: number): PlanCost {
  const known = (tensor: string): TensorSpec | undefined => resolved.specs.get(tensor);
  const bytesOf = (regions: readonly Region[]): number =>
    regions.reduce((total, { tensor, box, open }) => {
      const spec = known(tensor);
      return open || spec === undefined ? total : total + byteLength({ dtype: spec.dtype, shape: boxShape(box) });
    }, 0);
  const sum = { out: 0, back: 0, whole: 0, work: 0 };
  stages.forEach((stage, index) => {
    if (!isOnNodes(stage)) return;
    for (const tile of forms[index]!.tiles) {
      sum.out += bytesOf(tile.in);
      sum.back += bytesOf(tile.out);
      sum.work += tile.macs;
    }
    for (const tensor of stage.inputs) sum.whole += known(tensor) === undefined ? 0 : byteLength(known(tensor)!);
  });
  const of = (part: number, all: number): number => (all === 0 ? 1 : part / all);
  return { bytesOut: sum.out, bytesBack: sum.back, work: of(sum.work, macs), input: of(sum.out, sum.whole) };
}

/** What the coordinator has to know of a plan. */
export function factsOf({ plan, forms }: PreparedPlan, resolved: ResolvedModel): PlanFacts {
  const held = heldCodes(plan, outputsOf(resolved));
  const size = (tensor: string, shape: readonly number[]): number =>
    byteLength({ dtype: held.has(tensor) ? 'uint8' : specOf(resolved, tensor).dtype, shape });
  // What nobody knows the size of counts as nothing.
  const bytes = (regions: readonly Region[]): number =>
    regions.reduce((total, { tensor, box, open }) => (open ? total : total + size(tensor, boxShape(box))), 0);
  const known = (tensor: string): boolean => resolved.specs.has(tensor);
  const tensors = new Set(plan.stages.flatMap((stage) => [...stage.inputs, ...stage.outputs]));
  return {
    plan,
    stages: forms.map((form) => ({
      parts: form.tiles.map((tile) => ({
        t_id: tile.t_id,
        cost: tile.macs,
        bytes_in: bytes(tile.in),
        bytes_out: bytes(tile.out),
      })),
    })),
    frame_bytes: [...tensors]
      .filter(known)
      .reduce((total, tensor) => total + size(tensor, specOf(resolved, tensor).shape), 0),
  };
}

function outputsOf({ model }: ResolvedModel): string[] {
  return model.graph.outputs.map(({ name }) => name);
}

/** What the data plane has to know of a plan. */
export function layoutOf({ plan, forms }: PreparedPlan, resolved: ResolvedModel): PlanLayout {
  const tensors = new Set(plan.stages.flatMap((stage) => [...stage.inputs, ...stage.outputs]));
  return {
    id: plan.id,
    specs: new Map([...resolved.specs].filter(([tensor]) => tensors.has(tensor))),
    codes: heldCodes(plan, outputsOf(resolved)),
    steadiness: steadinessOf(resolved.model),
    stages: forms.map((form, index) => ({
      ...(plan.stages[index]!.exit === undefined ? {} : { exit: plan.stages[index]!.exit }),
      tiles: form.tiles.map((tile) => ({
        t_id: tile.t_id,
        in: tile.in,
        out: tile.out.map((region) => ({
          ...region,
          codec: codecOf(plan.stages[index]!, region.tensor),
        })),
      })),
    })),
  };
}
