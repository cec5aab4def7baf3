import { access, constants } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { counted } from '../../shared/counted.ts';
import { TesseraError } from '../../shared/errors.ts';
import { MAX_CALIBRATED } from '../../shared/model/card-schema.ts';
import type { MeasuredCut } from '../calibrate/calibrate.ts';
import { defineCommand } from '../command.ts';
import { flag, gridOption, integer, type Parser, share, string, usage, value, valueOr, values } from '../options.ts';

/** As many places to cut as are tried where the user names none. */
const CUTS = 4;

const ALL_BITS = [2, 3, 4, 5, 6, 7, 8];

/** `4`, or `2..8`. */
const bitsOption: Parser<readonly number[]> = (text, flag) => {
  const [, first, last] = /^([2-8])(?:\.\.([2-8]))?$/.exec(text) ?? [];
  const [from, to] = [Number(first), Number(last ?? first)];
  if (!(from <= to)) throw usage(flag, text, 'a number of bits from 2 to 8, or a range such as 2..8');
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
};

/** A report file; its extension gives the form. */
const reportOption: Parser<string> = (text, flag) => {
  if (!/\.(html|svg)$/i.test(text))
    throw usage(flag, text, 'a file that ends in .html (plot and table) or .svg (the plot)');
  return text;
};

/** `tessera model calibrate`: how few bits do the results of a network without retraining need? */
export const command = defineCommand({
  description:
    'Calibrates post-training quantisation of intermediate results on your own pictures: finds clip bounds and bits with the ' +
    'fewest bytes under a bound of agreement with the uncompressed network. At each cut it observes the values that your ' +
    'pictures make, tries every number of bits with min-max bounds (JALAD) and then tighter ones, encodes as nodes do, ' +
    'runs the rest of the network and compares. For classifiers agreement is the share of pictures with the same ' +
    'top prediction (the lower end of its 95 % interval has to meet the bound), for other networks 1 less the largest difference of an output, as a share of its range. ' +
    '--write stores the settings in model.yaml, and plans use them with --agreement of infer, up and central, or models.agreement.',
  options: {
    model: valueOr('--model <model>', 'model folder, name of a model, or .onnx file', string, 'scenes'),
    images: value('--images <dir>', 'pictures like those that the network will process', string),
    agreement: valueOr(
      '--agreement <share>',
      'least agreement with the uncompressed network that the pictures have to show, with 95 % confidence',
      share,
      0.95,
    ),
    cut: values(
      '--cut <tensor>',
      `tensor to cut after; repeat it for several; otherwise up to ${CUTS} are tried`,
      string,
    ),
    grid: value('--grid <grid>', 'tiles as ROWSxCOLS: results are encoded tile by tile; otherwise 2x2', gridOption),
    bits: value('--bits <range>', 'bits to try, as 4 or 3..5; otherwise 2..8', bitsOption),
    limit: valueOr('--limit <n>', 'pictures to use, spread evenly over the folder', integer(1, 100_000), 400),
    report: value('--report <file>', 'write plot and table (.html), or the plot alone (.svg)', reportOption),
    write: flag('--write', 'write the settings that meet the bound into model.yaml, for plans to use'),
  },
  examples: [
    ['model calibrate --model mobilenet --images photos', 'how few bytes keep 95 % of the predictions?'],
    [
      'model calibrate --model mobilenet --images photos --report calibration.html',
      'with a plot of bytes against agreement',
    ],
    [
      'model calibrate --model mobilenet --images photos --agreement 0.95 --write',
      'for infer, up and central --agreement 0.95',
    ],
    ['model calibrate --model mobilenet --images photos --cut relu_5 --bits 3..5', 'one cut, fewer settings: faster'],
  ],
  async run({ options, json, out, signal, config: loadConfig }) {
    if (options.images === undefined)
      throw new TesseraError('TESSERA_USAGE', 'no pictures to calibrate on', {
        hint: 'name a folder of them: --images DIR',
      });
    if (options.cut.length > MAX_CALIBRATED)
      throw usage('--cut', `given ${options.cut.length} times`, `at most ${MAX_CALIBRATED} tensors`);
    if (options.report !== undefined) await checkFolder(options.report);
    const { config } = await loadConfig();
    const [
      { loadRequestFor },
      { openNetwork, cutNetwork },
      { openPictures },
      { calibrateCut },
      { measureOf, checkCount },
      report,
    ] = await Promise.all([
      import('../models.ts'),
      import('../calibrate/network.ts'),
      import('../calibrate/pictures.ts'),
      import('../calibrate/calibrate.ts'),
      import('../calibrate/tally.ts'),
      import('../calibrate/report.ts'),
    ]);
    const { explicitCut } = await import('../../shared/tiling/prefix.ts');
    const { affordableEnds } = await import('../../central/planner/cuts/cheapest.ts');
    const { planningNetwork } = await import('../../central/planner/tiler.ts');
    const { machineDefaults } = await import('../machine.ts');
    const { showProgress } = await import('../progress.ts');
    const { writable } = await import('../calibrate/card-file.ts');

    const cardFile = options.write ? await writable(options.model, config) : undefined;
    const { request, notes } = await loadRequestFor(options.model, config, { signal });
    for (const note of notes) out.note(`note: ${note}`);
    if (request.card.tiles.some(({ clip }) => clip !== undefined))
      out.note(
        'note: this network was retrained for what model.yaml says under tiles; plans use that, and calibrated settings only elsewhere',
      );
    const served = await openNetwork(request);
    const grid = options.grid ?? { rows: 2, cols: 2 };
    const { rows, cols } = grid;
    const measure = measureOf(request.card);
    const places =
      options.cut.length > 0
        ? options.cut.map((tensor) => [served.names.inner(tensor)])
        : affordableEnds(planningNetwork(served.resolved), { rows, cols }, CUTS).map(({ made }) => made);
    // A faulty cut is reported before the other cuts take their time.
    const distinct = new Map<string, readonly string[]>();
    for (const place of places) {
      const name = explicitCut(served.resolved, [served.input.name], place).outputs.join(', ');
      if (distinct.has(name)) out.note(`note: a cut after ${place.join(', ')} is the same as one after ${name}`);
      else distinct.set(name, place);
    }
    const pictures = await openPictures(options.images, options.limit, served, out.note);
    if (measure === 'answers') checkCount(pictures.count, options.agreement);
    const progress = showProgress({ json, out });
    const cuts: MeasuredCut[] = [];
    for (const place of distinct.values()) {
      const network = await cutNetwork(served, place, grid, measure, machineDefaults().threads);
      if (network === undefined) {
        out.note(
          `note: nothing to clip at a cut after ${place.join(', ')}: the network ends there, or has no float32 tensor`,
        );
        continue;
      }
      try {
        const { agreement: bound, bits = ALL_BITS } = options;
        cuts.push(await calibrateCut(network, { pictures, measure, bound, bits, progress, signal }));
      } finally {
        await network.release();
      }
    }
    if (cuts.length === 0)
      throw new TesseraError('TESSERA_PLAN_INVALID', `model "${request.name}" has no cut to calibrate`, {
        hint: `\`tessera model inspect ${options.model}\` shows how far tiles reach; name a tensor there with --cut, or a smaller --grid`,
      });
    const calibration = {
      model: request.name,
      model_sha256: served.version,
      task: request.card.task,
      measure,
      bound: options.agreement,
      pictures: pictures.count,
      skipped: pictures.skipped,
      grid: [rows, cols],
      cuts,
    } as const;
    const choice = report.choiceOf(calibration);
    if (json)
      out.json({
        ...calibration,
        chosen: choice === undefined ? null : { tensors: choice.cut.tensors, ...choice.setting },
      });
    else for (const line of report.reportLines(calibration)) out.line(line);
    if (options.report !== undefined) {
      const { plotSvg, reportHtml } = await import('../calibrate/plot.ts');
      const text = /\.svg$/i.test(options.report) ? plotSvg(calibration) : reportHtml(calibration);
      const { writeOutput } = await import('../../shared/runtime/whole-file.ts');
      await writeOutput({ what: '--report', path: options.report }, text);
      out.note(`report: ${options.report}`);
    }
    if (cardFile !== undefined) {
      const entries = report.cardEntries(calibration).map(({ codecs, ...setting }) => ({
        codecs: Object.fromEntries(Object.entries(codecs).map(([name, codec]) => [served.names.original(name), codec])),
        ...setting,
      }));
      // What an earlier calibration found for a lower bound still holds.
      if (entries.length === 0) out.note(`${cardFile.path}: left as it was`);
      else {
        await cardFile.write(entries);
        out.note(
          `${cardFile.path}: ${counted(entries.length, 'setting')} under "calibrated"; plans use them with --agreement`,
        );
      }
    }
    return choice === undefined ? 1 : 0;
  },
});

/** Fails before the work is done, not after. */
async function checkFolder(report: string): Promise<void> {
  try {
    await access(dirname(resolve(report)), constants.W_OK);
  } catch (cause) {
    throw new TesseraError('TESSERA_USAGE', `--report ${report} cannot be written`, {
      cause,
      hint: 'name a file in a folder that exists and may be written to',
    });
  }
}
