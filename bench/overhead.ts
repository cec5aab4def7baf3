import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { choosePlan } from '../central/planner/default-plan.ts';
import { gridFor } from '../central/planner/grids.ts';
import { type Cluster, startCluster, untilReady } from '../cli/cluster.ts';
import { integer, oneOf, positive, type Values, valueOr } from '../cli/options.ts';
import { CENTRAL } from '../shared/plan/plan.ts';
import { silentLog } from '../shared/ports.ts';
import { defineBenchmark, list } from './harness/benchmark.ts';
import { machineSpeed, scaledOption } from './harness/machine-speed.ts';
import type { CameraTask } from './overhead/camera-worker.ts';
import { bundled, type Network, tiny } from './overhead/networks.ts';
import { type Phases, phasesOf, Recorder } from './overhead/phases.ts';
import { cpuMs, median, runCamera, startBrokerProcess } from './overhead/processes.ts';

/** CPU of broker and central beside their computing, and of one node beside its, for a frame on four nodes, ms. */
const TARGET = { centre_ms: 12, node_ms: 4 };
const NETWORKS = ['tiny', 'scenes'] as const;

interface Row {
  readonly network: string;
  readonly nodes: number;
  readonly tiles: number;
  readonly latency_ms: number;
  readonly phases_ms: Phases;
  readonly messages: Readonly<Record<string, number>>;
  readonly bytes: Readonly<Record<string, number>>;
  /** CPU a frame, ms; without computing (`compute_ms` of tiles) for central and nodes. */
  readonly cpu_ms: {
    readonly broker: number;
    readonly central: number;
    readonly nodes: number;
    readonly computing: number;
  };
}

const options = {
  frames: valueOr('--frames <n>', 'frames of each measurement', integer(1), 200),
  nodes: valueOr('--nodes <list>', 'numbers of node agents; the target is for 4', list(integer(1, 64)), [1, 2, 4, 8]),
  networks: valueOr('--networks <list>', NETWORKS.join(' or '), list(oneOf(...NETWORKS)), NETWORKS),
  idle: valueOr('--idle <s>', 'seconds for which the idle cluster is watched first', positive, 3),
  scaled: scaledOption,
};

export const { description, usage, run } = defineBenchmark({
  question: 'what does the system itself cost a frame: messages, bytes, CPU, and where the time goes?',
  method:
    'Broker, central and every node a process of its own on this machine, frames one after another; a network that ' +
    'computes next to nothing and the bundled one, on 1, 2, 4 and 8 nodes. CPU times are of whole processes, ' +
    'those of heartbeats and metrics of idle nodes, measured before, are subtracted; messages are counted in a run of their own. ' +
    `Passed: with four nodes, broker and central take at most ${TARGET.centre_ms} ms of CPU a frame beside their ` +
    `computing, and each node ${TARGET.node_ms}.`,
  needs: 'Linux, for the CPU figures.',
  notMeasured:
    "real links, several frames at once. Waiting for one of this machine's cores counts as time on the wire.",
  options,
  quick: { frames: 50, nodes: [4], idle: 1, scaled: true },
  run: measureAll,
});

async function measureAll({ frames, nodes: counts, networks, idle, scaled }: Values<typeof options>) {
  const rows: Row[] = [];
  const wanted: readonly string[] = networks;
  for (const network of [tiny(), await bundled()].filter(({ name }) => wanted.includes(name)))
    for (const nodes of counts) {
      const row = await measure(network, nodes, frames, idle * 1000);
      rows.push(row);
      console.error(`${row.network} on ${row.nodes}: ${row.latency_ms.toFixed(1)} ms a frame`);
    }
  printTables(rows);
  const judged = rows.filter(({ nodes }) => nodes === 4);
  const machine = scaled ? machineSpeed() : 1;
  const pass = judged.every(
    ({ cpu_ms, nodes }) =>
      cpu_ms.broker + cpu_ms.central <= TARGET.centre_ms / machine && cpu_ms.nodes / nodes <= TARGET.node_ms / machine,
  );
  return { pass: pass && judged.length > 0, target: TARGET, machine, rows };
}

async function measure({ name, request, frame }: Network, nodes: number, frames: number, idleMs: number): Promise<Row> {
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
      cameras: { bench: { models: [], hold: 1, offline_after_s: 3600, keep: 'every' } },
      acceptUnlistedCameras: false,
      idPrefix: 'node',
      log: silentLog,
    });
    const served = await cluster.central.load(request);
    // A network with almost no computation would rightly not be cut.
    const compiled = choosePlan(served, { nodeCount: nodes, ...(name === 'tiny' ? { grid: gridFor(nodes) } : {}) });
    await cluster.central.offerPlan(served.name, compiled);
    await untilReady(cluster, compiled.plan, nodes);
    const { url } = broker;
    const task: CameraTask = { url, camera: 'bench', warmUp: 30, frames, watch: false, frame };
    const pids = cluster.agents.map(({ pid }) => pid);
    const cpu = (): { broker: number; central: number; nodes: number } => ({
      broker: cpuMs(broker.pid),
      central: cpuMs(process.pid),
      nodes: pids.reduce((sum, pid) => sum + cpuMs(pid), 0),
    });

    await sleep(1000);
    const beforeIdle = cpu();
    await sleep(idleMs);
    const afterIdle = cpu();

    const recorder = new Recorder();
    let before = afterIdle;
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

    const perFrame = (key: keyof typeof before): number =>
      (after[key] - before[key] - ((afterIdle[key] - beforeIdle[key]) * elapsed) / idleMs) / frames;
    const computing = (isCentral: boolean): number =>
      mean(
        ends.map(({ end }) =>
          sum(
            end.trace.filter(({ node }) => (node === CENTRAL) === isCentral).map((request) => request.compute_ms ?? 0),
          ),
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
      network: name,
      nodes,
      tiles: compiled.stages[0]!.parts.length,
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
  } finally {
    await cluster?.stop();
    await broker.stop();
    await rm(stateDir, { recursive: true, force: true });
  }
}

function printTables(rows: readonly Row[]): void {
  const ms = (value: number): string => value.toFixed(1);
  const phases = Object.keys(rows[0]?.phases_ms ?? {}) as (keyof Phases)[];
  console.log(`| network | nodes | tiles | ms a frame | ${phases.join(' | ')} |`);
  console.log(`|---|---|---|---|${phases.map(() => '---|').join('')}`);
  for (const row of rows)
    console.log(
      `| ${row.network} | ${row.nodes} | ${row.tiles} | ${ms(row.latency_ms)} | ${phases.map((key) => ms(row.phases_ms[key])).join(' | ')} |`,
    );
  console.log('\n| network | nodes | messages | kB | CPU ms: broker | central | each node | computing |');
  console.log('|---|---|---|---|---|---|---|---|');
  for (const { network, nodes, messages, bytes, cpu_ms } of rows) {
    const cells = [
      ms(sum(Object.values(messages))),
      ms(sum(Object.values(bytes)) / 1000),
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
