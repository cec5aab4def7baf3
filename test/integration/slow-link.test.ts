import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { Relay } from '../../bench/testbed/relay.ts';
import { RunningCli } from '../../bench/testbed/run-cli.ts';
import { startBroker } from '../../broker/broker.ts';
import { type Message, silentLog } from '../../shared/ports.ts';
import { type ResultMessage, resultMessage, type WorkMessage } from '../../shared/protocol/messages/work.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { Wire } from '../../shared/runtime/wire.ts';

/** 1.6 Mbit/s, the 3G link of Scission's published networks. */
const BYTES_PER_SEC = 200_000;
const TENSOR_BYTES = 4_000_000;

const names = topics('tessera');
const textOf = ({ payload }: Message): string => Buffer.from(payload).toString('utf8');

it('a node at 1.6 Mbit/s receives a tensor of 4 MB: nothing is dropped, and neither side considers the other dead', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tessera-slow-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const broker = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log: silentLog });
  onTestFinished(() => broker.stop());
  const relay = await Relay.open(Number(new URL(broker.urls[0]!).port));
  onTestFinished(() => relay.close());
  const bus = await connectBus({ url: broker.urls[0]!, clientId: 'tessera-central', log: silentLog });
  onTestFinished(() => bus.stop());
  const agent = new RunningCli(['agent', '--broker', relay.url, '--id', 'pi-1'], { env: { STATE_DIRECTORY: folder } });
  onTestFinished(() => void agent.child.kill('SIGKILL'));
  await agent.printed(/node pi-1 is online/);
  const statuses: string[] = [];
  await bus.subscribe(names.nodeStatus('pi-1'), 1, (message) => statuses.push(textOf(message)));
  let heartbeats = 0;
  await bus.subscribe(names.heartbeat('pi-1'), 0, () => heartbeats++);

  const wire = new Wire({ bus, topics: names, self: 'central', log: silentLog, now: () => performance.now() });
  const answers = new EventTarget();
  let answer: ResultMessage | undefined;
  wire.on('result', resultMessage, (_from, message) => {
    answer = message;
    answers.dispatchEvent(new Event('result'));
  });
  await wire.start();
  relay.slow(BYTES_PER_SEC);
  const codec = { name: 'raw' } as const;
  const box: [number, number][] = [[0, TENSOR_BYTES]];
  const d = new Uint8Array(TENSOR_BYTES);
  const work: WorkMessage = {
    v: 1,
    plan: 'p-nobody',
    i_id: '1-1',
    stage: 0,
    attempt: 0,
    budget_ms: 120_000,
    tiles: [{ t_id: 0, in: [{ tensor: 'x', box, dtype: 'uint8', shape: [TENSOR_BYTES], codec, d }], out: [] }],
  };
  const answered = once(answers, 'result');
  const started = performance.now();
  await wire.send('pi-1', 'work', work);
  await answered;
  // Only a node that has read the whole message can answer that it does not know this plan.
  expect(answer).toMatchObject({ i_id: '1-1', tiles: [{ t_id: 0, error: { code: 'unknown-plan' } }] });
  // Otherwise the link was not slow, and the test proves nothing.
  expect(performance.now() - started).toBeGreaterThan(10_000);
  expect(broker.counters).toMatchObject({ dropped: { slow_readers: 0 }, closed: { slow_readers: 0 } });
  expect(statuses).toEqual(['online']);
  expect(heartbeats).toBeGreaterThan(10);
  expect((await agent.stop()).stderr).not.toMatch(/connection to the broker lost/);
});
