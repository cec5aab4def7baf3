import { setTimeout as pause } from 'node:timers/promises';
import { connect } from 'mqtt';
import { describe, expect, type TestContext, test } from 'vitest';
import { Account } from '../../bench/chaos/account.ts';
import { startCamera } from '../../bench/chaos/cameras.ts';
import { Stage } from '../../bench/chaos/stage.ts';
import { Deployment, eventually, type TestBroker } from '../../bench/testbed/deployment.ts';
import { NO_MOSQUITTO } from '../../bench/testbed/mosquitto.ts';
import { SteadyCamera } from '../../bench/testbed/steady-camera.ts';
import { type Message, silentLog } from '../../shared/ports.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';

/**
 * Brokers are killed (SIGKILL) and restarted while third-party cameras send QoS 1 frames. If one of these fails, a
 * frame was acknowledged to its camera, but central never gets it, or counts it twice.
 */

interface Scene {
  readonly deployment: Deployment;
  readonly broker: TestBroker;
}

async function openScene(kind: 'embedded' | 'mosquitto', { onTestFinished, skip }: TestContext): Promise<Scene> {
  const deployment = await Deployment.create();
  onTestFinished(() => deployment.end());
  const broker = await deployment.broker(kind, { persistent: true });
  return broker === undefined ? skip(NO_MOSQUITTO) : { deployment, broker };
}

/** A stand-in for central: it recognises redelivered frames and answers all others. */
class Taker {
  readonly answers = new Map<string, number>();
  connected = (): boolean => false;

  readonly subscription = {
    filter: 'tessera/input/#',
    qos: 1,
    handler: ({ payload, redelivered }: Message) => {
      const text = Buffer.from(payload.subarray(0, 20)).toString().trim();
      if (redelivered === true && this.answers.has(text)) return;
      this.answers.set(text, (this.answers.get(text) ?? 0) + 1);
    },
  } as const;

  async connect({ broker }: Scene, { onTestFinished }: TestContext): Promise<void> {
    const bus = await connectBus({
      url: broker.url,
      clientId: 'tessera-central',
      sessionSec: 60,
      subscriptions: [this.subscription],
      patient: true,
      log: silentLog,
    });
    onTestFinished(() => bus.stop());
    this.connected = () => bus.connected;
  }
}

function camera({ broker }: Scene, name: string, { onTestFinished }: TestContext): SteadyCamera {
  const made = new SteadyCamera(broker.port, `tessera/input/${name}`);
  onTestFinished(() => made.end());
  return made;
}

/** A frame of the size of a small picture, identified by its first 20 bytes. */
const picture = (text: string): Buffer => Buffer.concat([Buffer.from(text.padEnd(20)), Buffer.alloc(30_000)]);

async function film(cameras: readonly SteadyCamera[], prefix: string, count: number, everyMs: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    for (const [k, one] of cameras.entries()) one.send(`${prefix}-${k}-${i}`, picture(`${prefix}-${k}-${i}`));
    await pause(everyMs);
  }
}

async function expectEach(taker: Taker, cameras: readonly SteadyCamera[]): Promise<number> {
  const acknowledged = cameras.flatMap((one) => one.acknowledged);
  const missing = (): string[] => acknowledged.filter((text) => !taker.answers.has(text));
  await eventually('all that was acknowledged', () => missing().length === 0, 20_000).catch(() => {});
  expect(missing()).toEqual([]);
  return acknowledged.length;
}

async function expectEachOnce(taker: Taker, cameras: readonly SteadyCamera[]): Promise<number> {
  const count = await expectEach(taker, cameras);
  expect([...taker.answers].filter(([, answers]) => answers > 1)).toEqual([]);
  return count;
}

describe('the built-in broker', () => {
  test.concurrent('is killed and restarted before central was ever connected', async (context) => {
    const scene = await openScene('embedded', context);
    const front = camera(scene, 'front', context);
    const filming = film([front], 'early', 100, 10);
    await pause(300);
    await scene.broker.kill();
    await scene.broker.restart();
    await filming;
    await front.settled();
    const taker = new Taker();
    await taker.connect(scene, context);
    expect(await expectEachOnce(taker, [front])).toBe(100);
  });

  test.concurrent('is killed and restarted six times with a running central', async (context) => {
    const scene = await openScene('embedded', context);
    const taker = new Taker();
    await taker.connect(scene, context);
    const cameras = [camera(scene, 'front', context), camera(scene, 'side', context)];
    let done = false;
    const filming = film(cameras, 'f', 400, 10).finally(() => {
      done = true;
    });
    for (let kills = 0; kills < 6 && !done; kills++) {
      await pause(100 + 50 * kills);
      await scene.broker.kill();
      await pause(100);
      await scene.broker.restart();
    }
    await filming;
    await Promise.all(cameras.map((one) => one.settled()));
    expect(await expectEachOnce(taker, cameras)).toBe(800);
  });
});

describe('an app with a persistent session at the built-in broker that reconnects slowly', () => {
  test('gets a result of every frame that was acknowledged, though the broker is killed while central answers', async ({
    onTestFinished,
  }) => {
    const stage = await Stage.open('embedded', ['front'], []);
    onTestFinished(() => stage.end());
    const account = new Account();
    const app = connect(stage.broker.url, { clientId: 'app', clean: false, reconnectPeriod: 3000, protocolVersion: 4 });
    onTestFinished(() => void app.end(true));
    let connections = 0;
    app.on('error', () => {});
    app.on('connect', () => {
      connections += 1;
    });
    app.on('message', (_topic, payload, { retain }) => {
      if (!retain) account.result(payload.toString(), 0);
    });
    await app.subscribeAsync('tessera/result/+/+', { qos: 1 });
    const task = { port: stage.broker.port, camera: 'front', everyMs: 100, maxBytes: 1e6 };
    const camera = await startCamera('plain', '', task, (what, frame) => account[what](frame, 0));
    onTestFinished(() => camera.kill());
    for (let kills = 1; kills <= 2; kills++) {
      await eventually('the app is here', () => app.connected && connections === kills);
      const before = account.verdict().acknowledged;
      await eventually('frames', () => account.verdict().acknowledged > before + 10);
      await stage.broker.kill();
      await stage.broker.restart();
    }
    await eventually('the app is here', () => connections === 3);
    await camera.stop();
    await eventually('results', () => account.open === 0).catch(() => {});
    const { missing, doubled, acknowledged } = account.verdict();
    expect({ missing, doubled }).toEqual({ missing: [], doubled: [] });
    expect(acknowledged).toBeGreaterThan(40);
  }, 90_000);
});

describe('Mosquitto with persistence', () => {
  // Only while central is connected: otherwise frames since the last save of its state are lost.
  test.concurrent('is killed three times with a connected central', async (context) => {
    const scene = await openScene('mosquitto', context);
    const taker = new Taker();
    await taker.connect(scene, context);
    const front = camera(scene, 'front', context);
    for (let kills = 0; kills < 3; kills++) {
      await eventually('central is connected', taker.connected);
      const filming = film([front], `f${kills}`, 50, 10);
      await eventually('some frames', () => taker.answers.has(`f${kills}-0-20`));
      await scene.broker.kill();
      await scene.broker.restart();
      await filming;
      await front.settled();
    }
    // To Mosquitto a repetition is a new message: central recognises it by the frame's id only.
    expect(await expectEach(taker, [front])).toBe(150);
  });

  test.concurrent('is stopped cleanly and restarted while central is offline', async (context) => {
    const scene = await openScene('mosquitto', context);
    const first = new Taker();
    const bus = await connectBus({
      url: scene.broker.url,
      clientId: 'tessera-central',
      sessionSec: 60,
      subscriptions: [first.subscription],
      log: silentLog,
    });
    await bus.stop();
    const front = camera(scene, 'front', context);
    const filming = film([front], 'away', 50, 10);
    await pause(200);
    await scene.broker.stop();
    await scene.broker.restart();
    await filming;
    await front.settled();
    const taker = new Taker();
    await taker.connect(scene, context);
    expect(await expectEach(taker, [front])).toBe(50);
    expect(first.answers.size).toBe(0);
  });
});
