import { isConv, nodeMacs } from '../onnx/cost.ts';
import { extractSegment } from '../onnx/extract.ts';
import type { ResolvedModel } from '../onnx/model.ts';
import { boxShape, byteLength } from '../tensor/tensor.ts';
import type { Region, StageForm } from '../tiling/form.ts';
import type { PlanCost } from './compiled-plan.ts';
import { CENTRAL, type Plan, type Stage } from './plan.ts';

/** Whether a stage runs on node agents, not on central's own executor. */
function isOnNodes({ on }: Stage): boolean {
  return 'tier' in on || on.nodes === '*' || on.nodes.some((node) => node !== CENTRAL);
}

interface Macs {
  readonly all: number;
  readonly conv: number;
}

function macsOf(resolved: ResolvedModel): Macs {
  let [all, conv] = [0, 0];
  for (const node of resolved.model.graph.nodes) {
    const macs = nodeMacs(resolved, node);
    all += macs;
    if (isConv(node)) conv += macs;
  }
  return { all, conv };
}

/** The cost of a frame; `forms` are those of the plan's stages, in order. */
export function planCost({ stages }: Plan, forms: readonly StageForm[], resolved: ResolvedModel): PlanCost {
  const bytesOf = (regions: readonly Region[]): number =>
    regions.reduce((total, { tensor, box, open }) => {
      const spec = resolved.specs.get(tensor);
      return open || spec === undefined ? total : total + byteLength({ dtype: spec.dtype, shape: boxShape(box) });
    }, 0);
  const network = macsOf(resolved);
  const sum = { out: 0, back: 0, inputs: 0, work: 0, all: 0, conv: 0 };
  for (const [index, stage] of stages.entries()) {
    if (!isOnNodes(stage)) continue;
    const { all, conv } = macsOf(extractSegment(resolved, stage.inputs, stage.outputs));
    sum.all += all;
    sum.conv += conv;
    for (const part of forms[index]!.parts) {
      sum.out += bytesOf(part.in);
      sum.back += bytesOf(part.out);
      sum.work += part.macs;
    }
    for (const tensor of stage.inputs) sum.inputs += byteLength(resolved.specs.get(tensor)!);
  }
  // If operators' costs are unknown, a network that runs on nodes alone counts as theirs entirely.
  const isAllOnNodes = Number(stages.every(isOnNodes));
  return {
    bytesOut: sum.out,
    bytesBack: sum.back,
    work: sum.all === 0 ? 1 : sum.work / sum.all,
    input: sum.inputs === 0 ? 1 : sum.out / sum.inputs,
    macsOnNodes: network.all === 0 ? isAllOnNodes : sum.all / network.all,
    convMacsOnNodes: network.conv === 0 ? isAllOnNodes : sum.conv / network.conv,
  };
}
