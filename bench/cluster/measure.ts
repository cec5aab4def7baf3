import { setTimeout as sleep } from 'node:timers/promises';
import { modelTotals } from '../../shared/onnx/cost.ts';
import { resolveModel } from '../../shared/onnx/resolve.ts';
import { compilePlan } from '../../shared/plan/compile.ts';
import type { Plan } from '../../shared/plan/plan.ts';
import { type Phases, phasesOf } from '../overhead/phases.ts';
import { median } from '../overhead/processes.ts';
import type { Driven } from '../testbed/driver-process.ts';
import type { EmulatedCluster } from '../testbed/emulated-cluster.ts';
import { speedUpBound } from './bound.ts';
import { freeShare } from './calibration.ts';
import { doubtOfLoad, threadTimes, usedBetween, watchLoad } from './cpu-time.ts';
import { cpuOfAll, type Opened, type Opening, openCluster } from './opened.ts';
import { whole } from './plans.ts';

/** Idleness before each frame of either side, ms. */
const IDLE_MS = 150;
/** Frames that are recorded for the breakdown, after the pairs. */
const RECORDED = 4;
/** Above these a result is doubted: the free share of a node's work, and the spread of each side. */
const MOST_FREE = 0.25;
const MOST_NOISE = 0.25;

/** What is to be measured. */
export interface Measurement extends Opening {
  /** Frames of each side. */
  readonly pairs: number;
  /** Whether the single device is also measured as a cluster of one node. */
  readonly oneNode: boolean;
}

/** Starts an emulated cluster, has it serve a network, and compares it with a single device. */
export async function measureCluster(measurement: Measurement) {
  const { name, network, file, pairs, oneNode, singleCores = file.device.cores } = measurement;
  const opened = await openCluster(measurement);
  const { cluster, plan, frame, device, calibrated, send } = opened;
  const ours: Driven[] = [];
  const theirs: { ms: number; cpuMs: number }[] = [];
  const base = { frames: 0, idle: 0, idleMs: 0 };
  let nodesIdle = 0;
  const nodes = file.nodes;
  const nodeCpu = new Array<number>(nodes).fill(0);
  const pids = Object.entries(cluster.pids);
  const before = new Map(pids.map(([what, pid]) => [what, threadTimes(pid)]));
  const takeOurs = async (number: number): Promise<void> => {
    await sleep(IDLE_MS);
    await cluster.happen(number);
    const at = cluster.cpu();
    ours.push(await send());
    const now = cluster.cpu();
    base.frames += now.base - at.base;
    now.nodes.forEach((ms, i) => {
      nodeCpu[i]! += ms - at.nodes[i]!;
    });
  };
  const takeTheirs = async (): Promise<void> => {
    await sleep(IDLE_MS);
    const at = { cpu: cluster.cpu(), time: performance.now() };
    theirs.push(await device.call('frame', frame));
    const now = cluster.cpu();
    base.idle += now.base - at.cpu.base;
    nodesIdle += sum(now.nodes) - sum(at.cpu.nodes);
    base.idleMs += performance.now() - at.time;
  };
  const load = watchLoad(() => cpuOfAll(opened));
  for (let pair = 0; pair < pairs; pair++) {
    if (pair % 2 === 0) await takeTheirs();
    await takeOurs(pair);
    if (pair % 2 === 1) await takeTheirs();
  }
  const others = load.stop();
  const threads = Object.fromEntries(
    pids.map(([what, pid]) => [what, usedBetween(pid, before.get(what)!, threadTimes(pid))] as const),
  );
  const phases = await breakdown(cluster, send);

  const bareMs = median(theirs.map(({ ms }) => ms));
  const oneNodeMs = oneNode ? await measureOneNode(opened, plan, pairs) : null;
  const singleMs = Math.min(bareMs, oneNodeMs ?? bareMs);
  const clusterMs = median(ours.map(({ ms }) => ms));
  const resolved = resolveModel(network.build());
  const compiled = compilePlan(plan, resolved);
  const busiest = Math.max(...nodeCpu) / ours.length;
  const free = freeShare(calibrated, busiest, singleCores);
  const noise = Math.max(spread(ours.map(({ ms }) => ms)), spread(theirs.map(({ ms }) => ms)));
  const speedup = singleMs / clusterMs;
  const bound = speedUpBound(compiled, modelTotals(resolved).macs, nodes);
  const doubts = [
    ...(free > MOST_FREE ? [`${percent(free)} of a node's time are free; at most ${percent(MOST_FREE)} may be`] : []),
    ...doubtOfLoad(others),
    ...(noise > MOST_NOISE ? [`times differ by ${percent(noise)}; at most ${percent(MOST_NOISE)} is accepted`] : []),
  ];
  return {
    name,
    model: name,
    nodes,
    devices: { node: file.device, base: file.base },
    single_ms: singleMs,
    single: { bare_ms: bareMs, one_node_ms: oneNodeMs },
    cluster_ms: clusterMs,
    speedup,
    bound,
    efficiency: speedup / nodes,
    free_share: free,
    noise,
    other_cores: others,
    doubts,
    of_bound: speedup / bound,
    broker_central_cpu_ms: base.frames / ours.length - (base.idle / base.idleMs) * clusterMs,
    /** While no frame is under way, ms of CPU a second. */
    idle_cpu_ms: {
      base: (base.idle / base.idleMs) * 1000,
      node: (nodesIdle / base.idleMs / nodes) * 1000,
    },
    node_cpu_ms: nodeCpu.map((ms) => ms / ours.length),
    single_cpu_ms: median(theirs.map(({ cpuMs }) => cpuMs)),
    /** Of broker and central, ms for a pair of frames, with what they do while nothing happens. */
    thread_cpu_ms: Object.fromEntries(
      Object.entries(threads).map(([what, { main, others }]) => [
        what,
        { main: main / ours.length, others: others.map((ms) => ms / ours.length).filter((ms) => ms > 0.1) },
      ]),
    ),
    phases_ms: phases,
    plan: { id: plan.id, strategy: plan.strategy, stages: plan.stages.map(describeStage) },
    macs_on_nodes: compiled.cost.macsOnNodes,
    accuracy: network.accuracy,
    tiles_per_node: ours.at(-1)!.result.tiles_per_node,
    bytes: { up: ours.at(-1)!.result.bytes_up, down: ours.at(-1)!.result.bytes_down },
    calibration: calibrated,
    start_ms: opened.start_ms,
    first_frame_ms: opened.first_frame_ms,
    warm_up: opened.warm_up,
    difference: opened.difference,
    samples: { cluster_ms: ours.map(({ ms }) => ms), single_ms: theirs.map(({ ms }) => ms) },
  };
}

/** The same network whole on one node, by way of broker and central: a single device as Tessera runs it, ms. */
async function measureOneNode(opened: Opened, plan: Plan, pairs: number): Promise<number> {
  await opened.replace([whole(['input'], plan.stages.at(-1)!.outputs, 'node-1')]);
  const times: number[] = [];
  for (let i = 0; i < Math.max(3, pairs / 3); i++) {
    await sleep(IDLE_MS);
    times.push((await opened.send()).ms);
  }
  return median(times);
}

/** Where the time of a frame goes: medians of frames that central records. */
async function breakdown(cluster: EmulatedCluster, send: () => Promise<Driven>): Promise<Phases> {
  await cluster.recorder.call('start', null);
  const rounds: number[] = [];
  for (let i = 0; i < RECORDED; i++) {
    await sleep(IDLE_MS);
    rounds.push((await send()).ms);
  }
  const recorded = await cluster.recorder.call('stop', null);
  const phases = recorded.map(phasesOf);
  const own = median(recorded.map(({ end }) => end.latency_ms));
  const names = Object.keys(phases[0]!) as (keyof Phases)[];
  return {
    ...(Object.fromEntries(names.map((name) => [name, median(phases.map((one) => one[name]))])) as Phases),
    client: median(rounds) - own,
  };
}

function describeStage({ split, on, outputs, codec }: Plan['stages'][number]): string {
  const where =
    'tier' in on
      ? on.tier
      : on.nodes === '*'
        ? 'nodes'
        : on.nodes.length > 2
          ? `${on.nodes.length} nodes`
          : on.nodes.join(', ');
  const how =
    split.kind === 'tiles'
      ? `${split.padding} ${split.rows.join(',')} x ${split.cols.join(',')}`
      : split.kind === 'channels'
        ? `slices ${split.sizes.join(',')}`
        : 'whole';
  const codecs = Object.values(codec).map((one) =>
    one.name === 'clip' ? `clip ${one.a}..${one.b}, ${one.bits} bits` : one.name,
  );
  return [`to ${outputs.join(', ')}: ${how}, on ${where}`, ...codecs].join('; ');
}

/** Half the distance of the quartiles, as a share of the median. */
function spread(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))]!;
  return (at(0.75) - at(0.25)) / 2 / at(0.5);
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const percent = (share: number): string => `${(share * 100).toFixed(0)} %`;
