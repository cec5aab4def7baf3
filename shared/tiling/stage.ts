import { TesseraError } from '../errors.ts';
import { nodeMacs } from '../onnx/cost.ts';
import { extractSegment } from '../onnx/extract.ts';
import type { ResolvedModel } from '../onnx/model.ts';
import type { Stage } from '../plan/plan.ts';
import { wholeBox } from '../tensor/tensor.ts';
import { channelForm } from './channel-form.ts';
import { channelSegment } from './channel-segment.ts';
import type { Region, StageForm } from './form.ts';
import { checkSizes } from './grid.ts';
import { haloForm } from './halo-form.ts';
import { tileSegment } from './segment.ts';
import { zeroForm } from './zero-form.ts';

/**
 * Compiles a stage that is not split: one part, whose model is the extracted segment. The shape of its outputs may be
 * unknown before a run.
 */
function wholeForm(resolved: ResolvedModel, { inputs, outputs }: Stage): StageForm {
  const segment = extractSegment(resolved, inputs, outputs);
  const region = (tensor: string): Region => {
    const spec = resolved.specs.get(tensor);
    if (spec === undefined)
      throw new TesseraError('TESSERA_PLAN_INVALID', `the shape of "${tensor}" is unknown before a run`, {
        hint: 'Give the input shape with --input-shape, or cut elsewhere.',
      });
    return { tensor, box: wholeBox(spec.shape) };
  };
  const made = (tensor: string): Region =>
    resolved.specs.has(tensor) ? region(tensor) : { tensor, box: [], open: true };
  const macs = segment.model.graph.nodes.reduce((sum, node) => sum + nodeMacs(resolved, node), 0);
  const { model } = segment;
  const part = { t_id: 0, model, slices: [], in: inputs.map(region), out: outputs.map(made), feeds: [], macs };
  return { parts: [part], approximate: false };
}

/**
 * Compiles a stage of a plan: central uses the geometry, nodes use the model. The same stage and network give the same
 * result everywhere. Throws TESSERA_PLAN_INVALID, naming the operator and the
 * reason, where the stage does not fit the network.
 */
export function buildStage(resolved: ResolvedModel, stage: Stage): StageForm {
  const { split } = stage;
  if (split.kind === 'whole') return wholeForm(resolved, stage);
  if (split.kind === 'channels') return channelForm(channelSegment(resolved, stage.inputs, stage.outputs), split.sizes);
  const segment = tileSegment(resolved, stage.inputs, stage.outputs);
  const layout = segment.layouts.get(segment.reference)!;
  checkSizes(split.rows, layout.rows, 'rows', segment.reference);
  checkSizes(split.cols, layout.cols, 'cols', segment.reference);
  const form = split.padding === 'halo' ? haloForm : zeroForm;
  return form(segment, split.rows, split.cols);
}
