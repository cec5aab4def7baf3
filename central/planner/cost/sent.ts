import { type CodecSpec, codecText } from '../../../shared/codec/spec.ts';
import type { Plan } from '../../../shared/plan/plan.ts';
import { codecOf, quantisedOutputs } from '../../../shared/plan/quantised-tensors.ts';
import { bytesOf } from '../graph.ts';
import type { CalibratedSetting, Problem } from '../strategy.ts';

/** What the codecs of a plan do. */
export interface Sent {
  /** The codec of a tensor that some stage makes, and the bytes of its values over those before its codec. */
  codec(tensor: string): CodecSpec;
  values(stage: number, tensor: string): number;
  /** Bytes that are sent of a stage's output, over those before its codec (compiled-plan.ts). */
  share(stage: number, tensor: string): number;
  /** Share (0..1) of the network's answers that codecs and tiles leave as they are; null where it was not measured. */
  readonly agreement: number | null;
}

/**
 * Bytes and agreement of calibrated codecs are those of the calibration: losses of several cuts add up. Bytes of other
 * codecs are the most that they send.
 */
export function sentBy(plan: Plan, { calibrated, graph }: Pick<Problem, 'calibrated' | 'graph'>): Sent {
  const codecs = new Map(plan.stages.flatMap((stage) => stage.outputs.map((name) => [name, codecOf(stage, name)])));
  const isSetHere = ({ codecs: texts }: CalibratedSetting): boolean =>
    Object.entries(texts).every(([tensor, text]) => {
      const codec = codecs.get(tensor);
      return codec !== undefined && codecText(codec) === text;
    });
  const used = calibrated.filter((setting) => Object.keys(setting.codecs).length > 0 && isSetHere(setting));
  const shares = new Map<string, number>();
  let [loss, isKnown] = [0, true];
  for (const { codecs: texts, bytes, agreement } of used) {
    const names = Object.keys(texts);
    if (names.some((tensor) => shares.has(tensor))) continue;
    for (const tensor of names) shares.set(tensor, bytes / Math.max(1, bytesOf(graph, names)));
    loss += 1 - agreement;
  }
  // Tiles without halo change the answers too.
  if (plan.stages.some(({ split }) => split.kind === 'tiles' && split.padding === 'zero')) isKnown = false;
  for (const [tensor, codec] of codecs) if (isLossy(codec) && !shares.has(tensor)) isKnown = false;
  // Regions of clipped tensors are counted as codes, a byte for each float32 (quantised-tensors.ts).
  const values = (stage: number, tensor: string): number =>
    quantisedOutputs(plan.stages[stage]!).has(tensor) && !graph.outputs.includes(tensor) ? 4 : 1;
  return {
    codec: (tensor) => codecs.get(tensor)!,
    values,
    share: (stage, tensor) => values(stage, tensor) * (shares.get(tensor) ?? mostSent(codecs.get(tensor)!)),
    agreement: isKnown ? Math.max(0, 1 - loss) : null,
  };
}

function isLossy({ name }: CodecSpec): boolean {
  return name !== 'raw' && name !== 'packed';
}

/** The most that a codec sends of a float32 tensor, over its bytes. */
function mostSent(codec: CodecSpec): number {
  if (codec.name === 'clip') return codec.bits / 32;
  return codec.name === 'fp16' ? 1 / 2 : codec.name === 'q8' ? 1 / 4 : 1;
}
