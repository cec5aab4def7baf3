import { describe, expect, it } from 'vitest';
import { FORGET_S, isStale, type KeptDevice } from '../../../central/home-assistant/devices.ts';
import {
  cameraDiscovery,
  centralDiscovery,
  discoveryTopic,
  nodeDiscovery,
  platformsOf,
  withRemoved,
} from '../../../central/home-assistant/discovery.ts';
import { topics } from '../../../shared/protocol/topics.ts';
import { examplesOf } from '../../support/examples.ts';
import { deviceDiscovery } from '../../support/home-assistant-schema.ts';
import { NO_JINJA, render } from '../../support/jinja.ts';

/** Lost if these fail: Home Assistant refuses a device, or an automation loses its entity. */

const context = { topics: topics(), prefix: 'homeassistant', version: '1.2.3', models: ['person'] };
const camera = cameraDiscovery(context, 'Front_door', { person: ['person', 'hot dog'], gone: ['cat'] });
const node = nodeDiscovery(context, 'pi-1', { hardware: 'Raspberry Pi 5', version: '1.2.3' });

describe('discovery', () => {
  it('is accepted by Home Assistant', () => {
    for (const document of [centralDiscovery(context), camera, node])
      expect(deviceDiscovery.parse(document)).toEqual(document);
  });

  it('whose entities had an object_id would not be', () => {
    const { label: _, ...components } = { ...camera.components, label: undefined };
    const old = { ...camera, components: { ...components, x: { ...camera.components.detect, object_id: 'x' } } };
    expect(deviceDiscovery.safeParse(old).success).toBe(false);
  });

  it('names entities for ever', () => {
    const ids = Object.values(camera.components).map((one) => one.default_entity_id);
    expect(ids).toEqual([
      'event.tessera_camera_front_door_objects',
      'binary_sensor.tessera_camera_front_door_online',
      'sensor.tessera_camera_front_door_latency',
      'sensor.tessera_camera_front_door_rate',
      'select.tessera_camera_front_door_model',
      'switch.tessera_camera_front_door_detect',
      'switch.tessera_camera_front_door_result',
      'switch.tessera_camera_front_door_label',
      'switch.tessera_camera_front_door_count',
      'switch.tessera_camera_front_door_event',
      'switch.tessera_camera_front_door_snapshot',
      'switch.tessera_camera_front_door_crop',
      'number.tessera_camera_front_door_threshold',
      'number.tessera_camera_front_door_max_fps',
      'sensor.tessera_camera_front_door_person_label',
      'image.tessera_camera_front_door_person_snapshot',
      'image.tessera_camera_front_door_person_crop',
      'sensor.tessera_camera_front_door_person_person_count',
      'binary_sensor.tessera_camera_front_door_person_person_present',
      'sensor.tessera_camera_front_door_person_hot_dog_count',
      'binary_sensor.tessera_camera_front_door_person_hot_dog_present',
    ]);
    expect(discoveryTopic(context, 'camera', 'Front_door')).toBe(
      'homeassistant/device/tessera_camera_Front_door/config',
    );
    const unique = [camera, node, centralDiscovery(context)].flatMap(({ components }) =>
      Object.values(components).map(({ unique_id }) => unique_id),
    );
    expect(new Set(unique).size).toBe(unique.length);
  });

  it('reads topics that exist, and needs a camera or node only for what it says itself', () => {
    expect(camera.components.person_hot_dog_present).toMatchObject({
      state_topic: 'tessera/result/Front_door/person/count/hot_dog',
      availability: [{ topic: 'tessera/status' }, { topic: 'tessera/camera/Front_door/status' }],
    });
    expect(camera.components.detect).not.toHaveProperty('availability');
    expect(node.components.temperature).toMatchObject({
      state_topic: 'tessera/node/pi-1/health',
      availability: [{ topic: 'tessera/status' }, { topic: 'tessera/node/pi-1/status' }],
    });
  });

  it.skipIf(NO_JINJA !== undefined)(`has templates that say what messages say ${NO_JINJA ?? ''}`, () => {
    const messages = new Map(examplesOf('docs/protocol.md').map(({ schema, value }) => [schema, value as object]));
    const front = cameraDiscovery(context, 'front', { person: ['person'] }).components;
    const central = centralDiscovery(context).components;
    const cases: [template: unknown, message: unknown, state: string][] = [
      [front.person_person_present!.value_template, 2, 'ON'],
      [front.person_person_present!.value_template, 0, 'OFF'],
      [front.latency!.value_template, messages.get('stats'), '201.3'],
      [front.rate!.value_template, messages.get('stats'), '4.8'],
      [camera.components.latency!.value_template, messages.get('stats'), 'None'],
      [node.components.temperature!.value_template, messages.get('node-health'), '48'],
      [node.components.temperature!.value_template, { ...messages.get('node-health'), temp_c: null }, 'None'],
      [node.components.throttled!.value_template, messages.get('node-health'), 'OFF'],
      [node.components.throttled!.value_template, { ...messages.get('node-health'), throttled: true }, 'ON'],
      [node.components.cpu!.value_template, messages.get('node-health'), '40'],
      [node.components.memory!.value_template, messages.get('node-health'), '20'],
      [node.components.tiles!.value_template, messages.get('node-health'), '32'],
      [central.refused_models!.value_template, messages.get('central-models'), 'ON'],
      [central.refused_models!.value_template, { models: { person: { state: 'served' } } }, 'OFF'],
      [central.left_out_nodes!.value_template, messages.get('left-out'), 'ON'],
      [central.left_out_nodes!.value_template, { nodes: {} }, 'OFF'],
      // With a field that it does not know, Home Assistant drops the whole message.
      [node.components.version!.value_template, { v: 1, in_progress: true }, '{"in_progress": true}'],
    ];
    const event = [String(front.objects!.value_template), JSON.stringify(messages.get('object-event'))] as const;
    const [said, ...states] = render(
      event,
      ...cases.map(([template, message]) => [String(template), JSON.stringify(message)] as const),
    );
    expect(states).toEqual(cases.map(([, , state]) => state));
    const { event_type, id, ...rest } = JSON.parse(said!);
    expect(front.objects!.event_types).toContain(event_type);
    expect({ id, ...rest }).toEqual({
      id: '1763650000.123-k',
      model: 'fastestdet',
      label: 'person',
      score: 0.81,
      has_snapshot: true,
    });
    const tested = new Set(cases.map(([template]) => template)).add(front.objects!.value_template);
    for (const { components } of [camera, node, centralDiscovery(context)])
      for (const [key, { value_template }] of Object.entries(components))
        if (value_template !== undefined && key !== 'rate') expect(tested, key).toContain(value_template);
  });

  it('removes a component by its platform alone', () => {
    const before = { ...platformsOf(node), fan: 'sensor' };
    expect(withRemoved(node, before).components.fan).toEqual({ platform: 'sensor' });
    expect(deviceDiscovery.safeParse(withRemoved(node, before)).success).toBe(true);
    expect(withRemoved(node, platformsOf(node))).toBe(node);
  });
});

describe('a device that was published before', () => {
  const device: KeptDevice = { kind: 'camera', name: 'front', listed: false, seen: 1000, labels: {}, components: {} };
  it.each<[string, Partial<KeptDevice>, number, boolean]>([
    ['a listed camera stays, however long it was not there', { listed: true }, 1e9, false],
    ['a camera that was listed and is not any more goes', { name: 'back', listed: true }, 1001, true],
    ['an unlisted camera stays for a week', { name: 'back' }, 1000 + FORGET_S, false],
    ['and goes then', { name: 'back' }, 1001 + FORGET_S, true],
    ['a node goes after a week', { kind: 'node' }, 1001 + FORGET_S, true],
    ['central stays', { kind: 'central', name: '' }, 1e9, false],
  ])('%s', (_, change, now, stale) => {
    expect(isStale({ ...device, ...change }, ['front'], now)).toBe(stale);
  });
});
