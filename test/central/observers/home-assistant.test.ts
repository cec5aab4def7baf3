import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { EndedFrame } from '../../../central/effects.ts';
import type { KeptDevices } from '../../../central/home-assistant/devices.ts';
import { HomeAssistant } from '../../../central/observers/home-assistant.ts';
import { CAMERA_DEFAULTS } from '../../../shared/config/schema.ts';
import type { Message } from '../../../shared/ports.ts';
import type { NodeRecord } from '../../../shared/protocol/node-registry.ts';
import { topics } from '../../../shared/protocol/topics.ts';
import { emptyResult } from '../../support/result-object.ts';

/** Lost if these fail: entities that stay unavailable, that flood, or that never go away. */

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const info = { hardware: 'Raspberry Pi 5', version: '1.0' } as NodeRecord['info'];
const record = (id: string, more: Partial<NodeRecord> = {}): NodeRecord => {
  return { id, online: true, info, heartbeat: undefined, heardAt: undefined, ...more };
};
const CENTRAL = 'homeassistant/device/tessera_central/config';
const FRONT = 'homeassistant/device/tessera_camera_front/config';
const PI = 'homeassistant/device/tessera_node_pi-1/config';

function opened(kept: KeptDevices = {}, more: { isEnabled?: boolean } = {}) {
  const story: string[] = [];
  const documents = new Map<string, { components: Record<string, object> }>();
  const subscribed = new Map<string, (message: Message) => void>();
  const nodes = new Map([['pi-1', record('pi-1')]]);
  const files: KeptDevices[] = [];
  const models = ['m'];
  const assistant = new HomeAssistant({
    isEnabled: true,
    bus: {
      subscribe: async (filter, _, handler) => {
        subscribed.set(filter, handler);
        return async () => {};
      },
    },
    publisher: {
      retainOnce: (topic, payload) => {
        story.push(payload.length === 0 ? `${topic} cleared` : topic);
        if (payload.length > 0) documents.set(topic, JSON.parse(payload as string));
      },
      announce: () => void story.push('states'),
    },
    context: () => ({ topics: topics(), prefix: 'homeassistant', version: '1', models }),
    cameras: { front: CAMERA_DEFAULTS, infer: { ...CAMERA_DEFAULTS, isHidden: true } },
    nodes: () => nodes,
    kept,
    keep: (devices) => void files.push(structuredClone(devices)),
    throttledLog: { warn: (_, text) => void story.push(text) },
    time: () => 1000,
    random: () => 0.5,
    ...more,
  });
  const say = async (topic: string, text: string, retained = false) => {
    subscribed.get(topic)!({ topic, payload: new TextEncoder().encode(text), retained });
    await Promise.resolve();
  };
  const told = () => story.splice(0);
  return { assistant, documents, nodes, files, models, say, told };
}

test('devices are published when central is online, after every connection, and never twice without a change', async () => {
  const { assistant, say, told, files } = opened();
  assistant.start();
  expect(told()).toEqual([]);
  await say('tessera/status', 'online', true);
  expect(told().sort()).toEqual([FRONT, CENTRAL, PI].sort());
  expect(Object.keys(files.at(-1)!).sort()).toEqual([FRONT, CENTRAL, PI].sort());
  vi.advanceTimersByTime(60_000);
  assistant.planActive();
  await Promise.resolve();
  expect(told()).toEqual([]);
  await say('tessera/status', 'offline');
  await say('tessera/status', 'online');
  expect(told()).toHaveLength(3);
  assistant.stop();
});

test('Home Assistant that has started gets everything again within 5 s, then the states', async () => {
  const { assistant, say, told } = opened();
  assistant.start();
  await say('tessera/status', 'online', true);
  told();
  await say('homeassistant/status', 'online', true);
  await say('homeassistant/status', 'online');
  expect(told()).toEqual([]);
  await vi.advanceTimersByTimeAsync(2500);
  expect(told().slice(0, 1)).toEqual(['states']);
  assistant.stop();
});

test('labels get entities when they are seen well, and keep them', async () => {
  const { assistant, say, told, documents, files } = opened();
  assistant.start();
  await say('tessera/status', 'online');
  const ended = async (label: string, score: number) => {
    told();
    const predictions = [{ label, score, box: [0, 0, 1, 1] as [number, number, number, number] }];
    assistant.frameEnded({} as EndedFrame, emptyResult({ task: 'detect', predictions }));
    await Promise.resolve();
    return told();
  };
  expect(await ended('person', 0.9)).toEqual([FRONT]);
  expect(await ended('person', 0.9)).toEqual([]);
  expect(await ended('ghost', 0.3)).toEqual([]);
  expect(await ended('cat', 0.8)).toEqual([FRONT]);
  expect(Object.keys(documents.get(FRONT)!.components)).toContain('m_cat_count');
  const again = opened(files.at(-1));
  again.assistant.start();
  await again.say('tessera/status', 'online');
  expect(Object.keys(again.documents.get(FRONT)!.components)).toContain('m_person_present');
  for (const one of [assistant, again.assistant]) one.stop();
});

test('what is gone is cleared: a camera that is not listed any more, a node that was forgotten, an entity', async () => {
  const back = {
    kind: 'camera',
    name: 'back',
    listed: true,
    seen: 999,
    labels: {},
    components: { x: 'sensor' },
  } as const;
  const front = { ...back, name: 'front', components: { old: 'sensor' } };
  const topic = 'homeassistant/device/tessera_camera_back/config';
  const { assistant, say, told, nodes, documents } = opened({ [topic]: back, [FRONT]: front });
  assistant.start();
  expect(told()).toEqual([`${topic} cleared`]);
  await say('tessera/status', 'online');
  expect(told().filter((one) => one === FRONT)).toHaveLength(2);
  expect(documents.get(FRONT)!.components).not.toHaveProperty('old');
  nodes.set('pi-1', record('pi-1', { online: false }));
  vi.advanceTimersByTime(5000);
  expect(told()).toEqual([]);
  nodes.set('pi-1', record('pi-1', { online: false, info: undefined }));
  vi.advanceTimersByTime(5000);
  expect(told()).toEqual([`${PI} cleared`]);
  assistant.stop();
});

test('all of it is cleared where it is switched off', () => {
  const device = { kind: 'node', name: 'pi-1', listed: false, seen: 999, labels: {}, components: {} } as const;
  const { assistant, told, files } = opened({ [PI]: device }, { isEnabled: false });
  assistant.start();
  expect([told(), files.at(-1)]).toEqual([[`${PI} cleared`], {}]);
  assistant.stop();
});
