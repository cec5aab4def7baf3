import { findCodec } from '../../shared/codec/codecs.ts';
import type { CodecSpec } from '../../shared/codec/spec.ts';
import { parseCodec } from '../../shared/codec/spec.ts';
import type { ResolvedModel } from '../../shared/onnx/model.ts';
import type { Plan, Stage } from '../../shared/plan/plan.ts';
import { byteLength } from '../../shared/tensor/tensor.ts';
import { withStages } from './compose.ts';
import { bytesOf } from './graph.ts';
import { type CalibratedSetting, type Counts, isNoPlan, type Problem, type TileEnd } from './strategy.ts';

/**
 * Codecs for the tensors of a cut, as measured: bytes per picture, and agreement, the share (0..1) of the uncompressed
 * network's answers that stay the same.
 */
export interface MeasuredCodecs {
  readonly bytes: number;
  readonly agreement: number;
}

/** Tolerance for rounding of an agreement, or of a sum of losses. */
export const ROUNDING = 1e-9;

/**
 * One setting for each cut, so that the fewest bytes are sent while the losses (1 - agreement) add up to at most 1 -
 * bound; undefined where no choice does (JALAD, ICPADS 2018: fewest bytes under an accuracy bound). Small errors at
 * several cuts together change fewer answers than the sum of what each changes alone, so the sum is an upper bound as
 * long as the errors are small. Exact: a partial choice is dropped only if another one is better in both bytes and
 * loss.
 */
export function fewestBytes<T extends MeasuredCodecs>(cuts: readonly (readonly T[])[], bound: number): T[] | undefined {
  interface Partial {
    readonly loss: number;
    readonly bytes: number;
    readonly chosen: readonly T[];
  }
  let partials: readonly Partial[] = [{ loss: 0, bytes: 0, chosen: [] }];
  for (const settings of cuts) {
    const longer = partials
      .flatMap(({ loss, bytes, chosen }) =>
        settings.map((setting) => ({
          loss: loss + 1 - setting.agreement,
          bytes: bytes + setting.bytes,
          chosen: [...chosen, setting],
        })),
      )
      .filter(({ loss }) => loss <= 1 - bound + ROUNDING)
      .sort((a, b) => a.bytes - b.bytes || a.loss - b.loss);
    let least = Number.POSITIVE_INFINITY;
    partials = longer.filter(({ loss }) => {
      if (loss >= least) return false;
      least = loss;
      return true;
    });
  }
  return partials[0] === undefined ? undefined : [...partials[0].chosen];
}

/**
 * Settings of which no other one of the same tensors has both fewer bytes and a higher agreement, the smallest first:
 * those that model.yaml keeps of a calibration.
 */
export function unbeaten<T extends MeasuredCodecs>(settings: readonly T[]): T[] {
  const sorted = [...settings].sort((a, b) => a.bytes - b.bytes || b.agreement - a.agreement);
  let most = Number.NEGATIVE_INFINITY;
  return sorted.filter(({ agreement }) => {
    if (agreement <= most) return false;
    most = agreement;
    return true;
  });
}

/**
 * The end of a tile stage that was calibrated, sends the fewest bytes within the user's bound, and has enough cells for
 * the grid; undefined where there is none. The cut and its setting are chosen together, as in JALAD.
 */
export function calibratedEnd(
  { calibrated, constraints: { agreement, codec }, tiler }: Problem,
  { rows, cols }: Counts,
): TileEnd | undefined {
  if (agreement === undefined || codec !== undefined) return undefined;
  const fits = calibrated.flatMap((setting) => {
    const end = tiler.upTo(undefined, Object.keys(setting.codecs));
    return isNoPlan(end) || end.cells.rows < rows || end.cells.cols < cols ? [] : [{ ...setting, end }];
  });
  return fewestBytes([fits], agreement)?.[0]?.end;
}

/** The tensors of a cut. */
export type CrossedCut = Pick<TileEnd, 'tensors' | 'outputs'>;

/** Codecs of tensors, and whether one of them is lossy. */
interface BoundCodecs {
  readonly codecs: Record<string, CodecSpec>;
  readonly clipped: boolean;
}

/**
 * Codecs of these cuts' tensors that together keep the bound: calibrated settings where there are any, `lossless`
 * otherwise (absent: raw). Only settings for exactly a cut's tensors count, as they were measured together.
 */
export function calibratedCodecs(
  calibrated: readonly CalibratedSetting[],
  lossless: CodecSpec | undefined,
  { model, specs }: ResolvedModel,
  cuts: readonly CrossedCut[],
  bound: number,
): BoundCodecs {
  const inputs = new Set(model.graph.inputs.map(({ name }) => name));
  const options = cuts.map(({ tensors, outputs }) => {
    const sent = [...new Set([...tensors, ...outputs])].filter((tensor) => !inputs.has(tensor));
    const rawBytes = sent.reduce((sum, tensor) => sum + byteLength(specs.get(tensor)!), 0);
    const exact: CalibratedSetting = { bytes: rawBytes, agreement: 1, codecs: {} };
    const measured = calibrated.filter(({ codecs }) => sent.length > 0 && sameNames(Object.keys(codecs), sent));
    return { sent, settings: [exact, ...measured] };
  });
  const chosen = fewestBytes(
    options.map(({ settings }) => settings),
    bound,
  );
  const codecs = new Map<string, CodecSpec>();
  // A tensor that is live at two cuts is sent once, encoded as at the first one.
  for (const setting of chosen ?? [])
    for (const [tensor, text] of Object.entries(setting.codecs))
      if (!codecs.has(tensor)) codecs.set(tensor, parseCodec(text));
  const clipped = codecs.size > 0;
  if (lossless === undefined) return { codecs: Object.fromEntries(codecs), clipped };
  for (const tensor of options.flatMap(({ sent }) => sent))
    if (!codecs.has(tensor) && findCodec(lossless.name)!.carries(specs.get(tensor)!)) codecs.set(tensor, lossless);
  return { codecs: Object.fromEntries(codecs), clipped };
}

/**
 * The plan with calibrated codecs for what travels between its machines, so that the fewest bytes are sent within the
 * user's bound for the agreement; undefined without a bound, and where no setting keeps it. For stages of any kind that
 * leave answers as they are; a setting counts for a cut whose live tensors are exactly its own.
 */
export function withCalibratedCodecs(problem: Problem, plan: Plan): Plan | undefined {
  const { calibrated, graph, constraints } = problem;
  const { agreement, codec } = constraints;
  const isApproximate = plan.stages.some(({ split }) => split.kind === 'tiles' && split.padding === 'zero');
  if (agreement === undefined || codec !== undefined || isApproximate) return undefined;
  const options = plan.stages.flatMap((stage, index) => {
    const later = plan.stages.slice(index + 1);
    const read = new Set(later.flatMap(({ inputs }) => inputs));
    const live = plan.stages.slice(0, index + 1).flatMap(({ outputs }) => outputs.filter((name) => read.has(name)));
    const own = stage.outputs.filter((name) => read.has(name));
    if (own.length === 0 || later.every((reader) => isBesides(stage, reader))) return [];
    const exact: CalibratedSetting = { bytes: bytesOf(graph, live), agreement: 1, codecs: {} };
    return [[exact, ...calibrated.filter(({ codecs }) => sameNames(Object.keys(codecs), live))]];
  });
  const chosen = new Map(
    (fewestBytes(options, agreement) ?? []).flatMap(({ codecs }) => Object.entries(codecs)).reverse(),
  );
  if (chosen.size === 0) return undefined;
  const drafts = plan.stages.map(({ id: _, ...stage }) => {
    const own = stage.outputs.flatMap((name) => (chosen.has(name) ? [[name, parseCodec(chosen.get(name)!)]] : []));
    return { ...stage, codec: { ...Object.fromEntries(own), ...stage.codec } };
  });
  return withStages(plan, drafts, [`clipped within an agreement of ${Number((100 * agreement).toPrecision(6))} %`]);
}

/**
 * The problems that strategies are asked for plans of one: itself and, where the user set a bound, the one in which
 * tensors of calibrated cuts are as small as the smallest setting within the bound makes them. So cut and bits are chosen
 * together (JALAD, ICPADS 2018); `withCalibratedCodecs` then sets the bits.
 */
export function asSent(problem: Problem): readonly Problem[] {
  const { calibrated, graph, constraints } = problem;
  const { agreement, codec } = constraints;
  if (agreement === undefined || codec !== undefined) return [problem];
  const shares = new Map<string, number>();
  for (const { codecs, bytes, agreement: kept } of calibrated) {
    const names = Object.keys(codecs);
    const share = bytes / Math.max(1, bytesOf(graph, names));
    if (kept < agreement - ROUNDING) continue;
    for (const name of names) shares.set(name, Math.min(share, shares.get(name) ?? 1));
  }
  if (shares.size === 0) return [problem];
  const tensors = graph.tensors.map((tensor) => ({ ...tensor, bytes: tensor.bytes * (shares.get(tensor.name) ?? 1) }));
  const small = { ...graph, tensors };
  const blocks = graph.blocks.map((block) => ({ ...block, bytes: bytesOf(small, block.cut) }));
  return [problem, { ...problem, graph: { ...small, blocks } }];
}

/** Whether a stage gets nothing from another one over a link: it reads none of its outputs, or runs on the same one node. */
function isBesides({ outputs, on }: Stage, reader: Stage): boolean {
  if (!reader.inputs.some((name) => outputs.includes(name))) return true;
  const nodes = [on, reader.on].map((place) => ('nodes' in place && place.nodes !== '*' ? place.nodes : []));
  return nodes[0]!.length === 1 && nodes[1]!.length === 1 && nodes[0]![0] === nodes[1]![0];
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name) => b.includes(name));
}
