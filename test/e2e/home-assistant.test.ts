import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deployment, kill, type TestBroker } from '../../bench/testbed/deployment.ts';
import { NO_MOSQUITTO } from '../../bench/testbed/mosquitto.ts';
import type { RunningCli } from '../../bench/testbed/run-cli.ts';
import { HomeAssistantStandIn } from '../support/home-assistant.ts';

/**
 * Devices in Home Assistant, by a stand-in that behaves as it does, on a Mosquitto that forgets everything when it is
 * killed. Lost if this fails: entities stay unavailable after a power cut.
 */

let deployment: Deployment;
let broker: TestBroker | undefined;
let central: RunningCli;
let assistant: HomeAssistantStandIn;

const DETECT = 'switch.tessera_camera_front_detect';
const cameras = { front: {} };

async function startCentral(): Promise<void> {
  central = await deployment.central(broker!.url, { cameras, homeassistant: { enabled: true } });
}

beforeAll(async () => {
  deployment = await Deployment.create();
  broker = await deployment.broker('mosquitto');
  if (broker === undefined) return;
  deployment.agent(broker.url, 'pi-1');
  assistant = new HomeAssistantStandIn(broker.url);
  await startCentral();
}, 30_000);
afterAll(async () => {
  assistant?.kill();
  await deployment.end();
});

const isThere = (): boolean =>
  [...assistant.entities.keys()].some((id) => id.startsWith('binary_sensor.tessera_node_pi_1')) &&
  assistant.entities.has(DETECT) &&
  assistant.entities.has('binary_sensor.tessera_central_refused_models') &&
  assistant.entities.get(DETECT)!.state !== undefined;

/** Everything but what only a camera says, which has sent nothing. */
const isUsable = (): boolean => isThere() && assistant.unavailable.length === 0;

test('cameras, nodes and central have entities; a switch works and shows its state', async ({ skip }) => {
  if (broker === undefined) return skip(NO_MOSQUITTO);
  await assistant.until(isUsable);
  expect(assistant.refused).toEqual([]);
  expect(assistant.entities.get(DETECT)!.state!.toString()).toBe('ON');
  assistant.command(DETECT, 'OFF');
  await assistant.until(() => assistant.entities.get(DETECT)!.state!.toString() === 'OFF');
  assistant.command(DETECT, 'ON');
  await assistant.until(() => assistant.entities.get(DETECT)!.state!.toString() === 'ON');
}, 60_000);

const parts = {
  broker: () => broker!.restart(),
  central: startCentral,
  'Home Assistant': async () => {
    assistant = new HomeAssistantStandIn(broker!.url);
  },
} as const;
type Part = keyof typeof parts;
const orders = (['broker', 'central', 'Home Assistant'] as const).flatMap((first, _, all) =>
  all
    .filter((one) => one !== first)
    .map((second): Part[] => [first, second, ...all.filter((one) => one !== first && one !== second)]),
);

test.each(orders)(
  'after all of them died, %s, %s and %s start, and nothing stays unavailable',
  async (...order) => {
    if (broker === undefined) return;
    await Promise.all([broker.kill(), kill(central)]);
    assistant.kill();
    for (const part of order) await parts[part]();
    await assistant.until(isUsable);
    expect(assistant.refused).toEqual([]);
  },
  60_000,
);

test('after Home Assistant alone, or the broker alone, died, nothing stays unavailable', async () => {
  if (broker === undefined) return;
  assistant.kill();
  assistant = new HomeAssistantStandIn(broker.url);
  await assistant.until(isUsable);
  await broker.kill();
  expect(assistant.unavailable.length).toBeGreaterThan(0);
  await broker.restart();
  await assistant.until(isUsable);
}, 60_000);
