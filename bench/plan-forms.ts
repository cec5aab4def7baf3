import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { choosePlan } from '../central/planner/default-plan.ts';
import { BASELINES } from '../central/planner/strategies.ts';
import { integer, oneOf, string, type Values, valueOr } from '../cli/options.ts';
import { withPrivateCluster } from '../cli/private-cluster.ts';
import { TesseraError } from '../shared/errors.ts';
import { parseCard } from '../shared/model/card.ts';
import type { Model } from '../shared/onnx/model.ts';
import { compilePlan } from '../shared/plan/compile.ts';
import { silentLog } from '../shared/ports.ts';
import type { FrameEnvelope } from '../shared/protocol/messages/frame.ts';
import { createRandom } from '../shared/random.ts';
import { loadModelFile } from '../shared/runtime/package.ts';
import { difference } from '../shared/tensor/compare.ts';
import { elementCount, type Tensor } from '../shared/tensor/tensor.ts';
import { dataFolder, dataOption, defineBenchmark, list } from './harness/benchmark.ts';
import { Forms } from './plan-forms/forms.ts';
import { IF_AND_LOOP, ifAndLoop } from './plan-forms/if-and-loop.ts';
import { proposedPlans } from './plan-forms/proposed.ts';
import { NO_MOSQUITTO, startMosquitto } from './testbed/mosquitto.ts';

/** Largest difference allowed, as a share of each output's range. */
const LIMIT = 1e-4;
const NODES = 4;
/** No hedging: every part is answered by the node that the plan gives it to. */
const PATIENT = { hard_limit_ms: 300_000, hedge_floor_ms: 60_000, answer_floor_ms: 240_000 };

interface Row {
  readonly network: string;
  readonly form: string;
  readonly stages: number;
  readonly nodes: readonly string[];
  readonly largest: number;
  /** Bytes that central sent to nodes, and that nodes sent to central, for a frame. */
  readonly bytes_up: number;
  readonly bytes_down: number;
  /** And that nodes sent to one another. */
  readonly bytes_between: number;
}

const options = {
  networks: valueOr('--networks <list>', `networks of the data, and ${IF_AND_LOOP}, which is made`, list(string), [
    'cifar10_resnet20',
    'mobilenet_v1_025_128',
    IF_AND_LOOP,
  ]),
  frames: valueOr('--frames <n>', 'frames for each form', integer(1), 3),
  broker: valueOr('--broker <kind>', 'embedded or mosquitto', oneOf('embedded', 'mosquitto'), 'embedded'),
  data: dataOption,
};

/** Whether every form of plan equals the whole network. */
export const { description, usage, run } = defineBenchmark({
  question: 'does a plan of every form give what the whole network gives?',
  method:
    `${NODES} node agents, each its own process, around a broker. For each network and each form of plan (device, edge ` +
    'tiles and cloud; consecutive tile stages; tiles and slices of channels; skips; several tensors across a cut; a ' +
    'chain of nodes; what each strategy with tiles proposes) frames with random ' +
    `values are computed by the plan and by central alone. Passed: every output differs by at most ${LIMIT} of its ` +
    'range, and the nodes that the plan names computed it.',
  needs: 'the shared networks; for --broker mosquitto Mosquitto.',
  notMeasured: 'time; faults (npm run bench -- faults).',
  options,
  quick: { networks: ['cifar10_resnet20'], frames: 1 },
  run: compareForms,
});

async function load(path: string): Promise<Model> {
  if (!existsSync(path)) throw new TesseraError('TESSERA_USAGE', `there is no ${path}`);
  return loadModelFile(path);
}

async function compareForms({ networks, frames, broker: kind, data }: Values<typeof options>) {
  const folder = dataFolder(data);
  const broker = kind === 'mosquitto' ? await startMosquitto() : undefined;
  if (kind === 'mosquitto' && broker === undefined) throw new TesseraError('TESSERA_USAGE', NO_MOSQUITTO);
  const rows: Row[] = [];
  const absent: string[] = [];
  const cluster = {
    nodes: NODES,
    base: 'tessera',
    maximumPacketSize: 1_000_000,
    coordinator: PATIENT,
    log: silentLog,
    ...(broker === undefined ? {} : { bus: { url: broker.url } }),
  };
  try {
    await withPrivateCluster(cluster, async ({ central, agents, camera, serve }) => {
      for (const [index, name] of networks.entries()) {
        const model = name === IF_AND_LOOP ? ifAndLoop() : await load(join(folder, 'models', `${name}.onnx`));
        const card = parseCard({ name: 'bench', task: 'raw' }, name);
        const served = await central.load({ name: 'bench', card, labels: [], model, picture: false });
        const { shape, dtype } = served.input;
        const random = createRandom(index + 1, 1);
        const inputs = Array.from({ length: frames }, () =>
          Float32Array.from({ length: elementCount(shape) }, () => random.between(-1, 1)),
        );
        const send = async (values: Float32Array) => {
          const d = new Uint8Array(values.slice().buffer);
          const envelope: FrameEnvelope = { v: 1, format: 'tensor', dtype, shape: [...shape], d, tensors: true };
          const { result, tensors } = await camera.send(randomBytes(8).toString('hex'), envelope, 300_000);
          if (result.error !== undefined) throw new TesseraError('TESSERA_VERIFY', `${name}: ${result.error.message}`);
          return { result, outputs: tensors!.outputs.map(({ d: bytes, ...spec }) => ({ ...spec, data: bytes })) };
        };
        await serve('bench', choosePlan(served, { nodeCount: 1, ...BASELINES.central }), 120_000);
        const references: (readonly Tensor[])[] = [];
        for (const values of inputs) references.push((await send(values)).outputs);
        const ids = agents.map(({ id }) => id);
        const { resolved, manifest } = served;
        const forms = new Forms(resolved, manifest.skeleton.sha, ids).all();
        for (const { name: form, plan } of [...forms, ...proposedPlans(resolved, manifest.skeleton.sha, ids)]) {
          if (plan === undefined) {
            absent.push(`${name}: ${form}`);
            continue;
          }
          const compiled = compilePlan(plan, served.resolved);
          await serve('bench', compiled, 120_000);
          const answers = [];
          for (const values of inputs) answers.push(await send(values));
          const { result } = answers.at(-1)!;
          const largest = Math.max(
            ...answers.flatMap(({ outputs }, frame) =>
              outputs.map((tensor, at) => difference(references[frame]![at]!, tensor).largest),
            ),
          );
          const { bytes_up, bytes_down, bytes_between = 0 } = result;
          rows.push({
            network: name,
            form,
            stages: plan.stages.length,
            nodes: result.nodes,
            largest,
            bytes_up,
            bytes_down,
            bytes_between,
          });
          console.error(
            `${name.padEnd(24)} ${form.padEnd(30)} ${result.nodes.join(' ').padEnd(36)} ${largest.toExponential(2)}` +
              `  ${(bytes_up / 1000).toFixed(0)} kB from central, ${(bytes_down / 1000).toFixed(0)} kB to it, ` +
              `${(bytes_between / 1000).toFixed(0)} kB between nodes`,
          );
        }
      }
    });
  } finally {
    await broker?.stop();
  }
  const largest = Math.max(...rows.map((row) => row.largest));
  return { pass: rows.length > 0 && largest <= LIMIT, broker: kind, limit: LIMIT, largest, absent, rows };
}
