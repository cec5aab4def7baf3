import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deployment, kill, pictures, type TestBroker } from '../../bench/testbed/deployment.ts';
import { freePort, NO_MOSQUITTO } from '../../bench/testbed/mosquitto.ts';
import type { RunningCli } from '../../bench/testbed/run-cli.ts';
import { pictureSize } from '../../shared/runtime/image.ts';
import { HomeAssistantStandIn } from '../support/home-assistant.ts';

/** The built-in broker with a bridge to a Mosquitto, at which Home Assistant is. Lost if it fails: it sees nothing there. */

const DETECT = 'switch.tessera_camera_front_detect';
let deployment: Deployment;
let broker: RunningCli;
let start: () => Promise<void>;
let assistant: HomeAssistantStandIn | undefined;
let local: string;
let other: TestBroker;

beforeAll(async () => {
  deployment = await Deployment.create();
  const mosquitto = await deployment.broker('mosquitto', { persistent: true });
  if (mosquitto === undefined) return;
  other = mosquitto;
  const port = await freePort();
  local = `mqtt://127.0.0.1:${port}`;
  start = async () => {
    broker = deployment.start(['broker', '--listen', `127.0.0.1:${port}`, '--bridge', mosquitto.url], 'broker');
    await broker.printed(/broker: mqtt:/);
  };
  await start();
  await deployment.central(local, { cameras: { front: { hold: 1 } }, homeassistant: { enabled: true } });
  assistant = new HomeAssistantStandIn(mosquitto.url);
}, 30_000);
afterAll(async () => {
  assistant?.kill();
  await deployment.end();
});

const isUsable = (): boolean =>
  assistant!.entities.get(DETECT)?.state !== undefined && assistant!.unavailable.every((id) => /_label$/.test(id));

test('entities appear at the other broker, a switch there works here, and a snapshot arrives whole', async ({
  skip,
}) => {
  if (assistant === undefined) return skip(NO_MOSQUITTO);
  const home = assistant;
  await home.until(isUsable);
  expect(home.refused).toEqual([]);
  home.command(DETECT, 'OFF');
  await home.until(() => home.entities.get(DETECT)!.state!.toString() === 'OFF');
  home.command(DETECT, 'ON');
  await home.until(() => home.entities.get(DETECT)!.state!.toString() === 'ON');
  const camera = await deployment.connect(local, 'camera');
  const [jpeg] = await pictures(1);
  await camera.publish('tessera/input/front', jpeg!, { qos: 1 });
  const image = 'image.tessera_camera_front_scenes_snapshot';
  await home.until(() => home.entities.get(image)?.state !== undefined);
  expect((await pictureSize(home.entities.get(image)!.state!)).width).toBeGreaterThan(100);
}, 60_000);

test('while the broker here is gone everything is unavailable there, and comes back with it', async () => {
  if (assistant === undefined) return;
  const home = assistant;
  await kill(broker);
  await home.until(() => home.unavailable.includes(DETECT));
  await start();
  await home.until(isUsable);
}, 60_000);

test('after the other broker was away it has the newest states, and none that was cleared', async () => {
  if (assistant === undefined) return;
  const here = await deployment.connect(local, 'here');
  const set = (node: string, text: string) =>
    here.publish(deployment.names.nodeInfo(node), text, { qos: 1, retain: true });
  const seen = async (reader: string): Promise<() => Record<string, string>> => {
    const kept: Record<string, string> = {};
    const there = await deployment.connect(other.url, reader);
    await there.subscribe(deployment.names.nodeInfoAll, 1, ({ topic, payload }) => {
      kept[topic.split('/')[2]!] = Buffer.from(payload).toString();
    });
    return () => ({ changed: kept.changed ?? '', cleared: kept.cleared ?? '' });
  };
  for (const node of ['changed', 'cleared']) await set(node, 'old');
  await expect.poll(await seen('before'), { timeout: 10_000 }).toEqual({ changed: 'old', cleared: 'old' });
  await other.stop();
  await set('changed', 'new');
  await set('cleared', '');
  await other.restart();
  await expect.poll(await seen('after'), { timeout: 20_000 }).toEqual({ changed: 'new', cleared: '' });
}, 60_000);
