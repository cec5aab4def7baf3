import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { integer, positive, type Values, valueOr } from '../cli/options.ts';
import { silentLog } from '../shared/ports.ts';
import { connectBus } from '../shared/runtime/mqtt.ts';
import { compiledFile } from '../shared/runtime/worker-entry.ts';
import { defineBenchmark } from './harness/benchmark.ts';

const TOPIC = 'tessera/input/front';
const FRAME_BYTES = 200 * 1024;
const FPS = 50;
const READERS = 3;
/** Other readers must keep at least this share of their rate. */
const TARGET = 0.95;

interface Round {
  readonly frozen: boolean;
  /** Frames that the slowest of the readers got, a second. */
  readonly frames_per_s: number;
  readonly round_trip_p95_ms: number;
  readonly round_trips_per_s: number;
}

interface Broker {
  readonly name: string;
  readonly url: string;
  stop(): Promise<unknown>;
}

const options = {
  rounds: valueOr('--rounds <n>', 'rounds of each kind', integer(1), 3),
  seconds: valueOr(
    '--seconds <n>',
    'length of each: 7 are enough for buffers to fill and the reader to be closed',
    positive,
    7,
  ),
};

export const { description, usage, run } = defineBenchmark({
  question: 'does a subscriber that stops reading slow the others?',
  method:
    'Frames of 200 KiB, 50 a second, to three subscribers that read, and acknowledged messages of another client ' +
    'beside them; in every second round a subscriber to the same frames that never reads. Rounds with and without it ' +
    'take turns, so that whatever else the machine does hits both. For each broker that is there: the built-in one, ' +
    `and Mosquitto with the settings of README.md. Passed: the others keep ${100 * TARGET} % of their frames.`,
  needs: 'Mosquitto, which is left out where it is missing.',
  notMeasured: 'brokers and readers on several machines.',
  options,
  quick: { rounds: 1 },
  run: measureAll,
});

async function measureAll({ rounds: times, seconds }: Values<typeof options>) {
  const brokers: Record<string, object> = {};
  let pass = true;
  for (const start of [startBuiltIn, startMosquitto]) {
    const broker = await start();
    if (broker === undefined) {
      console.error('mosquitto is not installed and left out');
      continue;
    }
    try {
      const rounds: Round[] = [];
      for (let i = 0; i < 2 * times; i++) {
        // without, with, with, without, ...: a drift of the machine falls on both.
        const round = await measure(broker.url, i % 4 === 1 || i % 4 === 2, seconds);
        rounds.push(round);
        console.error(
          `${broker.name.padEnd(10)} ${round.frozen ? 'frozen ' : 'without'}  ${round.frames_per_s.toFixed(1)} frames/s  ` +
            `round trips ${round.round_trips_per_s.toFixed(0)}/s, p95 ${round.round_trip_p95_ms.toFixed(2)} ms`,
        );
      }
      const of = (frozen: boolean, key: 'frames_per_s' | 'round_trips_per_s'): number =>
        median(rounds.filter((round) => round.frozen === frozen).map((round) => round[key]));
      const frames = of(true, 'frames_per_s') / of(false, 'frames_per_s');
      const trips = of(true, 'round_trips_per_s') / of(false, 'round_trips_per_s');
      brokers[broker.name] = { frames_kept: frames, round_trips_kept: trips, rounds };
      pass &&= frames >= TARGET;
      console.log(
        `${broker.name}: with a frozen subscriber the others get ${(100 * frames).toFixed(1)} % of their frames, ${(100 * trips).toFixed(0)} % of their round trips`,
      );
    } finally {
      await broker.stop();
    }
  }
  return { pass, target: TARGET, brokers };
}

async function measure(url: string, frozen: boolean, seconds: number): Promise<Round> {
  const connect = (name: string) => connectBus({ url, clientId: `bench-${name}`, log: silentLog });
  const stuck = frozen ? await freeze(url) : undefined;
  const counts = Array.from({ length: READERS }, () => 0);
  const readers = await Promise.all(counts.map((_, i) => connect(`reader-${i}`)));
  await Promise.all(
    readers.map((bus, i) =>
      bus.subscribe(TOPIC, 0, () => {
        counts[i]!++;
      }),
    ),
  );
  const camera = await connect('camera');
  const other = await connect('other');
  const started = performance.now();
  const end = started + seconds * 1000;
  const send = async (): Promise<void> => {
    const frame = new Uint8Array(FRAME_BYTES);
    for (let i = 0; performance.now() < end; i++) {
      await camera.publish(TOPIC, frame);
      await sleep(Math.max(0, started + (1000 * i) / FPS - performance.now()));
    }
  };
  const trips: number[] = [];
  const talk = async (): Promise<void> => {
    while (performance.now() < end) {
      const at = performance.now();
      await other.publish('tessera/node/pi-1/status', 'online', { qos: 1 });
      trips.push(performance.now() - at);
      await sleep(1);
    }
  };
  await Promise.all([send(), talk()]);
  // On the same connections and after the last frame: a reader that has this has got all frames before it.
  await sleep(200);
  stuck?.destroy();
  await Promise.all([...readers, camera, other].map((bus) => bus.stop()));
  const took = (performance.now() - started) / 1000;
  const sorted = trips.sort((a, b) => a - b);
  return {
    frozen,
    frames_per_s: Math.min(...counts) / Math.min(took, seconds),
    round_trip_p95_ms: sorted[Math.floor(0.95 * sorted.length)] ?? Number.NaN,
    round_trips_per_s: trips.length / seconds,
  };
}

/** A subscriber to frames that reads its two acknowledgements and never again (MQTT 3.1.1, sections 3.1 and 3.8). */
async function freeze(url: string): Promise<Socket> {
  const text = (value: string): number[] => [value.length >> 8, value.length & 0xff, ...Buffer.from(value)];
  const packet = (head: number, body: number[]): Buffer => Buffer.from([head, body.length, ...body]);
  const { hostname, port } = new URL(url);
  const socket = createConnection({ host: hostname, port: Number(port) });
  socket.on('error', () => {});
  socket.write(packet(0x10, [...text('MQTT'), 4, 2, 0, 0, ...text('bench-frozen')]));
  await once(socket, 'data');
  socket.write(packet(0x82, [0, 1, ...text(TOPIC), 0]));
  await once(socket, 'data');
  socket.pause();
  return socket;
}

async function startBuiltIn(): Promise<Broker> {
  const main = compiledFile(import.meta.url, '../cli/main.ts');
  const child = spawn(process.execPath, [main, 'broker', '--listen', '127.0.0.1:0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const url = await new Promise<string>((resolve, reject) => {
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += String(chunk);
      const found = /broker: (mqtt:\S+)/.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => reject(new Error(`the broker ended: ${said}`)));
  });
  const ended = once(child, 'exit');
  const stop = (): Promise<unknown> => {
    child.kill('SIGTERM');
    return ended;
  };
  return { name: 'built-in', url, stop };
}

async function startMosquitto(): Promise<Broker | undefined> {
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` };
  if (spawnSync('mosquitto', ['-h'], { env }).error !== undefined) return undefined;
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  const folder = await mkdtemp(join(tmpdir(), 'tessera-bench-'));
  const lines = [`listener ${port} 127.0.0.1`, 'allow_anonymous true', 'set_tcp_nodelay true', 'log_type error'];
  if (process.getuid?.() === 0) lines.push('user root');
  await writeFile(join(folder, 'mosquitto.conf'), `${lines.join('\n')}\n`);
  const child = spawn('mosquitto', ['-c', join(folder, 'mosquitto.conf')], { stdio: 'ignore', env });
  const url = `mqtt://127.0.0.1:${port}`;
  const probe = await connectBus({ url, clientId: 'bench-probe', log: silentLog, patient: true });
  await new Promise<void>((resolve) => probe.onConnect(resolve));
  await probe.stop();
  const ended = once(child, 'exit');
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
    await rm(folder, { recursive: true });
  };
  return { name: 'mosquitto', url, stop };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
