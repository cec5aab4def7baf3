import { findCodec } from '../codec/codecs.ts';
import type { ClipSpec } from '../codec/spec.ts';
import { TesseraError } from '../errors.ts';
import type { Model, ResolvedModel } from '../onnx/model.ts';
import { roundingEffect } from '../onnx/rounding.ts';
import { differenceBound } from '../tiling/difference-bound.ts';
import type { StageForm } from '../tiling/form.ts';
import { withQuantisedIo } from '../tiling/quantised-io.ts';
import { buildStage } from '../tiling/stage.ts';
import type { WeightRegion } from '../tiling/weight-slice.ts';
import type { CompiledPlan } from './compiled-plan.ts';
import { MAX_REASON, MAX_SLICES } from './limits.ts';
import { outputsOf, schedulable, specOf } from './outline.ts';
import { CENTRAL, type Plan, type Stage, TOPIC } from './plan.ts';
import { planCost } from './plan-cost.ts';
import { codecOf, quantisedOutputs, quantisedTensors } from './quantised-tensors.ts';
import { checkPlan, parsePlan } from './validate.ts';

/**
 * A stage as a node runs it. The models of its parts read `takes` and return `gives` as codes, a byte each
 * (tiling/quantised-io.ts).
 */
export interface CompiledStage extends StageForm {
  readonly takes: ReadonlyMap<string, ClipSpec>;
  readonly gives: ReadonlyMap<string, ClipSpec>;
}

/** Compiles one stage of a plan. Throws TESSERA_PLAN_INVALID where it does not fit the model. */
export function compileStage(plan: Plan, stage: Stage, resolved: ResolvedModel): CompiledStage {
  const form = buildStage(resolved, stage);
  const takes = quantisedTensors(plan, outputsOf(resolved));
  const gives = quantisedOutputs(stage);
  const models = new Map<Model, Model>();
  const parts = form.parts.map((part) => {
    const model = models.get(part.model) ?? withQuantisedIo(part.model, takes, gives);
    models.set(part.model, model);
    return { ...part, model };
  });
  return { ...form, parts, takes, gives };
}

/** Compiles a plan for its model. Throws TESSERA_PLAN_INVALID where the two do not fit. */
export function compilePlan(asked: Plan, resolved: ResolvedModel): CompiledPlan {
  // A plan that nodes would refuse to read is refused here.
  const read = parsePlan({ ...asked, reason: shortened(asked.reason) });
  checkPlan(read, { inputs: resolved.model.graph.inputs.map(({ name }) => name), outputs: [] });
  checkSource(read);
  checkTensors(read, resolved);
  const bound = differenceBound(resolved, read.stages);
  const plan = 'unbounded' in bound ? { ...read, reason: withRemark(read.reason, bound.unbounded) } : read;
  const { stages } = plan;
  const lossy = stages.map((stage) => isLossy(stage, resolved)).includes(true);
  const forms = stages.map((stage) => compileStage(plan, stage, resolved));
  const quantised = quantisedTensors(plan, outputsOf(resolved));
  const tensors = new Set(stages.flatMap((stage) => [...stage.inputs, ...stage.outputs]));
  const specs = new Map([...resolved.specs].filter(([tensor]) => tensors.has(tensor)));
  const scheduled = schedulable(plan, forms, resolved);
  return {
    ...scheduled,
    stages: scheduled.stages.map(({ parts }, index) => ({
      parts: parts.map((part, t_id) => {
        const { in: read, out } = forms[index]!.parts[t_id]!;
        const codec = (tensor: string) => codecOf(stages[index]!, tensor);
        const made = out.map((region, k) => ({ ...region, ...part.out[k]!, codec: codec(region.tensor) }));
        return { ...part, in: read, out: made };
      }),
    })),
    specs,
    quantised,
    rounding: roundingEffect(resolved.model),
    approximate: lossy || 'unbounded' in bound || forms.some((form) => form.approximate),
    bound,
    cost: planCost(plan, forms, resolved),
    slices: slicesOf(forms),
  };
}

/** The regions of weights that parts read, each once. Throws TESSERA_PLAN_INVALID for too many. */
function slicesOf(forms: readonly StageForm[]): WeightRegion[] {
  const found = new Map<string, WeightRegion>();
  for (const { slices } of forms.flatMap(({ parts }) => parts))
    for (const { tensor, box } of slices) found.set(JSON.stringify([tensor, box]), { tensor, box });
  if (found.size > MAX_SLICES)
    throw new TesseraError(
      'TESSERA_PLAN_INVALID',
      `the slices of the plan read ${found.size} regions of weights; at most ${MAX_SLICES} are allowed`,
      { hint: 'Split fewer layers, or into fewer slices.' },
    );
  return [...found.values()];
}

/** Refuses a node as the source: frames of its cameras are opened there with any plan, and others come to central. */
function checkSource({ source }: Plan): void {
  if (source !== CENTRAL && source !== TOPIC)
    throw new TesseraError('TESSERA_PLAN_INVALID', `plan: source: "${source}" would change nothing`, {
      hint: `Give "${CENTRAL}", also for frames that are born at nodes, or "${TOPIC}".`,
    });
}

/** Whether a stage has a lossy codec. Throws TESSERA_PLAN_INVALID for a codec that cannot carry its tensor. */
function isLossy({ id, codec: codecs }: Stage, resolved: ResolvedModel): boolean {
  return Object.entries(codecs)
    .map(([tensor, { name }]) => {
      const codec = findCodec(name);
      const spec = specOf(resolved, tensor);
      if (codec?.carries(spec)) return !codec.lossless;
      throw new TesseraError(
        'TESSERA_PLAN_INVALID',
        `stage ${id}: codec ${name} cannot carry "${tensor}", ${spec.dtype}`,
        { hint: 'codecs other than raw are for float32' },
      );
    })
    .includes(true);
}

function shortened(reason: string): string {
  return reason.length > MAX_REASON ? `${reason.slice(0, MAX_REASON - 3)}...` : reason;
}

/** A plan's reason, with why its results are approximate; a plan that is compiled again has it already. */
function withRemark(reason: string, why: string): string {
  return reason.includes('; approximate: ') ? reason : shortened(`${reason}; approximate: ${why}`);
}

/** Only outputs of the network may have shapes that are known only after a run; tensors between stages may not. */
function checkTensors({ stages }: Plan, resolved: ResolvedModel): void {
  const results = new Set(outputsOf(resolved));
  for (const { split, inputs, outputs } of stages) {
    for (const tensor of inputs) specOf(resolved, tensor);
    for (const tensor of outputs) if (split.kind !== 'whole' || !results.has(tensor)) specOf(resolved, tensor);
  }
}
