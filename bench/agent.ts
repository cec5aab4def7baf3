import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { startBroker } from '../broker/broker.ts';
import { AGENT_ENVIRONMENT } from '../bundle/launcher.ts';
import { startAgentProcess } from '../cli/agent-process.ts';
import { integer, positive, type Values, valueOr } from '../cli/options.ts';
import { piecesOf } from '../shared/node/pieces.ts';
import type { Plan } from '../shared/plan/plan.ts';
import { silentLog } from '../shared/ports.ts';
import { type ControlMessage, controlMessage } from '../shared/protocol/messages/control.ts';
import { type ResultMessage, resultMessage, type WorkMessage } from '../shared/protocol/messages/work.ts';
import { topics as topicsOf } from '../shared/protocol/topics.ts';
import { BlobServer } from '../shared/runtime/blob-server.ts';
import { openBlobStore } from '../shared/runtime/blob-store.ts';
import { connectBus } from '../shared/runtime/mqtt.ts';
import { packModel } from '../shared/runtime/package.ts';
import { Wire } from '../shared/runtime/wire.ts';
import { defineBenchmark } from './harness/benchmark.ts';
import { reluModel } from './harness/relu-model.ts';

const NODE = 'bench-node';
const TARGET = { idle_percent: 3, round_trip_ms: 2, memory_mb: 120, start_ms: 3000 };
/** Linux counts a process's CPU time in ticks of 10 ms (USER_HZ). */
const TICK_MS = 10;

const options = {
  trips: valueOr('--trips <n>', 'round trips that are measured, after as many for warm-up', integer(1), 2000),
  idle: valueOr(
    '--idle <s>',
    'seconds for which the idle agent is watched, before its work and after it',
    positive,
    15,
  ),
};

export const { description, usage, run } = defineBenchmark({
  question: 'what does a node agent cost besides inference?',
  method:
    'A node agent as a process of its own, started as a bundle does, beside a broker and a stand-in for central, all on this machine, with a ' +
    'network that computes next to nothing. What is measured is everything but inference: messages, queue, hand-over ' +
    `to the worker thread and back. Passed: at most ${TARGET.idle_percent} % of a core when idle, ` +
    `${TARGET.memory_mb} MB before its first work, ${TARGET.start_ms} ms from its start until it is online, and ${TARGET.round_trip_ms} ms for the round ` +
    'trip of a tile (median).',
  needs: 'Linux, for the CPU figures.',
  notMeasured: 'a network between the machines, large tensors, several nodes.',
  options,
  quick: { trips: 500, idle: 12 },
  run: measure,
});

async function measure({ trips: count, idle }: Values<typeof options>) {
  const folder = await mkdtemp(join(tmpdir(), 'tessera-bench-'));
  const broker = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log: silentLog });
  const url = broker.urls[0]!;
  const started = performance.now();
  const agent = startAgentProcess({
    id: NODE,
    broker: url,
    base: 'tessera',
    threads: 1,
    env: AGENT_ENVIRONMENT,
    stateDir: join(folder, 'node'),
    log: silentLog,
  });
  const bus = await connectBus({ url, clientId: 'tessera-central', log: silentLog });
  try {
    const topics = topicsOf();
    const wire = new Wire({ bus, topics, self: 'central', log: silentLog, now: () => performance.now() });
    const store = await openBlobStore(join(folder, 'central'));
    const manifest = await packModel({ name: 'relu', model: reluModel([1, 16]), store });
    let onControl: (message: ControlMessage) => void = () => {};
    let onResult: (message: ResultMessage) => void = () => {};
    wire.on('control', controlMessage, (_from, message) => onControl(message));
    wire.on('result', resultMessage, (_from, message) => onResult(message));
    const sizeOf = (sha: string) => piecesOf(manifest).get(sha);
    new BlobServer({ wire, store, sizeOf, log: silentLog, now: () => performance.now() }).start();
    await wire.start();
    await new Promise<void>((resolve) => {
      void bus.subscribe(topics.nodeStatus(NODE), 1, ({ payload }) => {
        if (Buffer.from(payload).toString() === 'online') resolve();
      });
    });
    const startMs = performance.now() - started;
    const cpuMs = async (): Promise<number> => {
      const fields = (await readFile(`/proc/${agent.pid}/stat`, 'utf8')).split(' ');
      return (Number(fields[13]) + Number(fields[14])) * TICK_MS;
    };

    const memoryMb = async (): Promise<number> => {
      const status = await readFile(`/proc/${agent.pid}/status`, 'utf8');
      return (Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]) * 1024) / 1e6;
    };
    await setTimeout(idle * 1000);
    const idleMb = await memoryMb();

    const plan = planOf(manifest.skeleton.sha);
    const asked = performance.now();
    await new Promise<ControlMessage>((resolve) => {
      onControl = resolve;
      void wire.send(NODE, 'control', { v: 1, type: 'prepare', plan, manifest, stages: [0] });
    });
    const prepareMs = performance.now() - asked;

    const trip = (counter: number, tId: number): Promise<number> =>
      new Promise((resolve) => {
        const sent = performance.now();
        onResult = () => resolve(performance.now() - sent);
        void wire.send(NODE, 'work', workOf(plan.id, counter, tId));
      });
    const trips = async (tId: number): Promise<number[]> => {
      const times: number[] = [];
      for (let counter = 0; counter < count; counter++) times.push(await trip(counter, tId));
      return times.sort((a, b) => a - b);
    };
    await trips(0);
    const before = await cpuMs();
    const times = await trips(0);
    const cpuPerTrip = ((await cpuMs()) - before) / count;
    // A tile that is not part of the plan takes the same way except for the runtime.
    const empty = await trips(1);

    await setTimeout(1000);
    const [idleCpu, idleFrom] = [await cpuMs(), performance.now()];
    await setTimeout(idle * 1000);
    const idlePercent = (((await cpuMs()) - idleCpu) / (performance.now() - idleFrom)) * 100;
    const result = {
      pass:
        idlePercent <= TARGET.idle_percent &&
        at(times, 0.5) <= TARGET.round_trip_ms &&
        idleMb <= TARGET.memory_mb &&
        startMs <= TARGET.start_ms,
      target: TARGET,
      start_ms: round(startMs),
      prepare_ms: round(prepareMs),
      round_trip_ms: { p50: round(at(times, 0.5)), p95: round(at(times, 0.95)) },
      without_runtime_ms: { p50: round(at(empty, 0.5)), p95: round(at(empty, 0.95)) },
      agent_cpu_ms_per_message: round(cpuPerTrip),
      idle_percent_of_a_core: round(idlePercent),
      idle_memory_mb: round(idleMb),
      memory_after_work_mb: round(await memoryMb()),
    };
    console.log(`from its start until it is online: ${result.start_ms} ms`);
    console.log(`round trip of one tile: ${result.round_trip_ms.p50} ms (95 %: ${result.round_trip_ms.p95})`);
    console.log(`the same without the runtime: ${result.without_runtime_ms.p50} ms`);
    console.log(`the agent's CPU for it: ${result.agent_cpu_ms_per_message} ms`);
    console.log(`idle agent: ${result.idle_percent_of_a_core} % of a core`);
    console.log(
      `its memory: ${result.idle_memory_mb} MB before its first work, ${result.memory_after_work_mb} MB after it`,
    );
    return result;
  } finally {
    await agent.stop();
    await bus.stop();
    await broker.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

function planOf(skeletonSha: string): Plan {
  return {
    format: 'tessera-plan/1',
    id: 'p-000000',
    model: skeletonSha,
    source: 'central',
    strategy: 'bench',
    reason: 'bench',
    stages: [
      {
        id: 0,
        inputs: ['x'],
        outputs: ['y'],
        split: { kind: 'whole' },
        on: { mode: 'share', nodes: '*' },
        fallback: 'central',
        codec: {},
      },
    ],
    predicted: null,
  };
}

function workOf(plan: string, counter: number, tId: number): WorkMessage {
  const box: [number, number][] = [
    [0, 1],
    [0, 16],
  ];
  const codec = { name: 'raw' } as const;
  const input = { tensor: 'x', box, dtype: 'float32' as const, shape: [1, 16], codec, d: new Uint8Array(64) };
  const tiles = [{ t_id: tId, in: [input], out: [{ tensor: 'y', box, codec, to: ['central'] }] }];
  return { v: 1, plan, i_id: `1-${counter}`, stage: 0, attempt: 0, budget_ms: 60_000, tiles };
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
