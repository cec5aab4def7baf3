import { setImmediate } from 'node:timers/promises';
import { type MeasuredCodecs, unbeaten } from '../../central/planner/calibrated.ts';
import { alternativeRules, type BoundsRule, clipFor, MIN_MAX, ValueCounts } from '../../shared/codec/clip-bounds.ts';
import { floatsOf } from '../../shared/codec/floats.ts';
import { type ClipSpec, codecText } from '../../shared/codec/spec.ts';
import type { Step } from '../progress.ts';
import type { CutNetwork, Sample } from './network.ts';
import type { Pictures } from './pictures.ts';
import { remembered } from './remembered.ts';
import { lowerEnd, type Measure, Tally } from './tally.ts';

/** Feature maps and outputs that are kept in memory; those of further pictures are computed again. */
const SAMPLE_BYTES = 512e6;

/** Codecs for the tensors at a cut, measured on all pictures. */
export interface Measured {
  /** As `--codec` has it, by tensor. */
  readonly codecs: Readonly<Record<string, string>>;
  readonly bits: number;
  /** The rule by which the bounds were found. */
  readonly rule: BoundsRule;
  readonly bytes: number;
  readonly agreement: number;
  /**
   * The agreement that the pictures show: of answers the lower end of the 95 % interval, since others of the cameras'
   * pictures are to keep it; of differences the agreement itself.
   */
  readonly shown: number;
  readonly largest: number;
  readonly mean: number;
}

/** A cut with its measurements: min-max with every number of bits, other bounds where they are better. */
export interface MeasuredCut {
  readonly tensors: readonly string[];
  readonly raw_bytes: number;
  /** Share of the pictures that have the commonest top prediction; null where there are no answers. */
  readonly commonest: number | null;
  readonly settings: readonly Measured[];
}

/** What to measure, and callbacks for progress. */
export interface CalibrationRequest {
  readonly pictures: Pictures;
  readonly measure: Measure;
  /** The least agreement that the user accepts; a setting has to show it. */
  readonly bound: number;
  readonly bits: readonly number[];
  readonly progress: (step: Step) => void;
  readonly signal: AbortSignal;
}

interface Trial {
  readonly rule: BoundsRule;
  readonly bits: number;
  readonly codecs: ReadonlyMap<string, ClipSpec>;
  readonly tally: Tally;
}

/**
 * Measures codecs for one cut's tensors (JALAD, ICPADS 2018, section III): min-max bounds with each number of bits;
 * then other bounds with at most as many bits as min-max needs, each until it can no longer meet the bound.
 */
export async function calibrateCut(network: CutNetwork, request: CalibrationRequest): Promise<MeasuredCut> {
  const { pictures, measure, bound, bits, signal } = request;
  const name = network.clipped.join(', ');
  const sample = remembered(SAMPLE_BYTES, async (index) => network.run(await pictures.get(index)), bytesOfSample);
  const each = async (what: string, visit: (sample: Sample, index: number) => Promise<void> | void): Promise<void> => {
    const report = (done: number): void =>
      request.progress({ work: `calibrate ${name}, ${what}`, done, of: pictures.count, unit: 'pictures' });
    report(0);
    for (let index = 0; index < pictures.count; index++) {
      // Inference blocks the thread: Ctrl-C is handled between two pictures.
      await setImmediate();
      signal.throwIfAborted();
      await visit(await sample(index), index);
      report(index + 1);
    }
  };

  const counts = new Map(network.clipped.map((tensor) => [tensor, new ValueCounts()]));
  const answers = new Map<string, number>();
  await each('bounds', ({ maps, answer = 'none' }) => {
    answers.set(answer, (answers.get(answer) ?? 0) + 1);
    for (const [tensor, counted] of counts) counted.add(floatsOf(maps.get(tensor)!.data));
  });
  const trialOf = (rule: BoundsRule, codeBits: number): Trial => ({
    rule,
    bits: codeBits,
    codecs: new Map([...counts].map(([tensor, counted]) => [tensor, clipFor(counted, rule, codeBits)])),
    tally: new Tally(),
  });
  const run = async (what: string, trials: readonly Trial[], isOver: (tally: Tally) => boolean): Promise<Trial[]> => {
    let open = [...trials];
    await each(what, async (found, index) => {
      const picture = await pictures.get(index);
      for (const { codecs, tally } of open) tally.add(await network.compare(picture, found, codecs));
      open = open.filter(({ tally }) => !isOver(tally));
    });
    return open;
  };

  const plain = await run(
    `min-max, ${bits.length === 1 ? `${bits[0]} bits` : `${bits[0]} to ${bits.at(-1)} bits`}`,
    bits.map((codeBits) => trialOf(MIN_MAX, codeBits)),
    () => false,
  );
  const needed = plain.find(({ tally }) => shown(tally, measure) >= bound)?.bits ?? bits.at(-1)!;
  const fewer = bits.filter((codeBits) => codeBits <= needed);
  const others = await run(
    'other bounds',
    alternativeRules([...counts.values()]).flatMap((rule) => fewer.map((codeBits) => trialOf(rule, codeBits))),
    (tally) => tally.isHopeless(measure, bound, pictures.count),
  );
  const settings = [...plain, ...others].map((trial) => measured(trial, network, measure));
  const commonest = measure === 'answers' ? Math.max(...answers.values()) / pictures.count : null;
  return { tensors: network.tensors, raw_bytes: network.rawBytes, commonest, settings };
}

/** A setting with what it promises: not the agreement on these pictures, but what they show. */
export function promised<T extends Measured>(setting: T): MeasuredCodecs & { readonly setting: T } {
  return { bytes: setting.bytes, agreement: setting.shown, setting };
}

function shown(tally: Tally, measure: Measure): number {
  return measure === 'answers' ? lowerEnd(tally.same, tally.pictures) : tally.agreement(measure);
}

/** The settings of a cut for model.yaml: the Pareto-optimal ones (bytes, agreement shown) of those that meet the bound. */
export function worthKeeping({ settings }: MeasuredCut, bound: number): Measured[] {
  return unbeaten(settings.map(promised).filter(({ agreement }) => agreement >= bound)).map(({ setting }) => setting);
}

function measured({ rule, bits, codecs, tally }: Trial, { tensors, others }: CutNetwork, measure: Measure): Measured {
  const travels = tensors.map((tensor) => [tensor, codecText(codecs.get(tensor) ?? others.get(tensor)!)] as const);
  return {
    codecs: Object.fromEntries(travels),
    bits,
    rule,
    bytes: tally.bytes,
    agreement: tally.agreement(measure),
    shown: shown(tally, measure),
    largest: tally.largest,
    mean: tally.mean,
  };
}

function bytesOfSample({ maps, outputs }: Sample): number {
  return [...maps.values(), ...outputs.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
}
