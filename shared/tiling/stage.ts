import { TesseraError } from '../errors.ts';
import { nodeMacs } from '../onnx/cost.ts';
import { dagOf } from '../onnx/dag.ts';
import { extractSegment } from '../onnx/extract.ts';
import type { ResolvedModel } from '../onnx/model.ts';
import type { Split, Stage } from '../plan/plan.ts';
import { wholeBox } from '../tensor/tensor.ts';
import { channelForm, channelOutlines } from './channel-form.ts';
import { channelSegment } from './channel-segment.ts';
import type { PartOutline, Region, StageForm } from './form.ts';
import { checkSizes } from './grid.ts';
import { haloForm, haloOutlines } from './halo-form.ts';
import { type Segment, tileSegment } from './segment.ts';
import { zeroForm, zeroOutlines } from './zero-form.ts';

type TileSplit = Extract<Split, { kind: 'tiles' }>;

/** The part of a stage that is not split. The shape of its outputs may be unknown before a run. */
function wholeOutline(resolved: ResolvedModel, { inputs, outputs }: Stage): PartOutline {
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
  const { nodes } = resolved.model.graph;
  let macs = 0;
  for (const index of dagOf(resolved).between(inputs, outputs)) macs += nodeMacs(resolved, nodes[index]!);
  return { t_id: 0, in: inputs.map(region), out: outputs.map(made), macs };
}

/** The segment of a tile stage. Throws TESSERA_PLAN_INVALID where the sizes of its tiles do not fit. */
function tiledSegment(resolved: ResolvedModel, { inputs, outputs, split }: Stage & { split: TileSplit }): Segment {
  const segment = tileSegment(resolved, inputs, outputs);
  const layout = segment.layouts.get(segment.reference)!;
  checkSizes(split.rows, layout.rows, 'rows', segment.reference);
  checkSizes(split.cols, layout.cols, 'cols', segment.reference);
  return segment;
}

/** The parts of a stage as `buildStage` compiles them, without their models: much faster. Throws as it does. */
export function outlineStage(resolved: ResolvedModel, stage: Stage): readonly PartOutline[] {
  const { split, inputs, outputs } = stage;
  if (split.kind === 'whole') return [wholeOutline(resolved, stage)];
  if (split.kind === 'channels') return channelOutlines(channelSegment(resolved, inputs, outputs), split.sizes);
  const outlines = split.padding === 'halo' ? haloOutlines : zeroOutlines;
  return outlines(tiledSegment(resolved, { ...stage, split }), split.rows, split.cols);
}

/**
 * Compiles a stage of a plan: central uses the geometry, nodes use the model. The same stage and network give the same
 * result everywhere. Throws TESSERA_PLAN_INVALID, naming the operator and the
 * reason, where the stage does not fit the network.
 */
export function buildStage(resolved: ResolvedModel, stage: Stage): StageForm {
  const { split } = stage;
  if (split.kind === 'whole') {
    const { model } = extractSegment(resolved, stage.inputs, stage.outputs);
    const part = { ...wholeOutline(resolved, stage), model, slices: [], feeds: [] };
    return { parts: [part], approximate: false };
  }
  if (split.kind === 'channels') return channelForm(channelSegment(resolved, stage.inputs, stage.outputs), split.sizes);
  const form = split.padding === 'halo' ? haloForm : zeroForm;
  return form(tiledSegment(resolved, { ...stage, split }), split.rows, split.cols);
}
