import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { choosePlan } from '../central/planner/default-plan.ts';
import { gridFor } from '../central/planner/grids.ts';
import { type Cluster, startCluster, untilReady } from '../cli/cluster.ts';
import { integer, oneOf, positive, type Values, valueOr } from '../cli/options.ts';
import { agentsOf } from '../cli/private-cluster.ts';
import { compilePlan } from '../shared/plan/compile.ts';
import type { CompiledPlan } from '../shared/plan/compiled-plan.ts';
import { CENTRAL } from '../shared/plan/plan.ts';
import { silentLog } from '../shared/ports.ts';
import { defineBenchmark, list } from './harness/benchmark.ts';
import { machineSpeed, scaledOption } from './harness/machine-speed.ts';
import type { CameraTask } from './overhead/camera-worker.ts';
import { bundled, type Network, tiny } from './overhead/networks.ts';
import { type Phases, phasesOf, Recorder } from './overhead/phases.ts';
import { cpuMs, median, runCamera, startBrokerProcess } from './overhead/processes.ts';
import { type FormName, Forms } from './plan-forms/forms.ts';

/** CPU of broker and central beside their computing, and of one node beside its, for a frame on four nodes, ms. */
const TARGET = { centre_ms: 12, node_ms: 4 };
const NETWORKS = ['tiny', 'scenes'] as const;
/** The number of nodes for which the target is, and on which the forms run. */
const JUDGED_NODES = 4;
/** Forms of plan in which nodes read what other nodes make. */
const STRAIGHT_FORMS = ['device, edge tiles, cloud', 'three tile stages that stay', 'a chain of nodes'] as const;
const ALL = 'all';
/** Cameras by the way of their tensors: those of one whose late tiles may be filled with zeros all go by central. */
const CAMERAS = {
  straight: { models: [], hold: 1, offline_after_s: 3600, keep: 'every' },
  hub: { models: [], hold: 1, offline_after_s: 3600, keep: 'every', deadline: 'fill', deadline_ms: 60_000 },
} as const;
type Way = keyof typeof CAMERAS;
/** The plan that the planner makes. */
const PLANNERS = "the planner's";

/** CPU time so far, or for a frame, ms. */
interface Cpu {
  readonly broker: number;
  readonly central: number;
  /** Of all nodes together. */
  readonly nodes: number;
}

interface Row {
  readonly network: string;
  readonly nodes: number;
  readonly plan: string;
  /** Whether tensors go straight from node to node, or all by way of central. */
  readonly way: Way;
  readonly tiles: number;
  readonly latency_ms: number;
  /** Undefined for plans of a form, whose stages overlap. */
  readonly phases_ms: Phases | undefined;
  readonly messages: Readonly<Record<string, number>>;
  readonly bytes: Readonly<Record<string, number>>;
  /** CPU a frame, ms; without computing (`compute_ms` of tiles) for central and nodes. */
  readonly cpu_ms: Cpu & { readonly computing: number };
}

const options = {
  frames: valueOr('--frames <n>', 'frames of each measurement', integer(1), 200),
  nodes: valueOr('--nodes <list>', 'numbers of node agents; the target is for 4', list(integer(1, 64)), [1, 2, 4, 8]),
  networks: valueOr('--networks <list>', NETWORKS.join(' or '), list(oneOf(...NETWORKS)), NETWORKS),
  form: valueOr(
    '--form <form>',
    `of plans in which nodes read what others make: ${STRAIGHT_FORMS.join('; ')}; or ${ALL} of them`,
    oneOf(ALL, ...STRAIGHT_FORMS),
    ALL,
  ),
  idle: valueOr('--idle <s>', 'seconds for which the idle cluster is watched first', positive, 3),
  scaled: scaledOption,
};

export const { description, usage, run } = defineBenchmark({
  question: 'what does the system itself cost a frame: messages, bytes, CPU, and where the time goes?',
  method:
    'Broker, central and every node a process of its own on this machine, frames one after another; a network that ' +
    'computes next to nothing and the bundled one, on 1, 2, 4 and 8 nodes; the bundled one on four also with plans in ' +
    'which nodes read what others make, each straight from node to node and by way of central. CPU times are of whole processes, ' +
    'those of heartbeats and metrics of idle nodes, measured before, are subtracted; messages are counted in a run of their own. ' +
    `Passed: with four nodes, broker and central take at most ${TARGET.centre_ms} ms of CPU a frame beside their ` +
    `computing, and each node ${TARGET.node_ms}.`,
  needs: 'Linux, for the CPU figures.',
  notMeasured:
    "real links, several frames at once. Waiting for one of this machine's cores counts as time on the wire.",
  options,
  quick: { frames: 50, nodes: [4], form: 'a chain of nodes', idle: 1, scaled: true },
  run: measureAll,
});

async function measureAll({ frames, nodes: counts, networks, form, idle, scaled }: Values<typeof options>) {
  const forms = form === ALL ? STRAIGHT_FORMS : [form];
  const rows: Row[] = [];
  const wanted: readonly string[] = networks;
  for (const network of [tiny(), await bundled()].filter(({ name }) => wanted.includes(name)))
    for (const nodes of counts)
      rows.push(...(await measureCluster(network, nodes, { frames, forms, idleMs: idle * 1000 })));
  printTables(rows);
  const judged = rows.filter(({ nodes, plan }) => nodes === JUDGED_NODES && plan === PLANNERS);
  const machine = scaled ? machineSpeed() : 1;
  const pass = judged.every(
    ({ cpu_ms, nodes }) =>
      cpu_ms.broker + cpu_ms.central <= TARGET.centre_ms / machine && cpu_ms.nodes / nodes <= TARGET.node_ms / machine,
  );
  return { pass: pass && judged.length > 0, target: TARGET, machine, rows };
}

interface Measurement {
  readonly frames: number;
  readonly forms: readonly FormName[];
  readonly idleMs: number;
}

async function measureCluster(network: Network, nodes: number, { frames, forms, idleMs }: Measurement): Promise<Row[]> {
  const { name, request } = network;
  const stateDir = await mkdtemp(join(tmpdir(), 'tessera-overhead-'));
  const broker = await startBrokerProcess();
  let cluster: Cluster | undefined;
  try {
    cluster = await startCluster({
      nodes,
      bus: { url: broker.url },
      base: 'tessera',
      stateDir,
      maximumPacketSize: 1_000_000,
      cameras: CAMERAS,
      acceptUnlistedCameras: false,
      idPrefix: 'node',
      log: silentLog,
    });
    const { central, agents } = cluster;
    const served = await central.load(request);
    const pids = agents.map(({ pid }) => pid);
    const cpu = (): Cpu => ({
      broker: cpuMs(broker.pid),
      central: cpuMs(process.pid),
      nodes: pids.reduce((sum, pid) => sum + cpuMs(pid), 0),
    });
    const serve = async (compiled: CompiledPlan, count: number): Promise<void> => {
      await central.offerPlan(served.name, compiled);
      await untilReady(cluster!, compiled.plan, count);
    };
    // A network with almost no computation would rightly not be cut.
    const compiled = choosePlan(served, { nodeCount: nodes, ...(name === 'tiny' ? { grid: gridFor(nodes) } : {}) });
    await serve(compiled, nodes);
    await sleep(1000);
    const beforeIdle = cpu();
    await sleep(idleMs);
    const afterIdle = cpu();
    const idle = (key: keyof Cpu): number => (afterIdle[key] - beforeIdle[key]) / idleMs;
    const measured = async (plan: string, way: Way, tiles: number): Promise<Row> => {
      const row = { network: name, nodes, plan, way, tiles };
      const made = {
        ...row,
        ...(await measure({ url: broker.url, camera: way, frame: network.frame }, frames, cpu, idle)),
      };
      console.error(`${name} on ${nodes}, ${plan}, ${way}: ${made.latency_ms.toFixed(1)} ms a frame`);
      return made;
    };
    const rows = [await measured(PLANNERS, 'straight', compiled.stages[0]!.parts.length)];
    if (name === 'tiny' || nodes !== JUDGED_NODES) return rows;
    const made = new Forms(
      served.resolved,
      served.manifest.skeleton.sha,
      agents.map(({ id }) => id),
    ).all();
    for (const { name: form, plan } of made.filter(({ name: one }) => forms.includes(one))) {
      const straight = compilePlan(plan!, served.resolved);
      await serve(straight, agentsOf(plan!, nodes));
      const tiles = straight.stages.reduce((sum, { parts }) => sum + parts.length, 0);
      for (const way of ['hub', 'straight'] as const) {
        const { phases_ms: _, ...row } = await measured(form, way, tiles);
        rows.push({ ...row, phases_ms: undefined });
      }
    }
    return rows;
  } finally {
    await cluster?.stop();
    await broker.stop();
    await rm(stateDir, { recursive: true, force: true });
  }
}

/** Frames of one camera, one after another; `cpu` and `idle`: CPU ms so far, and what each ms costs without frames. */
async function measure(
  camera: Pick<CameraTask, 'url' | 'camera' | 'frame'>,
  frames: number,
  cpu: () => Cpu,
  idle: (key: keyof Cpu) => number,
): Promise<Pick<Row, 'latency_ms' | 'phases_ms' | 'messages' | 'bytes' | 'cpu_ms'>> {
  const task: CameraTask = { ...camera, warmUp: 30, frames, watch: false };
  const recorder = new Recorder();
  let before = cpu();
  let began = 0;
  const report = await runCamera(task, () => {
    before = cpu();
    began = performance.now();
    recorder.start();
  });
  const after = cpu();
  const elapsed = performance.now() - began;
  const ends = recorder.stop().slice(-frames);
  const counted = await runCamera({ ...task, watch: true, frames: Math.min(frames, 50) }, () => {});
  if (report.failed + counted.failed > 0) throw new Error(`${report.failed + counted.failed} frames failed`);

  const perFrame = (key: keyof Cpu): number => (after[key] - before[key] - idle(key) * elapsed) / frames;
  const computing = (isCentral: boolean): number =>
    mean(
      ends.map(({ end }) =>
        sum(end.trace.filter(({ node }) => (node === CENTRAL) === isCentral).map((request) => request.compute_ms ?? 0)),
      ),
    );
  const byFrame = (sums: Readonly<Record<string, number>>): Record<string, number> =>
    Object.fromEntries(
      Object.entries(sums).map(([kind, total]) => [kind, total / counted.roundTripsMs.length] as const),
    );
  const latency = median(report.roundTripsMs);
  const phases = ends.map(phasesOf);
  const phase = (key: keyof Phases): number => median(phases.map((one) => one[key]));
  const own = median(ends.map(({ end }) => end.latency_ms));
  return {
    latency_ms: latency,
    phases_ms: {
      decode: phase('decode'),
      pack: phase('pack'),
      wire: phase('wire'),
      queue: phase('queue'),
      compute: phase('compute'),
      paste: phase('paste'),
      tail: phase('tail'),
      finish: phase('finish'),
      client: latency - own,
    },
    messages: byFrame(counted.messages),
    bytes: byFrame(counted.bytes),
    cpu_ms: {
      broker: perFrame('broker'),
      central: perFrame('central') - computing(true),
      nodes: perFrame('nodes') - computing(false),
      computing: computing(false) + computing(true),
    },
  };
}

function printTables(rows: readonly Row[]): void {
  const ms = (value: number): string => value.toFixed(1);
  const kB = (bytes = 0): string => ms(bytes / 1000);
  const phases = Object.keys(rows[0]?.phases_ms ?? {}) as (keyof Phases)[];
  console.log(`| network | nodes | tiles | ms a frame | ${phases.join(' | ')} |`);
  console.log(`|---|---|---|---|${phases.map(() => '---|').join('')}`);
  for (const { network, nodes, tiles, latency_ms, phases_ms } of rows)
    if (phases_ms !== undefined)
      console.log(
        `| ${network} | ${nodes} | ${tiles} | ${ms(latency_ms)} | ${phases.map((key) => ms(phases_ms[key])).join(' | ')} |`,
      );
  console.log(
    '\n| network | nodes | plan | tensors | ms a frame | messages | kB: all | of central | between nodes | CPU ms: broker | central | each node | computing |',
  );
  console.log(`|${'---|'.repeat(13)}`);
  for (const { network, nodes, plan, way, latency_ms, messages, bytes, cpu_ms } of rows) {
    const cells = [
      plan,
      way,
      ms(latency_ms),
      ms(sum(Object.values(messages))),
      kB(sum(Object.values(bytes))),
      kB((bytes.work ?? 0) + (bytes.result ?? 0)),
      kB(bytes.tensor),
      ms(cpu_ms.broker),
      ms(cpu_ms.central),
      ms(cpu_ms.nodes / nodes),
      ms(cpu_ms.computing),
    ];
    console.log(`| ${network} | ${nodes} | ${cells.join(' | ')} |`);
  }
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]): number => sum(values) / values.length;
