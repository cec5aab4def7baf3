import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Deployment } from '../../central/deployment.ts';
import type { PreparedPlan } from '../../central/planner/prepared.ts';
import { TesseraError } from '../../shared/errors.ts';
import { difference } from '../../shared/tensor/compare.ts';
import { parseGrid } from '../../shared/tiling/grid.ts';
import type { Cluster } from '../cluster.ts';
import { defineCommand } from '../command.ts';
import type { Answer, FrameClient } from '../frames.ts';
import { integer, oneOf, positive, string, value, valueOr } from '../options.ts';
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

/** `tessera verify`: does the distributed run equal the whole network? */
export const command = defineCommand({
  description:
    'Proves on your own network and pictures that the distributed run equals the whole network in one process: ' +
    'differences per output, agreement of the first answer, latency and bytes. Exit code 1 past the limits.',
  options: {
    model: valueOr('--model <model>', 'model folder, name of a model, or .onnx file', string, 'scenes'),
    images: value('--images <dir>', 'pictures to compare on; drawn scenes where none are given', string),
    nodes: valueOr('--nodes <n>', 'node agents', integer(1, 64), 2),
    grid: value('--grid <grid>', 'tiles as ROWSxCOLS, or sizes in cells', parseGrid),
    padding: value('--padding <kind>', 'halo or zero (FDSP)', oneOf('zero', 'halo')),
    maxDifference: valueOr(
      '--max-difference <share>',
      "limit of the largest difference, as a share of the output's range",
      positive,
      1e-4,
    ),
    minAgreement: valueOr('--min-agreement <share>', 'least share of pictures with the same first answer', positive, 1),
    report: value('--report <file>', 'write the report as JSON', string),
  },
  examples: [
    ['verify --model resnet.onnx --images photos', 'does it stay itself when it is cut?'],
    ['verify --model scenes --padding zero --max-difference 2', 'what do tiles without halo change?'],
  ],
  async run({ options, json, out, config }) {
    const { openLog } = await import('../connect.ts');
    const { startCluster, untilReady } = await import('../cluster.ts');
    const { choosePlan } = await import('../../central/planner/choose.ts');
    const { loadForDeploy } = await import('../models.ts');
    const { config: settings } = await config([]);
    const log = await openLog(settings, 'verify');
    const base = settings.mqtt.base_topic;
    const { request, notes } = await loadForDeploy(options.model, settings);
    for (const note of notes) out.note(`note: ${note}`);
    const stateDir = await mkdtemp(join(tmpdir(), 'tessera-'));
    let cluster: Cluster | undefined;
    try {
      cluster = await startCluster({
        nodes: options.nodes,
        base,
        stateDir,
        maximumPacketSize: settings.mqtt.maximum_packet_size,
        cameras: { verify: { models: [], hold: 1, offline_after_s: 3600, keep: 'every' } },
        acceptUnlistedCameras: false,
        idPrefix: 'node',
        log,
      });
      const { central } = cluster;
      const deployment: Deployment = await central.deploy(request);
      const pictures = await picturesFor(options.images);
      const run = async (prepared: PreparedPlan, nodes: number): Promise<Answer[]> => {
        await central.activate(deployment.name, prepared);
        await untilReady(cluster!, prepared.plan, nodes);
        return answers(cluster!, base, pictures, log, (done) =>
          out.note(`${prepared.plan.strategy}: ${done} of ${pictures.length}`),
        );
      };
      const whole = await run(choosePlan(deployment, { nodeCount: 1, strategy: 'whole-central' }), 0);
      const tiled = choosePlan(deployment, {
        nodeCount: options.nodes,
        ...(options.grid === undefined ? {} : { grid: options.grid }),
        ...(options.padding === undefined ? {} : { padding: options.padding }),
      });
      const spread = await run(tiled, options.nodes);
      const report = compare(whole, spread, deployment, tiled, options);
      if (options.report !== undefined) await writeFile(options.report, `${JSON.stringify(report, null, 2)}\n`);
      if (json) out.json(report);
      else {
        const columns = [
          { title: 'output', cell: (row: OutputReport) => row.output },
          {
            title: 'largest difference',
            cell: (row: OutputReport) => row.largest.toExponential(2),
            align: 'right' as const,
          },
          { title: 'mean', cell: (row: OutputReport) => row.mean.toExponential(2), align: 'right' as const },
        ];
        for (const line of table(columns, report.outputs)) out.line(line);
        out.line(`same first answer: ${report.agreed} of ${report.pictures}`);
        out.line(`median latency: whole ${report.latency_ms.whole} ms, spread ${report.latency_ms.spread} ms`);
        out.line(`bytes per picture: ${report.bytes_up} out, ${report.bytes_down} back`);
        out.line(report.pass ? 'equal within the limits' : 'NOT equal within the limits');
      }
      return report.pass ? 0 : 1;
    } finally {
      await cluster?.stop();
      await rm(stateDir, { recursive: true, force: true });
    }
  },
});

async function picturesFor(folder: string | undefined): Promise<Uint8Array[]> {
  const { drawnPictures, pictureFiles } = await import('../camera/source.ts');
  if (folder === undefined) return drawnPictures(DRAWN);
  return Promise.all((await pictureFiles([folder])).map(async (file) => new Uint8Array(await readFile(file))));
}

async function answers(
  cluster: Cluster,
  base: string,
  pictures: readonly Uint8Array[],
  log: Parameters<typeof import('../../shared/runtime/mqtt.ts').connectBus>[0]['log'],
  progress: (done: number) => void,
): Promise<Answer[]> {
  const { connectBus } = await import('../../shared/runtime/mqtt.ts');
  const { topics } = await import('../../shared/protocol/topics.ts');
  const { FrameClient } = await import('../frames.ts');
  const { pictureFormat } = await import('../camera/run.ts');
  const bus = await connectBus({ ...cluster.bus, clientId: `${base}-verify-${process.pid}`, log });
  try {
    const client: FrameClient = new FrameClient(bus, topics(base), 'verify');
    await client.start();
    const all: Answer[] = [];
    for (const d of pictures) {
      const answer = await client.send(
        randomBytes(8).toString('hex'),
        { v: 1, format: pictureFormat(d), d, tensors: true },
        TIMEOUT_MS,
      );
      const { error } = answer.result;
      if (error !== undefined)
        throw new TesseraError('TESSERA_VERIFY', `a picture ended with ${error.code}: ${error.message}`);
      all.push(answer);
      progress(all.length);
    }
    return all;
  } finally {
    await bus.stop();
  }
}

/** Adds up what the two runs say of the same pictures. */
function compare(
  whole: readonly Answer[],
  spread: readonly Answer[],
  { name, manifest }: Deployment,
  { plan, macsOnNodes }: PreparedPlan,
  limits: { readonly maxDifference: number; readonly minAgreement: number },
) {
  const outputs = new Map<string, OutputReport>();
  let agreed = 0;
  whole.forEach((reference, i) => {
    const other = spread[i]!;
    if (reference.result.top?.label === other.result.top?.label) agreed++;
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
    macs_on_nodes: macsOnNodes,
    pictures: whole.length,
    outputs: rows,
    agreed,
    latency_ms: { predicted: plan.predicted?.latency_ms ?? null, whole: median(whole), spread: median(spread) },
    bytes_up: mean(({ result }) => result.bytes_up),
    bytes_down: mean(({ result }) => result.bytes_down),
    limits: { max_difference: limits.maxDifference, min_agreement: limits.minAgreement },
    pass:
      rows.length > 0 &&
      rows.every(({ largest }) => largest <= limits.maxDifference) &&
      agreed >= limits.minAgreement * whole.length,
  };
}
