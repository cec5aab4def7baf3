import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { NodeAnswers, takeAnswers } from '../central/nodes/node-answers.ts';
import { integer, type Values, valueOr } from '../cli/options.ts';
import { Epochs } from '../shared/node/epochs.ts';
import type { Executor } from '../shared/node/executor-types.ts';
import { NodeService } from '../shared/node/node-service.ts';
import { CENTRAL } from '../shared/plan/plan.ts';
import { type Bus, type Message, silentLog } from '../shared/ports.ts';
import { receivedWork } from '../shared/protocol/messages/received-work.ts';
import type { WireRegion } from '../shared/protocol/messages/region.ts';
import type { WorkMessage } from '../shared/protocol/messages/work.ts';
import { NodeRegistry } from '../shared/protocol/node-registry.ts';
import { PART_LIMIT_BYTES } from '../shared/protocol/parts.ts';
import { topics as topicsOf } from '../shared/protocol/topics.ts';
import { encode } from '../shared/runtime/cbor.ts';
import { Wire } from '../shared/runtime/wire.ts';
import { defineBenchmark } from './harness/benchmark.ts';

const options = {
  parts: valueOr('--parts <n>', 'parts of a message', integer(1, 256), 16),
  messages: valueOr('--messages <n>', 'messages of a round', integer(1), 20),
  rounds: valueOr('--rounds <n>', 'rounds; the fastest counts', integer(1), 300),
};

/** Cost of a part, in the main thread of one process. */
interface Cost {
  readonly ns: number;
  /** Bytes of objects on the heap; buffers are not among them. */
  readonly bytes: number;
}

export const { description, usage, run } = defineBenchmark({
  question: 'what do messages of work and results cost the main threads of a node and of central?',
  method:
    'In one process, without broker and threads: a work message is received by a node agent, checked, queued, given to an ' +
    'executor that answers at once, and its result encoded; that result is received by central, checked, and turned ' +
    'into events. Times are those of the fastest round, bytes the median of what was allocated. Passed: all messages ' +
    'were answered.',
  notMeasured: 'broker, sockets, threads, computing, the coordinator.',
  options,
  quick: { rounds: 100 },
  run: measure,
});

const PLAN = 'scenes-5f0c2a91d4e8b370';

async function measure({ parts, messages, rounds }: Values<typeof options>) {
  const work = encode(workMessage(parts));
  const node = await nodeOf();
  const central = await centralOf();
  const [result] = await node(work);
  if (result === undefined) throw new Error('the node did not answer');
  const row = async (handle: (body: Uint8Array) => Promise<unknown>, body: Uint8Array): Promise<Cost> =>
    costOf(
      async () => {
        for (let i = 0; i < messages; i++) await handle(body);
      },
      { rounds, parts: messages * parts },
    );
  const rows = { node: await row(node, work), central: await row(central, result) };
  console.log('| a part | ns | bytes |\n|---|---|---|');
  for (const [name, { ns, bytes }] of Object.entries(rows))
    console.log(`| ${name} | ${ns.toFixed(0)} | ${bytes.toFixed(0)} |`);
  return { pass: true, work_bytes: work.length, result_bytes: result.length, ...rows };
}

async function costOf(round: () => Promise<void>, { rounds, parts }: { rounds: number; parts: number }): Promise<Cost> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const bytes: number[] = [];
  let fastest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < rounds; i++) {
    collect();
    const before = process.memoryUsage().heapUsed;
    const started = performance.now();
    await round();
    fastest = Math.min(fastest, performance.now() - started);
    bytes.push(process.memoryUsage().heapUsed - before);
  }
  bytes.sort((a, b) => a - b);
  return { ns: (fastest * 1e6) / parts, bytes: bytes[bytes.length >> 1]! / parts };
}

/** As central sends tiles of a picture, whose results come back with a lossy codec. */
function workMessage(parts: number): WorkMessage {
  const box = (k: number): [number, number][] => [
    [0, 1],
    [0, 3],
    [32 * (k >> 2), 32 * (k >> 2) + 32],
    [32 * (k & 3), 32 * (k & 3) + 32],
  ];
  return {
    v: 1,
    plan: PLAN,
    i_id: '1764530711-42',
    stage: 0,
    attempt: 0,
    budget_ms: 30_000,
    tiles: Array.from({ length: parts }, (_, k) => ({
      t_id: k,
      in: [
        {
          tensor: 'input',
          box: box(k),
          dtype: 'uint8',
          shape: [1, 3, 32, 32],
          codec: { name: 'raw' },
          d: new Uint8Array(3072),
        },
      ],
      out: [{ tensor: '/features/relu_5', box: box(k), codec: CLIP, to: [CENTRAL] }],
    })),
  };
}

const CLIP = { name: 'clip', a: 0.125, b: 2.5, bits: 4 } as const;

/** A node; the function resolves to the results that it sends for a work message. */
async function nodeOf(): Promise<(work: Uint8Array) => Promise<Uint8Array[]>> {
  const { bus, deliver, sent } = fakeBus();
  const now = (): number => performance.now();
  const wire = new Wire({ bus, topics: topicsOf('tessera'), self: 'node-1', log: silentLog, now, only: CENTRAL });
  const service = new NodeService({
    id: 'node-1',
    bootId: 'b',
    executor: instantExecutor(),
    send: (to, { kind, message }) => wire.send(to, kind, message),
    epochs: new Epochs(),
    limits: { plans: 32, tiles: 4096, running: 2, bytes: 64e6, regionBytes: 64e6 },
    messageBytes: PART_LIMIT_BYTES,
    now,
    cpuMs: () => 0,
    after: () => {},
    log: silentLog,
  });
  wire.on('work', receivedWork, (from, work) => service.receiveWork(from, work));
  await wire.start();
  const topic = topicsOf('tessera').wire('node-1', 'work', CENTRAL);
  return async (payload) => {
    deliver({ topic, payload, retained: false });
    while (sent.length === 0) await Promise.resolve();
    return sent.splice(0);
  };
}

/** Central; the function returns when events were made of a result. */
async function centralOf(): Promise<(result: Uint8Array) => Promise<void>> {
  const { bus, deliver } = fakeBus();
  const wire = new Wire({
    bus,
    topics: topicsOf('tessera'),
    self: CENTRAL,
    log: silentLog,
    now: () => performance.now(),
  });
  let events = 0;
  const tell = (): void => {
    events++;
  };
  const measurements = { answered: () => {}, isAwaited: () => false };
  const answers = new NodeAnswers({ tell, keep: () => '1', measurements });
  const always = (): boolean => true;
  takeAnswers({
    wire,
    answers,
    registry: new NodeRegistry('tessera'),
    tell,
    isAwaited: always,
    isOrdered: always,
    unused: () => 0,
  });
  await wire.start();
  const topic = topicsOf('tessera').wire(CENTRAL, 'result', 'node-1');
  return async (payload) => {
    const before = events;
    deliver({ topic, payload, retained: false });
    if (events === before) throw new Error('central took no result');
  };
}

/** Answers each part with the outputs that it was asked for. */
function instantExecutor(): Executor {
  const nothing = async (): Promise<never> => {
    throw new Error('not in this benchmark');
  };
  const d = new Uint8Array(600);
  return {
    weights: nothing,
    prepare: nothing,
    tune: nothing,
    measure: nothing,
    take: nothing,
    release: nothing,
    answers: nothing,
    plans: () => [PLAN],
    prepared: () => new Set([0]),
    preparedPlan: () => undefined,
    async run({ tiles }, onPart) {
      for (const { t_id, out } of tiles) {
        const regions = out.map(({ tensor, box, codec }): WireRegion => {
          const wire = box.map(([start, end]): [number, number] => [start, end]);
          return { tensor, box: wire, dtype: 'float32', shape: wire.map(([start, end]) => end - start), codec, d };
        });
        onPart({ t_id, out: regions, compute_ms: 1 });
      }
    },
    cancel: () => {},
    keep: () => false,
    free: () => {},
    onLoss: () => {},
    stop: async () => {},
  };
}

function fakeBus(): { bus: Bus; deliver: (message: Message) => void; sent: Uint8Array[] } {
  const sent: Uint8Array[] = [];
  let deliver: (message: Message) => void = () => {};
  const bus: Bus = {
    async publish(_, payload) {
      sent.push(payload as Uint8Array);
    },
    async subscribe(_filter, _qos, handler) {
      deliver = handler;
      return async () => {};
    },
    onConnect() {},
    connected: true,
    backlogBytes: 0,
    counters: { connections: 1, droppedOffline: 0, rejected: 0 },
    async stop() {},
  };
  return { bus, deliver: (message) => deliver(message), sent };
}
