import { expect, test } from 'vitest';
import { SettingTopics } from '../../../central/observers/setting-topics.ts';
import { CameraSettings } from '../../../central/settings/camera-settings.ts';
import { CAMERA_DEFAULTS } from '../../../shared/config/schema.ts';
import type { Message } from '../../../shared/ports.ts';
import { topics } from '../../../shared/protocol/topics.ts';

/** Lost if this fails: a switch shows what is not so, or anything on a topic changes a camera. */

function opened() {
  const said: string[] = [];
  let onMessage: (message: Message) => void = () => {};
  const names = topics();
  const settings = new CameraSettings({
    known: (camera) => (['front', 'new'].includes(camera) ? CAMERA_DEFAULTS : undefined),
    models: () => ['m'],
    kept: {},
    keep: () => {},
  });
  const observer = new SettingTopics({
    bus: {
      subscribe: async (_filter, _qos, handler) => {
        onMessage = handler;
        return async () => {};
      },
    },
    publisher: { retain: (topic, text) => void said.push(`${topic} ${text}`) },
    topics: names,
    settings,
    cameras: ['front'],
    changed: (camera, setting) => void said.push(`${camera} ${setting} changed`),
    throttledLog: { warn: (_, text) => void said.push(text) },
  });
  const set = (topic: string, text: string, retained = false) => {
    said.length = 0;
    onMessage({ topic, payload: new TextEncoder().encode(text), retained });
    return [...said];
  };
  return { observer, settings, said, set, names };
}

test('settings are published at the start, and with a camera that is seen for the first time', () => {
  const { observer, said } = opened();
  observer.start();
  expect(said).toContain('tessera/camera/front/detect/state ON');
  expect(said).toContain('tessera/camera/front/max_fps/state 0');
  said.length = 0;
  observer.cameraChanged('new');
  expect(said).toContain('tessera/camera/new/model/state all');
  said.length = 0;
  observer.cameraChanged('new');
  expect(said).toEqual([]);
});

test('settings change by messages, and what is no value is answered with the value in force', () => {
  const { observer, set, names } = opened();
  observer.start();
  const topic = names.settingSet('front', 'snapshot');
  expect(set(topic, 'OFF')).toEqual(['tessera/camera/front/snapshot/state OFF', 'front snapshot changed']);
  expect(set(topic, 'OFF')).toEqual(['tessera/camera/front/snapshot/state OFF']);
  expect(set(topic, 'maybe')).toEqual([
    'tessera/camera/front/snapshot/state OFF',
    `${topic} is ignored: snapshot is ON or OFF`,
  ]);
  expect(set(topic, 'ON', true)).toEqual([`${topic} is ignored: it is retained, and would be obeyed at every start`]);
  expect(set(names.settingSet('front', 'constructor'), 'ON')).toEqual([
    expect.stringMatching(/constructor\/set is ignored: the settings are detect, .*, model$/),
  ]);
  expect(set(names.settingSet('nobody', 'detect'), 'ON')).toEqual([
    'tessera/camera/nobody/detect/set is ignored: there is no camera nobody',
  ]);
  observer.stop();
  expect(set(topic, 'ON')).toEqual([]);
});
