import { findCodec } from '../../shared/codec/codecs.ts';
import type { CodecSpec } from '../../shared/codec/spec.ts';
import { parseCodec } from '../../shared/codec/spec.ts';
import type { ResolvedModel } from '../../shared/onnx/model.ts';
import { byteLength } from '../../shared/tensor/tensor.ts';
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

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name) => b.includes(name));
}
