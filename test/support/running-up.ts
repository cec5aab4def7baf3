import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { RunningCli } from '../../bench/testbed/run-cli.ts';
import { drawScene, seedRanges } from '../../shared/camera/scenes/scene.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import { type ResultObject, resultObject } from '../../shared/protocol/messages/result.ts';
import { topics as topicsOf } from '../../shared/protocol/topics.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';

const topics = topicsOf();

/** Counts of frames that were skipped, by camera and reason, since the last look. */
export type Skipped = Record<string, Record<string, number>>;

/** A cluster as a user starts it, without a camera, and a client with all rights. */
export class RunningUp {
  readonly up: RunningCli;
  readonly port: number;
  readonly url: string;
  readonly bus: Bus;
  readonly scene: Uint8Array;
  readonly results: ResultObject[] = [];
  #expected: Pick<ResultObject, 'top' | 'predictions'> | undefined;
  #sent = 0;
  readonly #folder: string;
  readonly #waiting = new Set<{ frame: string; resolve: (result: ResultObject) => void }>();
  readonly #skipped: Skipped = {};
  #onStats: () => void = () => {};

  private constructor(up: RunningCli, port: number, bus: Bus, scene: Uint8Array, folder: string) {
    this.up = up;
    this.port = port;
    this.url = `mqtt://127.0.0.1:${port}`;
    this.bus = bus;
    this.scene = scene;
    this.#folder = folder;
  }

  static async start(...args: string[]): Promise<RunningUp> {
    const folder = await mkdtemp(join(tmpdir(), 'tessera-garbage-'));
    const env = { STATE_DIRECTORY: join(folder, 'state') };
    const up = new RunningCli(['up', '--nodes', '2', '--camera', 'none', ...args], { env });
    const [, port] = await up.printed(/broker: mqtt:\/\/127\.0\.0\.1:(\d+)/);
    await up.printed(/waiting for frames/);
    const bus = await connectBus({ url: `mqtt://127.0.0.1:${port}`, clientId: 'stranger', log: silentLog });
    const { rgb, width, height } = drawScene(seedRanges.heldOut.from + 3);
    const scene = await encodeJpeg(rgb, width, height, 90);
    const running = new RunningUp(up, Number(port), bus, scene, folder);
    await running.#listen();
    const first = await running.frame('good', scene);
    expect(first).toMatchObject({ status: 'ok' });
    running.#expected = { top: first.top, predictions: first.predictions };
    return running;
  }

  async #listen(): Promise<void> {
    await this.bus.subscribe(topics.resultAll, 1, ({ payload, retained }) => {
      if (retained) return;
      const result = resultObject.parse(JSON.parse(Buffer.from(payload).toString()));
      this.results.push(result);
      for (const one of this.#waiting) {
        if (one.frame !== result.frame) continue;
        this.#waiting.delete(one);
        one.resolve(result);
      }
    });
    await this.bus.subscribe(topics.stats, 0, ({ payload }) => {
      const { cameras } = JSON.parse(Buffer.from(payload).toString()) as {
        cameras: Record<string, { skipped: Skipped[string] }>;
      };
      for (const [camera, { skipped }] of Object.entries(cameras)) {
        this.#skipped[camera] ??= {};
        for (const [reason, count] of Object.entries(skipped))
          this.#skipped[camera][reason] = (this.#skipped[camera][reason] ?? 0) + count;
      }
      this.#onStats();
    });
  }

  /** A frame id that was not used before. */
  nextId(): string {
    return `f-${this.#sent++}`;
  }

  /** Sends a frame and waits for its result. */
  async frame(camera: string, payload: Uint8Array, id = this.nextId()): Promise<ResultObject> {
    const result = new Promise<ResultObject>((resolve) => this.#waiting.add({ frame: id, resolve }));
    await this.bus.publish(topics.input(camera, id), payload, { qos: 1 });
    return result;
  }

  /** The next frame is unaffected: it has the prediction that it had before the test. */
  async undisturbed(): Promise<ResultObject> {
    const result = await this.frame('good', this.scene);
    expect(result).toMatchObject({ status: 'ok', ...this.#expected });
    return result;
  }

  /** Waits until the published counts of skipped frames are these, and resets them. */
  async skipped(expected: Skipped): Promise<void> {
    const says = (): boolean =>
      Object.entries(expected).every(([camera, reasons]) =>
        Object.entries(reasons).every(([reason, count]) => (this.#skipped[camera]?.[reason] ?? 0) >= count),
      );
    while (!says()) await new Promise<void>((resolve) => (this.#onStats = resolve));
    for (const [camera, reasons] of Object.entries(expected)) {
      expect(this.#skipped[camera]).toEqual(reasons);
      delete this.#skipped[camera];
    }
  }

  /** Bytes of memory of the process that is broker, central and parent of the agents. */
  async residentBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.up.child.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024;
  }

  /** Kills the process of a node agent, which says nothing more. */
  async killNode(id: string): Promise<void> {
    const { pid } = this.up.child;
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
    for (const child of children.trim().split(' ')) {
      const words = (await readFile(`/proc/${child}/cmdline`, 'utf8')).split('\0');
      const environment = (await readFile(`/proc/${child}/environ`, 'utf8')).split('\0');
      if ([...words, ...environment].some((word) => word === id || word.endsWith(`=${id}`)))
        process.kill(Number(child), 'SIGKILL');
    }
  }

  /** Ends it as a user does; returns its output. */
  async stop(): Promise<string> {
    await this.bus.stop();
    const { code, stderr } = await this.up.stop('SIGTERM');
    await rm(this.#folder, { recursive: true });
    expect(code).toBe(0);
    return stderr;
  }
}
