import { randomBytes } from 'node:crypto';
import type { ServedModel } from '../../central/served-model.ts';
import { TesseraError } from '../../shared/errors.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import { isReplicated } from '../../shared/plan/plan.ts';
import { defineCommand } from '../command.ts';
import type { FrameFile } from '../frame-files.ts';
import type { Answer, FrameClient } from '../frames.ts';
import { gridOption, integer, oneOf, positive, share, string, value, valueOr } from '../options.ts';

const TIMEOUT_MS = 120_000;
/** Drawn scenes that stand in where no pictures are given. */
const DRAWN = 4;

/** `tessera verify`: compares the distributed run with the whole network. */
export const command = defineCommand({
  description:
    'Compares the distributed run with the network in one process, on your own network and pictures: differences per ' +
    'output, agreement of the top prediction, latency and bytes. A network that was retrained for its tiles is compared ' +
    'with the form that was trained, tiles alone with clipped results; every other network with the whole of it. Exit ' +
    'code 1 when a limit is exceeded.',
  options: {
    model: valueOr('--model <model>', 'model folder, name of a model, or .onnx file', string, 'scenes'),
    images: value(
      '--images <dir>',
      'pictures to compare on, or a folder with one folder of pictures a class; drawn scenes where none are given',
      string,
    ),
    nodes: valueOr('--nodes <n>', 'node agents', integer(1, 64), 2),
    grid: value('--grid <grid>', 'tiles as ROWSxCOLS, or sizes in cells', gridOption),
    padding: value(
      '--padding <kind>',
      'halo: tiles equal the whole network; zero: tiles without halo, with grid and codec of model.yaml (default: zero for a ' +
        'network that was retrained for that, otherwise halo)',
      oneOf('zero', 'halo'),
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
    ['verify --model scenes', 'compares the cluster with the form for which the network was retrained'],
    ['verify --model resnet.onnx --padding zero --max-difference 2', 'measures the effect of tiles without halo'],
    ['verify --model mobilenet --images others --agreement 0.99', 'checks calibrated settings on other pictures'],
  ],
  async run({ options, json, out, signal, config }) {
    if (options.agreement !== undefined && options.padding === 'zero')
      throw new TesseraError('TESSERA_USAGE', '--agreement holds for calibrated results of halo tiles', {
        hint: 'omit --padding zero',
      });
    const { nodes, grid, agreement, plan: planFile } = options;
    if (planFile !== undefined && (grid !== undefined || agreement !== undefined || options.padding !== undefined))
      throw new TesseraError('TESSERA_USAGE', 'a plan says itself how the network is cut', {
        hint: 'leave --grid, --padding and --agreement away, or --plan',
      });
    const { openLog } = await import('../connect.ts');
    const { withPrivateCluster } = await import('../private-cluster.ts');
    const { isApproximate, isRetrained } = await import('../../central/planner/trained-form.ts');
    const { computedOf, trainedReference } = await import('../verify/reference.ts');
    const { compare, reportLines, usualLimits } = await import('../verify/report.ts');
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
    const wasRetrained = isRetrained(request.card);
    const padding = options.padding ?? (wasRetrained ? 'zero' : 'halo');
    if (options.agreement !== undefined && wasRetrained)
      throw new TesseraError(
        'TESSERA_USAGE',
        `${request.name} was retrained for its tiles; --agreement is for networks that were not`,
        {
          hint: 'omit --agreement: its own tiles are compared with the form that was trained',
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
        const reference = wasRetrained
          ? await trainedReference(request, pictures, machineDefaults().threads, (done) =>
              progress({ work: 'verify as trained', done, of: pictures.length, unit: 'pictures' }),
            )
          : (
              await run(
                await cluster.central.choosePlan(served.name, { nodeCount: 1, ...BASELINES.central, exits: false }),
              )
            ).map(computedOf);
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
        if (isApproximate(tiled, request.card) && agreement === undefined) {
          const other = wasRetrained ? 'not the form that was trained' : 'tiles alone, or results quantised';
          const why = 'unbounded' in tiled.bound ? tiled.bound.unbounded : other;
          out.note(
            `note: this plan is approximate (${why}): judge it by the top predictions, and set --max-difference`,
          );
        }
        if (agreement !== undefined) out.note(`note: ${tiled.plan.reason}`);
        if (isReplicated(tiled.plan))
          out.note(`note: ${tiled.plan.reason}: that is what is proved; --grid 2x2 proves tiles`);
        const usual = usualLimits(agreement, request.card, tiled.bound);
        const { maxDifference = usual.maxDifference, minAgreement = usual.minAgreement } = options;
        const limits = { maxDifference, minAgreement };
        const kind = wasRetrained ? 'trained' : 'whole';
        return compare({ kind, computed: reference }, await run(tiled), served, tiled, limits);
      },
    );
    if (report === undefined) return 0; // Stopped by the user.
    if (options.report !== undefined) {
      const { writeOutput } = await import('../../shared/runtime/whole-file.ts');
      await writeOutput({ what: '--report', path: options.report }, `${JSON.stringify(report, null, 2)}\n`);
    }
    if (json) out.json(report);
    else for (const line of reportLines(report)) out.line(line);
    return report.pass ? 0 : 1;
  },
});

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
