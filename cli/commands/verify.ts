import { randomBytes } from 'node:crypto';
import { ROUNDING } from '../../central/planner/calibrated.ts';
import type { ServedModel } from '../../central/served-model.ts';
import { TesseraError } from '../../shared/errors.ts';
import type { ModelCard } from '../../shared/model/card.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import { isReplicated } from '../../shared/plan/plan.ts';
import { difference } from '../../shared/tensor/compare.ts';
import { DIFFERENCE_BOUND, type DifferenceBound } from '../../shared/tiling/difference-bound.ts';
import { measureOf } from '../calibrate/tally.ts';
import { defineCommand } from '../command.ts';
import type { FrameFile } from '../frame-files.ts';
import type { Answer, FrameClient } from '../frames.ts';
import { gridOption, integer, oneOf, positive, share, string, value, valueOr } from '../options.ts';
import { table } from '../output.ts';

const TIMEOUT_MS = 120_000;
/** Drawn scenes that stand in where no pictures are given. */
const DRAWN = 4;

/** What one output's differences add up to over all pictures, as shares of its range. */
interface OutputReport {
  readonly output: string;
  largest: number;
  mean: number;
}

/** `tessera verify`: compares the distributed run with the whole network. */
export const command = defineCommand({
  description:
    'Compares the distributed run with the whole network in one process, on your own network and pictures: ' +
    'differences per output, agreement of the top prediction, latency and bytes. Exit code 1 when a limit is exceeded.',
  options: {
    model: valueOr('--model <model>', 'model folder, name of a model, or .onnx file', string, 'scenes'),
    images: value('--images <dir>', 'pictures to compare on; drawn scenes where none are given', string),
    nodes: valueOr('--nodes <n>', 'node agents', integer(1, 64), 2),
    grid: value('--grid <grid>', 'tiles as ROWSxCOLS, or sizes in cells', gridOption),
    padding: valueOr(
      '--padding <kind>',
      'halo: tiles equal the whole network; zero: tiles without halo, with grid and codec of model.yaml',
      oneOf('zero', 'halo'),
      'halo',
    ),
    agreement: value(
      '--agreement <share>',
      'quantise results as `tessera model calibrate` found for this agreement, and require that agreement',
      share,
    ),
    maxDifference: value(
      '--max-difference <share>',
      "limit of the largest difference, as a share of the output's range (default: 0.0001; 0.01 where tiles compute in " +
        'float16; none with --agreement)',
      positive,
    ),
    minAgreement: value(
      '--min-agreement <share>',
      'least share of pictures with the same top prediction (default: 1, or --agreement)',
      positive,
    ),
    plan: value('--plan <file>', 'compare this plan (JSON) with the whole network', string),
    report: value('--report <file>', 'write the report as JSON', string),
  },
  examples: [
    ['verify --model resnet.onnx --images photos', 'compares the distributed run with the whole network'],
    ['verify --model vgg.onnx --nodes 4 --plan plan.json', 'compares a plan of your own with the whole network'],
    ['verify --model scenes --padding zero --max-difference 2', 'measures the effect of tiles without halo'],
    ['verify --model mobilenet --images others --agreement 0.99', 'checks calibrated settings on other pictures'],
  ],
  async run({ options, json, out, signal, config }) {
    if (options.agreement !== undefined && options.padding === 'zero')
      throw new TesseraError('TESSERA_USAGE', '--agreement holds for calibrated results of halo tiles', {
        hint: 'omit --padding zero',
      });
    const { nodes, grid, padding, agreement, plan: planFile } = options;
    if (planFile !== undefined && (grid !== undefined || agreement !== undefined || padding !== 'halo'))
      throw new TesseraError('TESSERA_USAGE', 'a plan says itself how the network is cut', {
        hint: 'leave --grid, --padding and --agreement away, or --plan',
      });
    const { openLog } = await import('../connect.ts');
    const { withPrivateCluster } = await import('../private-cluster.ts');
    const { BASELINES } = await import('../../central/planner/strategies.ts');
    const { compilePlan } = await import('../../shared/plan/compile.ts');
    const { loadRequestFor } = await import('../models.ts');
    const { readPlanFor } = await import('../plan-file.ts');
    const { machineDefaults } = await import('../machine.ts');
    const { showProgress } = await import('../progress.ts');
    const { config: settings } = await config([]);
    const log = await openLog(settings, 'verify');
    const { request, notes } = await loadRequestFor(options.model, settings, { signal });
    for (const note of notes) out.note(`note: ${note}`);
    if (options.agreement !== undefined && request.card.tiles.some(({ padding }) => padding === 'zero'))
      throw new TesseraError(
        'TESSERA_USAGE',
        `${request.name} was retrained for its tiles; --agreement is for networks that were not`,
        {
          hint: 'verify its own tiles with --padding zero, --min-agreement and --max-difference',
        },
      );
    const pictures = await picturesFor(options.images);
    const progress = showProgress({ json, out });
    const { base_topic: base, maximum_packet_size: maximumPacketSize } = settings.mqtt;
    const report = await withPrivateCluster(
      { nodes, base, maximumPacketSize, signal, shown: { json, out }, log },
      async (cluster) => {
        const served: ServedModel = await cluster.central.load(request);
        const run = async (compiled: CompiledPlan): Promise<Answer[]> => {
          await cluster.serve(served.name, compiled);
          return answers(cluster.camera, pictures, (done) =>
            progress({ work: `verify ${compiled.plan.strategy}`, done, of: pictures.length, unit: 'pictures' }),
          );
        };
        const whole = await run(
          await cluster.central.choosePlan(served.name, { nodeCount: 1, ...BASELINES.central, exits: false }),
        );
        const tiled =
          planFile === undefined
            ? await cluster.central.choosePlan(served.name, {
                nodeCount: nodes,
                sharedCores: machineDefaults().threads,
                grid,
                padding,
                agreement,
                // Results that have to equal the whole network's are sent raw, whatever the network was retrained for.
                codec: padding === 'halo' && agreement === undefined ? { name: 'raw' } : undefined,
                // What is compared is the whole network's answer.
                exits: false,
              })
            : compilePlan(await readPlanFor(served, planFile), served.resolved);
        if (tiled.approximate && agreement === undefined) {
          const why = 'unbounded' in tiled.bound ? tiled.bound.unbounded : 'tiles alone, or results quantised';
          out.note(
            `note: this plan is approximate (${why}): judge it by the top predictions, and set --max-difference`,
          );
        }
        if (agreement !== undefined) out.note(`note: ${tiled.plan.reason}`);
        if (isReplicated(tiled.plan))
          out.note(`note: ${tiled.plan.reason}: that is what is proved; --grid 2x2 proves tiles`);
        const usual = usualLimits(agreement, request.card, tiled.bound);
        const { maxDifference = usual.maxDifference, minAgreement = usual.minAgreement } = options;
        return compare(whole, await run(tiled), served, tiled, { maxDifference, minAgreement });
      },
    );
    if (report === undefined) return 0; // Stopped by the user.
    if (options.report !== undefined) {
      const { writeOutput } = await import('../../shared/runtime/whole-file.ts');
      await writeOutput({ what: '--report', path: options.report }, `${JSON.stringify(report, null, 2)}\n`);
    }
    if (json) out.json(report);
    else for (const line of lines(report)) out.line(line);
    return report.pass ? 0 : 1;
  },
});

interface Limits {
  readonly maxDifference: number;
  readonly minAgreement: number;
}

/** What passes where the user does not say it: equality for the types that tiles compute in, or the agreement that results were clipped for. */
function usualLimits(agreement: number | undefined, card: ModelCard, bound: DifferenceBound): Limits {
  const equal = 'largest' in bound ? bound.largest : DIFFERENCE_BOUND;
  if (agreement === undefined) return { maxDifference: equal, minAgreement: 1 };
  if (measureOf(card) === 'answers') return { maxDifference: Number.POSITIVE_INFINITY, minAgreement: agreement };
  return { maxDifference: Math.max(equal, 1 - agreement), minAgreement: 0 };
}

type Report = ReturnType<typeof compare>;

function lines(report: Report): string[] {
  const right = { align: 'right' } as const;
  const columns = [
    { title: 'output', cell: (row: OutputReport) => row.output },
    { title: 'largest difference', cell: (row: OutputReport) => row.largest.toExponential(2), ...right },
    { title: 'mean', cell: (row: OutputReport) => row.mean.toExponential(2), ...right },
  ];
  return [
    ...table(columns, report.outputs),
    `same top prediction: ${report.agreed} of ${report.pictures}`,
    `median latency: whole ${report.latency_ms.whole} ms, spread ${report.latency_ms.spread} ms`,
    `bytes per picture: ${report.bytes_up} out, ${report.bytes_down} back, ${report.bytes_between} between nodes`,
    report.pass ? 'equal within the limits' : 'NOT equal within the limits',
  ];
}

async function picturesFor(folder: string | undefined): Promise<FrameFile[]> {
  if (folder !== undefined) {
    const { pictureFrames } = await import('../frame-files.ts');
    return pictureFrames([folder], true);
  }
  const { drawnPictures } = await import('../../shared/camera/live/scene-source.ts');
  return (await drawnPictures(DRAWN)).map((d, i) => ({
    file: `scene ${i}`,
    read: async () => ({ v: 1, format: 'jpeg', d, tensors: true }),
  }));
}

async function answers(
  camera: FrameClient,
  pictures: readonly FrameFile[],
  progress: (done: number) => void,
): Promise<Answer[]> {
  const all: Answer[] = [];
  progress(0);
  for (const picture of pictures) {
    const answer = await camera.send(randomBytes(8).toString('hex'), await picture.read(), TIMEOUT_MS);
    const { error } = answer.result;
    if (error !== undefined)
      throw new TesseraError('TESSERA_VERIFY', `${picture.file} ended with ${error.code}: ${error.message}`, {
        hint: error.hint ?? 'leave that picture out, or fix it',
      });
    all.push(answer);
    progress(all.length);
  }
  return all;
}

/** The best answer, also where its score is too low to be `top`. */
function firstAnswer({ result }: Answer): string | undefined {
  return result.predictions[0]?.label;
}

/** Adds up what the two runs say of the same pictures. */
function compare(
  whole: readonly Answer[],
  spread: readonly Answer[],
  { name, manifest }: ServedModel,
  { plan, cost }: CompiledPlan,
  limits: Limits,
) {
  const outputs = new Map<string, OutputReport>();
  let agreed = 0;
  whole.forEach((reference, i) => {
    const other = spread[i]!;
    if (firstAnswer(reference) === firstAnswer(other)) agreed++;
    for (const region of reference.tensors?.outputs ?? []) {
      const counterpart = other.tensors?.outputs.find(({ tensor }) => tensor === region.tensor);
      const tensor = ({ dtype, shape, d }: typeof region) => ({ dtype, shape, data: d });
      const found =
        counterpart === undefined
          ? { largest: Number.POSITIVE_INFINITY, mean: Number.POSITIVE_INFINITY }
          : difference(tensor(region), tensor(counterpart));
      const report = outputs.get(region.tensor) ?? { output: region.tensor, largest: 0, mean: 0 };
      outputs.set(region.tensor, report);
      report.largest = Math.max(report.largest, found.largest);
      report.mean += found.mean / whole.length;
    }
  });
  const median = (list: readonly Answer[]): number =>
    list.map(({ result }) => result.latency_ms).sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
  const mean = (pick: (answer: Answer) => number): number =>
    Math.round(spread.reduce((sum, answer) => sum + pick(answer), 0) / spread.length);
  const rows = [...outputs.values()];
  return {
    model: name,
    model_sha256: manifest.skeleton.sha,
    plan: plan.id,
    reason: plan.reason,
    macs_on_nodes: cost.macsOnNodes,
    pictures: whole.length,
    outputs: rows,
    agreed,
    latency_ms: { predicted: plan.predicted?.latency_ms ?? null, whole: median(whole), spread: median(spread) },
    bytes_up: mean(({ result }) => result.bytes_up),
    bytes_down: mean(({ result }) => result.bytes_down),
    bytes_between: mean(({ result }) => result.bytes_between ?? 0),
    // Without a limit of differences, null.
    limits: {
      max_difference: Number.isFinite(limits.maxDifference) ? limits.maxDifference : null,
      min_agreement: limits.minAgreement,
    },
    pass:
      rows.length > 0 &&
      rows.every(({ largest }) => largest <= limits.maxDifference) &&
      agreed >= limits.minAgreement * whole.length - ROUNDING,
  };
}
