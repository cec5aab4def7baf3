import { fewestBytes } from '../../central/planner/calibrated.ts';
import { counted } from '../../shared/counted.ts';
import { MAX_CALIBRATED } from '../../shared/model/card-schema.ts';
import { table } from '../output.ts';
import { type Measured, type MeasuredCut, promised, worthKeeping } from './calibrate.ts';
import type { Measure } from './tally.ts';

/** The result of a calibration; what `--json` prints. */
export interface Calibration {
  readonly model: string;
  readonly model_sha256: string;
  readonly task: string;
  /** What `agreement` means: equal top predictions, or 1 less the largest difference. */
  readonly measure: Measure;
  readonly bound: number;
  readonly pictures: number;
  readonly skipped: number;
  /** Rows and columns of tiles, into which results are cut before they are encoded. */
  readonly grid: readonly [rows: number, cols: number];
  readonly cuts: readonly MeasuredCut[];
}

/** A setting with the cut that it belongs to. */
export interface Choice {
  readonly cut: MeasuredCut;
  readonly setting: Measured;
}

/** The setting of all cuts that shows the bound with the fewest bytes (JALAD); undefined where none meets it. */
export function choiceOf({ cuts, bound }: Pick<Calibration, 'cuts' | 'bound'>): Choice | undefined {
  const all = cuts.flatMap((cut) => cut.settings.map((setting) => ({ ...promised(setting), cut })));
  const [best] = fewestBytes([all], bound) ?? [];
  return best === undefined ? undefined : { cut: best.cut, setting: best.setting };
}

/**
 * Entries of model.yaml's `calibrated`: of each cut the settings that meet the bound with the fewest bytes. Above
 * the limit of a card each cut keeps some of them, with the smallest and the most exact.
 */
export function cardEntries({ cuts, bound, pictures }: Calibration) {
  const kept = cuts.map((cut) => worthKeeping(cut, bound));
  const isTooMany = kept.reduce((sum, { length }) => sum + length, 0) > MAX_CALIBRATED;
  const most = isTooMany ? Math.floor(MAX_CALIBRATED / cuts.length) : MAX_CALIBRATED;
  return kept.flatMap((settings) =>
    thinned(settings, most).map(({ codecs, shown, bytes }) => ({
      codecs,
      // Rounded down, so never above what was shown; the addend undoes float errors in shares such as 57 of 100.
      agreement: Math.floor(shown * 1e4 + 1e-6) / 1e4,
      pictures,
      bytes,
    })),
  );
}

/** At most so many of a list, evenly from the first to the last. */
function thinned<T>(list: readonly T[], most: number): readonly T[] {
  if (list.length <= most) return list;
  return Array.from({ length: most }, (_, i) => list[Math.round((i * (list.length - 1)) / Math.max(1, most - 1))]!);
}

/** The settings in the report: min-max with every number of bits, and others only where `worthKeeping` has them. */
export function shownSettings(cut: MeasuredCut, bound: number): Measured[] {
  const kept = new Set(worthKeeping(cut, bound));
  return cut.settings.filter((setting) => kept.has(setting) || isMinMax(setting));
}

function isMinMax({ rule }: Measured): boolean {
  return rule.beyond === 0 && rule.deadZone === 0;
}

/** How bounds were determined, in words. */
function ruleText({ rule }: Measured): string {
  const tails = rule.beyond === 0 ? 'min-max' : `${100 * rule.beyond} % beyond`;
  return rule.deadZone === 0 ? tails : `${tails}, dead zone`;
}

/** `clip:0:6:4` as `0..6`. */
function boundsText({ codecs }: Measured): string {
  return Object.values(codecs)
    .map((codec) => {
      const [name, a, b] = codec.split(':');
      return name === 'clip' ? `${a}..${b}` : name;
    })
    .join(' ');
}

/** A share in percent. */
export function percent(share: number, digits = 2): string {
  return `${(100 * share).toFixed(digits)} %`;
}

/** Cells of the table, by column; `chosen` marks the best of all, `kept` what `--write` writes beside it. */
export function tableOf(calibration: Calibration): { readonly titles: string[]; readonly rows: string[][] } {
  const { cuts, bound, measure } = calibration;
  const best = choiceOf(calibration)?.setting;
  const titles = ['cut after', 'bits', 'bounds', 'found by', 'bytes/picture', 'of raw', 'agreement', 'shown'];
  const rows = cuts.flatMap((cut) => {
    const kept = new Set(worthKeeping(cut, bound));
    return shownSettings(cut, bound).map((setting) => [
      cut.tensors.join(', '),
      String(setting.bits),
      boundsText(setting),
      ruleText(setting),
      String(setting.bytes),
      percent(setting.bytes / cut.raw_bytes, 1),
      percent(setting.agreement),
      percent(setting.shown),
      percent(setting.largest),
      percent(setting.mean, 3),
      setting === best ? 'chosen' : kept.has(setting) ? 'kept' : '',
    ]);
  });
  return {
    titles: [...titles, 'largest difference', 'mean', ''].filter(
      (title) => measure === 'answers' || title !== titles[7],
    ),
    rows: measure === 'answers' ? rows : rows.map((row) => row.filter((_, column) => column !== 7)),
  };
}

const LEFT = new Set(['cut after', 'bounds', 'found by', '']);

/** The result and what it means, in whole sentences. */
export function sentences(calibration: Calibration): string[] {
  const { bound, pictures, measure, grid, task } = calibration;
  const choice = choiceOf(calibration);
  const commonest = Math.max(0, ...calibration.cuts.map((cut) => cut.commonest ?? 0));
  const blind =
    commonest < bound
      ? []
      : [
          `${percent(commonest, 0)} of these pictures have the same top prediction: a network that always gave it ` +
            'would have the same agreement. Use pictures of all classes.',
        ];
  const what =
    measure === 'answers'
      ? `agreement is the share of ${counted(pictures, 'picture')} whose top prediction is that of the uncompressed network`
      : `agreement is 1 less the largest difference of any output value over ${counted(pictures, 'picture')}, as a share of the output's range (task ${task} has no single top prediction)`;
  const about = `${what}; bytes are those of ${grid[0]}x${grid[1]} tiles' results, raw is their size in memory.`;
  if (choice === undefined)
    return [
      about,
      ...blind,
      `No codec is shown to keep ${percent(bound)}: use more pictures, or send results of this network losslessly, or as fp16 or q8.`,
    ];
  const { cut, setting } = choice;
  const travels = Object.entries(setting.codecs).map(([tensor, codec]) => `"${tensor}" as ${codec}`);
  const sure =
    measure === 'answers' ? `; that shows ${percent(setting.shown)} on others like them, with 95 % confidence` : '';
  return [
    about,
    ...blind,
    `Fewest bytes for an agreement of ${percent(bound)}: ${travels.join(', ')}; ${setting.bytes} bytes a picture, ` +
      `${percent(setting.bytes / cut.raw_bytes, 1)} of raw, agreement ${percent(setting.agreement)}${sure}.`,
  ];
}

/** The report for a terminal. */
export function reportLines(calibration: Calibration): string[] {
  const { titles, rows } = tableOf(calibration);
  const columns = titles.map((title, index) => ({
    title,
    align: LEFT.has(title) ? ('left' as const) : ('right' as const),
    cell: (row: string[]) => row[index]!,
  }));
  return [...table(columns, rows), '', ...sentences(calibration)];
}
