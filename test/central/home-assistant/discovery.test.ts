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
import { deviceDiscovery } from '../../support/home-assistant-schema.ts';

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
