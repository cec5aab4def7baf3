import { writeFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FrameClient } from '../../cli/frames.ts';
import { drawScene, seedRanges } from '../../shared/camera/scenes/scene.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import { stats } from '../../shared/protocol/messages/central.ts';
import { type ResultObject, resultObject } from '../../shared/protocol/messages/result.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import type { z } from '../../shared/schema.ts';
import { freePort, type Mosquitto, startMosquitto } from './mosquitto.ts';
import { RunningCli } from './run-cli.ts';

/** Debian's RAM disk for every user. */
const RAM_DISK = '/dev/shm';

/** One report on `tessera/stats`. */
export type StatsReport = z.infer<typeof stats>;

/** A broker that can be killed and started again at the same port. */
export interface TestBroker {
  readonly url: string;
  readonly port: number;
  /** kill -9 */
  kill(): Promise<void>;
  /** SIGTERM */
  stop(): Promise<void>;
  restart(): Promise<void>;
  /** SIGSTOP, SIGCONT */
  signal(signal: NodeJS.Signals): void;
  /** What all its runs have printed; Mosquitto prints nothing here. */
  log(): string;
}

/**
 * Broker, centrals and agents as processes of their own, in which any fault may be caused; all files are removed at the
 * end.
 */
export class Deployment {
  readonly names = topics('tessera');
  readonly folder: string;
  readonly #ends: (() => Promise<unknown>)[] = [];
  /** Environment of processes that are slowed down, by state directory. */
  readonly #slowed = new Map<string, Readonly<Record<string, string>>>();

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<Deployment> {
    return new Deployment(await mkdtemp(join(tmpdir(), 'tessera-deployment-')));
  }

  /** Starts a command with its own state directory, in the deployment's folder; ended by SIGKILL with the deployment. */
  start(args: readonly string[], state: string): RunningCli {
    const env = { ...this.#slowed.get(state), STATE_DIRECTORY: resolve(this.folder, state) };
    const cli = new RunningCli(args, { cwd: this.folder, env });
    this.#ends.push(() => kill(cli));
    return cli;
  }

  /**
   * Has the executors of a process that starts later, with this state directory, take `factor` times as long as this
   * machine, until another factor is set.
   */
  slow(state: string, factor: number): void {
    const file = join(this.folder, `${state}.slowdown`);
    writeFileSync(file, String(factor));
    const preload = fileURLToPath(new URL('./slow-executor.cjs', import.meta.url));
    this.#slowed.set(state, { NODE_OPTIONS: `--require="${preload}"`, TESSERA_SLOWDOWN: file });
  }

  /**
   * The built-in broker as a process, or Mosquitto, with persistence as docs/operations.md says where it is asked for;
   * undefined where that is not installed.
   */
  async broker(kind: 'embedded' | 'mosquitto', { persistent = false } = {}): Promise<TestBroker | undefined> {
    if (kind === 'mosquitto') {
      const persistence = persistent ? await this.#onRamDisk('tessera-mosquitto-') : undefined;
      let running: Mosquitto | undefined = await startMosquitto({ persistence });
      if (running === undefined) return undefined;
      const { url, port } = running;
      this.#ends.push(async () => running?.stop());
      return {
        url,
        port,
        kill: async () => running?.kill(),
        stop: async () => running?.stop(),
        restart: async () => {
          running = await startMosquitto({ port, persistence });
        },
        signal: (signal) => running?.signal(signal),
        log: () => '',
      };
    }
    const port = await freePort();
    const start = async (): Promise<RunningCli> => {
      const cli = this.start(['broker', '--listen', `127.0.0.1:${port}`], 'broker');
      await cli.printed(/broker: mqtt:/);
      return cli;
    };
    let running = await start();
    const runs = [running];
    return {
      url: `mqtt://127.0.0.1:${port}`,
      port,
      kill: () => kill(running),
      stop: async () => void (await running.stop()),
      restart: async () => {
        running = await start();
        runs.push(running);
      },
      signal: (signal) => void running.child.kill(signal),
      log: () => runs.map((run) => run.printedSoFar).join('\n'),
    };
  }

  /** A folder on a RAM disk, as docs/operations.md says for Mosquitto's persistence; where there is none, in `folder`. */
  async #onRamDisk(prefix: string): Promise<string> {
    const made = await mkdtemp(join(RAM_DISK, prefix)).catch(() => mkdtemp(join(this.folder, prefix)));
    this.#ends.push(() => rm(made, { recursive: true, force: true }));
    return made;
  }

  /** Starts a central, by default with the bundled model; the other settings are those of the configuration. */
  async central(
    url: string,
    { args = [], state = 'central', model = 'scenes', ...settings }: CentralSettings = {},
  ): Promise<RunningCli> {
    const config = join(this.folder, `${state}.json`);
    // JSON is YAML.
    await writeFile(config, JSON.stringify(settings));
    return this.start(['central', '--broker', url, '--model', model, '--config', config, ...args], state);
  }

  agent(url: string, id: string, ...args: string[]): RunningCli {
    return this.start(['agent', '--broker', url, '--id', id, '--threads', '1', ...args], id);
  }

  async connect(url: string, name: string): Promise<Bus> {
    const bus = await connectBus({ url, clientId: name, log: silentLog, patient: true });
    this.#ends.push(() => bus.stop());
    return bus;
  }

  /** A camera that waits for the results of its frames. */
  async camera(bus: Bus, name: string): Promise<FrameClient> {
    const client = new FrameClient(bus, this.names, name);
    await client.start();
    return client;
  }

  /** Every result that is published from now on, retained ones left out. */
  async results(bus: Bus): Promise<ResultObject[]> {
    const all: ResultObject[] = [];
    await bus.subscribe(this.names.resultAll, 1, ({ payload, retained }) => {
      if (!retained) all.push(resultObject.parse(JSON.parse(Buffer.from(payload).toString())));
    });
    return all;
  }

  async stats(bus: Bus): Promise<StatsReport[]> {
    const all: StatsReport[] = [];
    await bus.subscribe(this.names.stats, 0, ({ payload }) => {
      all.push(stats.parse(JSON.parse(Buffer.from(payload).toString())));
    });
    return all;
  }

  async end(): Promise<void> {
    for (const end of this.#ends.splice(0).toReversed()) await end();
    await rm(this.folder, { recursive: true, force: true });
  }
}

interface CentralSettings {
  readonly args?: readonly string[];
  readonly state?: string;
  readonly model?: string;
  readonly cameras?: object;
  readonly planner?: object;
  readonly homeassistant?: object;
  readonly log?: object;
}

/** kill -9, and wait until it is gone. A process that was stopped dies of it too. */
export async function kill(cli: RunningCli): Promise<void> {
  if (cli.child.exitCode === null && cli.child.signalCode === null) await cli.stop('SIGKILL');
}

/** Drawn pictures as JPEGs, the same ones each time. */
export function pictures(count: number): Promise<Uint8Array[]> {
  return Promise.all(
    Array.from({ length: count }, (_, i) => {
      const { rgb, width, height } = drawScene(seedRanges.heldOut.from + 300 + i);
      return encodeJpeg(rgb, width, height, 90);
    }),
  );
}

/** Waits until `condition` holds, looking often; throws with `what` after `timeoutMs`. Returns how long it took, ms. */
export async function eventually(what: string, condition: () => boolean, timeoutMs = 30_000): Promise<number> {
  const since = performance.now();
  while (!condition()) {
    if (performance.now() - since > timeoutMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return performance.now() - since;
}
