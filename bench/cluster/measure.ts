import { setTimeout as sleep } from 'node:timers/promises';
import { drawScene, seedRanges } from '../../shared/camera/scenes/scene.ts';
import { failureOf } from '../../shared/errors.ts';
import { modelTotals } from '../../shared/onnx/cost.ts';
import { resolveModel } from '../../shared/onnx/resolve.ts';
import { compilePlan } from '../../shared/plan/compile.ts';
import type { Plan } from '../../shared/plan/plan.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { type Phases, phasesOf } from '../overhead/phases.ts';
import { median } from '../overhead/processes.ts';
import type { ClusterFile } from '../testbed/cluster-file.ts';
import { startCallee } from '../testbed/device.ts';
import type { Driven, SentFrame } from '../testbed/driver-process.ts';
import { EmulatedCluster } from '../testbed/emulated-cluster.ts';
import type { reference } from '../testbed/reference-process.ts';
import { speedUpBound } from './bound.ts';
import { calibrate, freeShare } from './calibration.ts';
import { threadTimes, usedBetween, watchLoad } from './cpu-time.ts';
import type { ClusterNetwork } from './networks.ts';
import { planOf } from './plans.ts';
import { type PreparedNetwork, prepareNetwork, skeletonOf } from './prepared.ts';

/** Frames before the first measured pair: without quotas, and with them. */
const WARM_UP = { fast: 8, slow: 4 } as const;
/** Idleness before each frame of either side, ms. */
const IDLE_MS = 150;
/** Frames that are recorded for the breakdown, after the pairs. */
const RECORDED = 4;
/** Above these a result is doubted: the free share of a node's work, the spread of each side, and cores of others. */
const MOST_FREE = 0.25;
const MOST_NOISE = 0.25;
const MOST_OTHERS = 0.25;

/** What is to be measured. */
export interface Measurement {
  readonly name: string;
  readonly network: ClusterNetwork;
  readonly file: ClusterFile;
  /** Instead of the network's own. */
  readonly plan: Plan | undefined;
  readonly pairs: number;
  /** Folder of what stays between runs. */
  readonly cache: string;
  readonly note: (text: string) => void;
}

/** Starts an emulated cluster, has it serve a network, and compares it with a single device. */
export async function measureCluster({ name, network, file, plan: given, pairs, cache, note }: Measurement) {
  const began = performance.now();
  const prepared = await prepareNetwork(name, network, cache);
  note(`network ${name} is at ${prepared.folder}`);
  const frame = await frameOf(network.zoo.input);
  const cluster = await EmulatedCluster.start({ file, model: prepared.folder, state: prepared.state, note });
  const plan = await serve(cluster, prepared, (model) =>
    given === undefined ? planOf(network.plan(file.nodes), model) : { ...given, model },
  );
  note(`all nodes are ready for plan ${plan.id}`);
  const single = cluster.single();
  const device = startCallee<typeof reference>('./reference-process.ts', single.under);
  await device.ready;
  await device.call('load', { path: prepared.path, input: network.zoo.input });
  await device.call('measureUnit', null);
  const startMs = performance.now() - began;

  const send = async (): Promise<Driven> => {
    const driven = await cluster.driver.call('frame', frame);
    if (driven.result.status !== 'ok') throw new Error(`a frame ended with ${JSON.stringify(driven.result)}`);
    return driven;
  };
  const first = await send();
  for (let i = 1; i < WARM_UP.fast; i++) await send();
  for (let i = 0; i < 3; i++) await device.call('frame', frame);
  cluster.limit(true);
  single.group.limitCpu(file.device.cores);
  const calibrated = await calibrate(device, file.device.cores);
  note('the single device is calibrated');
  for (let i = 0; i < WARM_UP.slow; i++) await send();
  await device.call('frame', frame);

  const ours: Driven[] = [];
  const theirs: { ms: number; cpuMs: number }[] = [];
  const base = { frames: 0, idle: 0, idleMs: 0 };
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
    const at = { cpu: cluster.cpu().base, time: performance.now() };
    theirs.push(await device.call('frame', frame));
    base.idle += cluster.cpu().base - at.cpu;
    base.idleMs += performance.now() - at.time;
  };
  const load = watchLoad(() => {
    const { base: central, nodes: all } = cluster.cpu();
    return [central, ...all, single.group.cpuMs()].reduce((sum, ms) => sum + ms, 0);
  });
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

  const singleMs = median(theirs.map(({ ms }) => ms));
  const clusterMs = median(ours.map(({ ms }) => ms));
  const resolved = resolveModel(network.zoo.build());
  const compiled = compilePlan(plan, resolved);
  const busiest = Math.max(...nodeCpu) / ours.length;
  const free = freeShare(calibrated, busiest, file.device.cores);
  const noise = Math.max(spread(ours.map(({ ms }) => ms)), spread(theirs.map(({ ms }) => ms)));
  const speedup = singleMs / clusterMs;
  const bound = speedUpBound(compiled, modelTotals(resolved).macs, nodes);
  const doubts = [
    ...(free > MOST_FREE ? [`${percent(free)} of a node's time are free; at most ${percent(MOST_FREE)} may be`] : []),
    ...(others > MOST_OTHERS
      ? [`${others.toFixed(2)} cores were used by others; at most ${MOST_OTHERS} may be: end what else runs`]
      : []),
    ...(noise > MOST_NOISE ? [`times differ by ${percent(noise)}; at most ${percent(MOST_NOISE)} is accepted`] : []),
  ];
  return {
    name,
    model: name,
    nodes,
    devices: { node: file.device, base: file.base },
    single_ms: singleMs,
    cluster_ms: clusterMs,
    speedup,
    bound,
    efficiency: speedup / nodes,
    free_share: free,
    noise,
    other_cores: others,
    doubts,
    broker_central_cpu_ms: base.frames / ours.length - (base.idle / base.idleMs) * clusterMs,
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
    start_ms: startMs,
    first_frame_ms: first.ms,
    samples: { cluster_ms: ours.map(({ ms }) => ms), single_ms: theirs.map(({ ms }) => ms) },
  };
}

/** Has a network served by a plan; the SHA-256 that was kept may be that of an earlier version. */
async function serve(
  cluster: EmulatedCluster,
  prepared: PreparedNetwork,
  planFor: (model: string) => Plan,
): Promise<Plan> {
  const deploy = async (again: boolean): Promise<Plan> => {
    const plan = planFor(await skeletonOf(prepared, again));
    const deployed = cluster.deploy(plan);
    // Nodes that come later are not offered the plan before it.
    cluster.startNodes();
    await deployed;
    return plan;
  };
  return deploy(false).catch((error: unknown) => {
    if (failureOf(error).code !== 'TESSERA_MODEL_UNKNOWN') throw error;
    return deploy(true);
  });
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

/** A frame for an input: a drawn picture of its size as JPEG, or a line of text in one-hot characters. */
async function frameOf(shape: readonly number[]): Promise<SentFrame> {
  const [, , height, width] = shape;
  const { rgb, width: w, height: h } = drawScene(seedRanges.heldOut.from, { width: width!, height: height! });
  return { base64: Buffer.from(await encodeJpeg(rgb, w, h, 90)).toString('base64') };
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

const percent = (share: number): string => `${(share * 100).toFixed(0)} %`;
