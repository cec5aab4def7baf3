import { TesseraError } from '../errors.ts';
import type { ResolvedModel } from '../onnx/model.ts';
import { unknownShapeReason } from '../onnx/unknown-shape.ts';
import { boxShape, byteLength, type TensorSpec } from '../tensor/tensor.ts';
import type { PartOutline, Region } from '../tiling/form.ts';
import { outlineStage } from '../tiling/stage.ts';
import type { SchedulablePlan } from './compiled-plan.ts';
import { linksOf } from './links.ts';
import type { Plan } from './plan.ts';
import { quantisedTensors } from './quantised-tensors.ts';

/** The outputs of a network. */
export function outputsOf({ model }: ResolvedModel): string[] {
  return model.graph.outputs.map(({ name }) => name);
}

/** The type of a tensor. Throws TESSERA_PLAN_INVALID where the model has no such tensor, and where its shape is unknown. */
export function specOf(resolved: ResolvedModel, tensor: string): TensorSpec {
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

/** A plan as the coordinator sees it; `forms` are the parts of its stages, in order. */
export function schedulable(
  plan: Plan,
  forms: readonly { readonly parts: readonly PartOutline[] }[],
  resolved: ResolvedModel,
): SchedulablePlan {
  const { stages } = plan;
  const quantised = quantisedTensors(plan, outputsOf(resolved));
  const size = (tensor: string, shape: readonly number[]): number =>
    byteLength({ dtype: quantised.has(tensor) ? 'uint8' : specOf(resolved, tensor).dtype, shape });
  const bytes = (regions: readonly Region[]): number =>
    regions.reduce((total, { tensor, box, open }) => (open ? total : total + size(tensor, boxShape(box))), 0);
  const links = linksOf(stages, forms, (tensor, box) => size(tensor, boxShape(box)));
  const made = new Set(stages.flatMap((stage) => stage.outputs));
  const tensors = new Set(stages.flatMap((stage) => [...stage.inputs, ...stage.outputs]));
  return {
    plan,
    stages: forms.map(({ parts }) => ({
      parts: parts.map((part) => ({
        t_id: part.t_id,
        cost: part.macs,
        bytes_in: bytes(part.in),
        bytes_out: bytes(part.out),
        reads_frame: part.in.some(({ tensor }) => !made.has(tensor)),
        links: links(part),
        out: part.out.map((region) => ({ ...region, bytes: bytes([region]) })),
      })),
    })),
    answers: [...outputsOf(resolved), ...stages.flatMap(({ exit }) => (exit === undefined ? [] : [exit.tensor]))],
    frame_bytes: [...resolved.specs].reduce(
      (total, [tensor, { shape }]) => (tensors.has(tensor) ? total + size(tensor, shape) : total),
      0,
    ),
  };
}

/**
 * A plan as the coordinator sees it, without the models of its parts: many times faster than compiling it. Throws
 * TESSERA_PLAN_INVALID where a stage does not fit the network; what else `compilePlan` checks is not checked.
 */
export function outlinePlan(plan: Plan, resolved: ResolvedModel): SchedulablePlan {
  return schedulable(
    plan,
    plan.stages.map((stage) => ({ parts: outlineStage(resolved, stage) })),
    resolved,
  );
}
