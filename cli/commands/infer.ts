import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Connection } from '../../central/central.ts';
import type { Deployment } from '../../central/deployment.ts';
import type { PlanRequest } from '../../central/planner/choose.ts';
import type { PreparedPlan } from '../../central/planner/prepared.ts';
import { TesseraError } from '../../shared/errors.ts';
import type { Log } from '../../shared/ports.ts';
import type { FrameEnvelope, PlanStatus, ResultObject } from '../../shared/protocol/messages.ts';
import { type Grid, parseGrid } from '../../shared/tiling/grid.ts';
import type { Cluster } from '../cluster.ts';
import { defineCommand } from '../command.ts';
import type { FrameClient } from '../frames.ts';
import {
  connectionOptions,
  connectionSettings,
  flag,
  integer,
  oneOf,
  string,
  value,
  valueOr,
  values,
} from '../options.ts';
import { parseShape } from '../shape.ts';

const TIMEOUT_MS = 120_000;

/** `auto` leaves the choice to the planner. */
const grid = (text: string): Grid | undefined => (text === 'auto' ? undefined : parseGrid(text));

/** `tessera infer`: frames through a cluster, results out. */
export const command = defineCommand({
  arguments: '<files...>',
  description:
    'Runs pictures (or a tensor) through a network that is spread over nodes, and prints what it says. A private ' +
    'cluster of broker, central and node agents is made for it, unless --broker names a running one.',
  options: {
    ...connectionOptions,
    model: valueOr('--model <model>', 'model folder, name of a model, or .onnx file', string, 'scenes'),
    nodes: valueOr('--nodes <n>', 'node agents of the private cluster', integer(1, 64), 2),
    grid: value('--grid <grid>', 'tiles as ROWSxCOLS (2x4), as sizes in cells (5,9x7,7), or auto', grid),
    padding: value(
      '--padding <kind>',
      'halo: equals the whole network; zero: each tile alone (FDSP)',
      oneOf('zero', 'halo'),
    ),
    cut: values('--cut <tensor>', 'tensor after which a tile stage ends; repeat it for several stages', string),
    strategy: value(
      '--strategy <name>',
      'how to make the plan: tiles-prefix, two-stage, whole-replicate, whole-central',
      string,
    ),
    plan: value('--plan <file>', 'run this plan (JSON)', string),
    inputShape: value(
      '--input-shape <shape>',
      "the network's input where the file leaves it open, as 1x3x224x224",
      parseShape,
    ),
    tensor: value(
      '--tensor <shape>',
      'files are raw little-endian float32 tensors of this shape for the first input',
      parseShape,
    ),
    dump: value('--dump <file>', 'write the first output as raw little-endian float32', string),
    compare: flag('--compare', "print one node's time for the whole network beside the cluster's"),
  },
  examples: [
    ['infer cat.jpg --model fastestdet', 'what is in the picture'],
    ['infer cat.jpg --model resnet.onnx --nodes 4 --grid 2x2 --json', 'any ONNX network; result objects for programs'],
    ['infer x.bin --tensor 1x3x224x224 --dump y.bin --model net.onnx', 'tensors in and out'],
    ['infer cat.jpg --model vgg16.onnx --nodes 4 --compare', 'is the cluster faster than one machine?'],
  ],
  async run({ args, options, json, out, signal, config }) {
    const { openLog } = await import('../connect.ts');
    const { config: settings } = await config(await connectionSettings(options));
    const log = await openLog(settings, 'infer');
    const base = settings.mqtt.base_topic;
    const frames = await readFrames(args, options.tensor, options.dump !== undefined);
    const report = (result: ResultObject, status: PlanStatus | undefined): void => {
      const macs_on_nodes = status?.macs_on_nodes ?? null;
      const conv_macs_on_nodes = status?.conv_macs_on_nodes ?? null;
      if (json) out.json({ ...result, macs_on_nodes, conv_macs_on_nodes });
      else out.line(readable(result));
    };
    const job: InferJob = { frames, dump: options.dump, signal, report, note: out.note };

    if (options.broker !== undefined) {
      const private_ = ['grid', 'padding', 'strategy', 'plan', 'inputShape', 'tensor'] as const;
      const given = private_.find((key) => options[key] !== undefined);
      if (given !== undefined || options.cut.length > 0 || options.compare)
        throw new TesseraError('TESSERA_USAGE', 'a running cluster decides itself how it cuts its models', {
          hint: 'leave --broker away for a private cluster, or leave --grid, --cut, --plan and the like away',
        });
      const { busOptions } = await import('../connect.ts');
      return inferAt(await busOptions(settings, `${base}-infer-${process.pid}`, log), base, options.model, log, job);
    }

    const { startCluster, untilReady } = await import('../cluster.ts');
    const { choosePlan } = await import('../../central/planner/choose.ts');
    const { preparePlan } = await import('../../central/planner/prepared.ts');
    const { loadForDeploy } = await import('../models.ts');
    const { request, notes } = await loadForDeploy(options.model, settings, {
      picture: options.tensor === undefined,
      inputShape: options.tensor ?? options.inputShape,
    });
    for (const note of notes) out.note(`note: ${note}`);
    const stateDir = await mkdtemp(join(tmpdir(), 'tessera-'));
    let cluster: Cluster | undefined;
    try {
      cluster = await startCluster({
        nodes: options.nodes,
        base,
        stateDir,
        maximumPacketSize: settings.mqtt.maximum_packet_size,
        cameras: { infer: { models: [], hold: 1, offline_after_s: 3600, keep: 'every' } },
        acceptUnlistedCameras: false,
        idPrefix: 'node',
        log,
      });
      const deployment = await cluster.central.deploy(request);
      const asked: PlanRequest = {
        nodeCount: options.nodes,
        ...(options.grid === undefined ? {} : { grid: options.grid }),
        ...(options.padding === undefined ? {} : { padding: options.padding }),
        ...(options.cut.length === 0 ? {} : { cuts: options.cut }),
        ...(options.strategy === undefined ? {} : { strategy: options.strategy }),
      };
      const prepared =
        options.plan === undefined
          ? choosePlan(deployment, asked)
          : preparePlan(await readPlan(options.plan, deployment), deployment.resolved);
      await serve(cluster, deployment, prepared, options.nodes, untilReady);
      out.note(describe(prepared, options.nodes));
      const many = await inferOn(cluster, base, deployment.name, log, job);
      if (options.compare) {
        const one = choosePlan(deployment, {
          nodeCount: 1,
          nodes: [cluster.agents[0]!.id],
          strategy: 'whole-replicate',
        });
        await serve(cluster, deployment, one, 1, untilReady);
        const single = await inferOn(cluster, base, deployment.name, log, {
          ...job,
          report: () => {},
          dump: undefined,
        });
        out.note(comparison(many, single, options.nodes));
      }
      return many.every((result) => result.status !== 'error') ? 0 : 1;
    } finally {
      await cluster?.stop();
      await rm(stateDir, { recursive: true, force: true });
    }
  },
});

interface Frame {
  readonly file: string;
  readonly envelope: FrameEnvelope;
}

interface InferJob {
  readonly frames: readonly Frame[];
  readonly dump: string | undefined;
  readonly signal: AbortSignal;
  readonly report: (result: ResultObject, status: PlanStatus | undefined) => void;
  readonly note: (text: string) => void;
}

async function readFrames(
  args: readonly string[],
  tensor: readonly number[] | undefined,
  tensors: boolean,
): Promise<Frame[]> {
  const { pictureFiles } = await import('../camera/source.ts');
  const { pictureFormat } = await import('../camera/run.ts');
  const files = tensor === undefined ? await pictureFiles(args) : args;
  return Promise.all(
    files.map(async (file): Promise<Frame> => {
      const d = new Uint8Array(
        await readFile(file).catch((cause) => {
          throw new TesseraError('TESSERA_USAGE', `cannot read ${file}`, { cause, hint: 'name a file that exists' });
        }),
      );
      if (tensor === undefined) return { file, envelope: { v: 1, format: pictureFormat(d), d, tensors } };
      const expected = tensor.reduce((product, size) => product * size, 4);
      if (d.byteLength !== expected)
        throw new TesseraError(
          'TESSERA_USAGE',
          `${file} has ${d.byteLength} bytes; float32 ${tensor.join('x')} is ${expected}`,
          {
            hint: '--tensor reads raw little-endian float32 without a header',
          },
        );
      return { file, envelope: { v: 1, format: 'tensor', dtype: 'float32', shape: [...tensor], d, tensors } };
    }),
  );
}

async function readPlan(file: string, { manifest, name }: Deployment) {
  const { parsePlan } = await import('../../shared/plan/validate.ts');
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch (cause) {
    throw new TesseraError('TESSERA_PLAN_INVALID', `${file} is not a JSON file that can be read`, { cause });
  }
  const plan = parsePlan(value);
  if (plan.model !== manifest.skeleton.sha)
    throw new TesseraError('TESSERA_PLAN_INVALID', `${file} is a plan for another model than ${name}`, {
      hint: `its "model" is ${plan.model.slice(0, 12)}..., this one's is ${manifest.skeleton.sha}`,
    });
  return plan;
}

async function serve(
  cluster: Cluster,
  deployment: Deployment,
  prepared: PreparedPlan,
  nodes: number,
  untilReady: typeof import('../cluster.ts').untilReady,
): Promise<void> {
  await cluster.central.activate(deployment.name, prepared);
  await untilReady(cluster, prepared.plan, nodes);
}

function describe({ plan, macsOnNodes, convMacsOnNodes }: PreparedPlan, nodes: number): string {
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
  return `plan ${plan.id}: ${plan.reason}; ${percent(macsOnNodes)} of all multiply-adds (${percent(convMacsOnNodes)} of the convolutions') on ${nodes} nodes`;
}

/** Sends the frames one after another, so that each latency is one frame's own. */
async function send(client: FrameClient, job: InferJob, status: () => PlanStatus | undefined): Promise<ResultObject[]> {
  const results: ResultObject[] = [];
  for (const [index, { envelope }] of job.frames.entries()) {
    if (job.signal.aborted) break;
    const { result, tensors } = await client.send(randomBytes(8).toString('hex'), envelope, TIMEOUT_MS);
    results.push(result);
    job.report(result, status());
    const first = tensors?.outputs[0];
    if (job.dump !== undefined && first !== undefined && index === 0) {
      if (first.dtype !== 'float32')
        job.note(`note: output "${first.tensor}" is ${first.dtype}; it is written as it is`);
      await writeFile(job.dump, first.d);
    }
  }
  return results;
}

async function inferOn(
  cluster: Cluster,
  base: string,
  model: string,
  log: Log,
  job: InferJob,
): Promise<ResultObject[]> {
  return withClient({ ...cluster.bus, clientId: `${base}-infer-${process.pid}`, log }, base, (client) =>
    send(client, job, () => cluster.central.planStatus(model)),
  );
}

async function withClient<T>(
  options: Connection & { clientId: string; log: Log },
  base: string,
  use: (client: FrameClient, bus: import('../../shared/ports.ts').Bus) => Promise<T>,
): Promise<T> {
  const { connectBus } = await import('../../shared/runtime/mqtt.ts');
  const { topics } = await import('../../shared/protocol/topics.ts');
  const { FrameClient } = await import('../frames.ts');
  const bus = await connectBus(options);
  try {
    const client = new FrameClient(bus, topics(base), 'infer');
    await client.start();
    return await use(client, bus);
  } finally {
    await bus.stop();
  }
}

/** Through a cluster that runs elsewhere: its central decides; `model` must be one that it serves. */
async function inferAt(
  options: Connection & { clientId: string; log: Log },
  base: string,
  model: string,
  log: Log,
  job: InferJob,
): Promise<number> {
  const { topics } = await import('../../shared/protocol/topics.ts');
  const { planStatus } = await import('../../shared/protocol/messages.ts');
  return withClient({ ...options, log }, base, async (client, bus) => {
    const plans = new Map<string, PlanStatus>();
    await bus.subscribe(topics(base).planAll, 1, ({ topic, payload }) => {
      const parsed = planStatus.safeParse(JSON.parse(Buffer.from(payload).toString('utf8')));
      if (parsed.success) plans.set(topic.split('/').at(-1)!, parsed.data);
    });
    const deadline = performance.now() + 3000;
    while (!plans.has(model) && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
    if (!plans.has(model))
      throw new TesseraError('TESSERA_MODEL_UNKNOWN', `the cluster at ${options.url} does not serve model "${model}"`, {
        hint: plans.size === 0 ? 'is central running there?' : `it serves ${[...plans.keys()].join(', ')}`,
      });
    const results = await send(client, job, () => plans.get(model));
    return results.every((result) => result.status !== 'error') ? 0 : 1;
  });
}

function readable(result: ResultObject): string {
  const { status, top, predictions, task, latency_ms, approximate, error, tiles_per_node } = result;
  const tiles = Object.entries(tiles_per_node)
    .map(([node, count]) => `${node}:${count}`)
    .join(' ');
  const found =
    status === 'error'
      ? `${error?.code}: ${error?.message}`
      : task === 'detect'
        ? predictions
            .map((one) => `${one.label} ${one.score.toFixed(2)} [${one.box?.map(Math.round).join(' ')}]`)
            .join('; ') || 'nothing found'
        : predictions
            .slice(0, 5)
            .map((one) => `${one.label} ${one.score.toFixed(2)}`)
            .join(', ') ||
          (top?.label ?? `${task} done`);
  return `${found}  (${Math.round(latency_ms)} ms; tiles ${tiles}${approximate ? '; approximate' : ''})`;
}

function comparison(many: readonly ResultObject[], single: readonly ResultObject[], nodes: number): string {
  const median = (results: readonly ResultObject[]): number =>
    results.map((result) => result.latency_ms).sort((a, b) => a - b)[Math.floor(results.length / 2)] ?? Number.NaN;
  const [cluster, one] = [median(many), median(single)];
  const verdict =
    cluster < one
      ? `the cluster is ${(one / cluster).toFixed(2)}x as fast`
      : `one node is ${(cluster / one).toFixed(2)}x as fast: use one machine for this network`;
  return `median latency: ${nodes} nodes ${cluster.toFixed(1)} ms, one node ${one.toFixed(1)} ms; ${verdict} (nodes on one machine share its cores)`;
}
