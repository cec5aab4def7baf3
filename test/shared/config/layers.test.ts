import { describe, expect, it } from 'vitest';
import { meaningOfVariable, resolveConfig, type Setting, settingsOfTree } from '../../../shared/config/layers.ts';
import { CAMERA_DEFAULTS, configSchema } from '../../../shared/config/schema.ts';
import { shownSettings } from '../../../shared/config/show.ts';
import { TesseraError } from '../../../shared/errors.ts';

function failureOfConfig(run: () => unknown): { code: string; message: string; hint: string | undefined } {
  try {
    run();
  } catch (error) {
    if (error instanceof TesseraError) return { code: error.code, message: error.message, hint: error.hint };
    throw error;
  }
  throw new Error('nothing was thrown');
}

const set = (path: string, value: unknown, origin: string): Setting => ({ path: path.split('.'), value, origin });

describe('configuration in layers', () => {
  it('needs no file: every default exists and is marked as one', () => {
    const { config, origins } = resolveConfig([]);
    expect(config.mqtt.server).toBe('mqtt://127.0.0.1:1883');
    expect(config.broker).toMatchObject({ listen: ['mqtt://127.0.0.1:1883'], anonymous: 'loopback' });
    expect(config.node).toEqual({ id: 'auto', tier: 'edge', threads: 'auto', memory_mb: 'auto', trusted_keys: [] });
    expect(config.accept_unlisted_cameras).toBe(true);
    expect(new Set(origins.values())).toEqual(new Set(['default']));
  });

  it('lets the later layer win, key by key, and records origins', () => {
    const { config, origins } = resolveConfig([
      settingsOfTree({ mqtt: { server: 'mqtt://a:1', user: 'file' }, log: { level: 'warn' } }, 'file t.yaml'),
      [set('mqtt.user', 'env', 'environment TESSERA_MQTT__USER')],
      [set('mqtt.server', 'mqtt://b:2', 'flag --broker')],
    ]);
    expect(config.mqtt).toMatchObject({ server: 'mqtt://b:2', user: 'env', base_topic: 'tessera' });
    expect(Object.fromEntries(origins)).toMatchObject({
      'mqtt.server': 'flag --broker',
      'mqtt.user': 'environment TESSERA_MQTT__USER',
      'log.level': 'file t.yaml',
      'mqtt.base_topic': 'default',
    });
  });

  it('accepts an empty section and an empty camera', () => {
    const { config } = resolveConfig([
      settingsOfTree({ mqtt: null, cameras: { front: null, back: { max_fps: 5 } } }, 'file'),
    ]);
    expect(config.cameras.front).toMatchObject({
      models: [],
      keep: 'newest',
      deadline: 'wait',
      deadline_ms: 500,
      hold: 3,
      offline_after_s: 30,
    });
    expect(config.cameras.front).toEqual(CAMERA_DEFAULTS);
    expect(config.cameras.back?.max_fps).toBe(5);
  });

  it('names the nearest key for a wrong one, also when it stands in the wrong section', () => {
    expect(failureOfConfig(() => settingsOfTree({ mqtt: { sever: 'x' } }, 'file t.yaml'))).toEqual({
      code: 'TESSERA_CONFIG',
      message: 'file t.yaml: unknown key mqtt.sever',
      hint: 'did you mean mqtt.server?',
    });
    expect(failureOfConfig(() => settingsOfTree({ password: 'x' }, 'f')).hint).toBe('did you mean mqtt.password?');
    expect(failureOfConfig(() => settingsOfTree({ cameras: { a: { max_fsp: 1 } } }, 'f')).hint).toBe(
      'did you mean cameras.a.max_fps?',
    );
    expect(failureOfConfig(() => settingsOfTree({ log: { zzz: 1 } }, 'f')).hint).toBe('log has the keys level, format');
  });

  it('reports field, value, origin and accepted values', () => {
    const wrong = (path: string, value: unknown) =>
      failureOfConfig(() => resolveConfig([[set(path, value, 'file t.yaml')]]));
    expect(wrong('mqtt.maximum_packet_size', 'big')).toEqual({
      code: 'TESSERA_CONFIG',
      message: 'file t.yaml: mqtt.maximum_packet_size is "big"',
      hint: 'expected a number',
    });
    expect(wrong('node.threads', 'many').hint).toBe('expected "auto", or a number');
    expect(wrong('node.tier', 'moon').hint).toBe('expected "device" or "edge" or "cloud"');
    expect(wrong('broker.listen', ['1883']).message).toBe('file t.yaml: broker.listen.0 is "1883"');
    expect(wrong('cameras.a/b', {}).hint).toMatch(/1 to 64/);
    expect(failureOfConfig(() => settingsOfTree({ mqtt: 'mqtt://x' }, 'f')).message).toBe('f: mqtt is "mqtt://x"');
    expect(failureOfConfig(() => resolveConfig([settingsOfTree({ version: 2 }, 'f')])).hint).toBe('expected 1');
  });
});

describe('environment variables', () => {
  it('are keys with double underscores', () => {
    expect(meaningOfVariable('TESSERA_MQTT__PASSWORD', [])).toEqual({
      kind: 'value',
      path: ['mqtt', 'password'],
      text: true,
    });
    expect(meaningOfVariable('TESSERA_NODE__THREADS', [])).toMatchObject({ kind: 'value', text: false });
    expect(meaningOfVariable('TESSERA_ACCEPT_UNLISTED_CAMERAS', [])).toMatchObject({
      kind: 'value',
      path: ['accept_unlisted_cameras'],
    });
    expect(meaningOfVariable('TESSERA_CAMERAS__FRONT__MAX_FPS', ['Front'])).toMatchObject({
      path: ['cameras', 'Front', 'max_fps'],
    });
  });

  it('name a file with the suffix _FILE', () => {
    expect(meaningOfVariable('TESSERA_MQTT__PASSWORD_FILE', [])).toMatchObject({
      kind: 'file',
      path: ['mqtt', 'password'],
    });
  });

  it('that are wrong are an error, but not those that Kubernetes sets for a service named tessera', () => {
    expect(failureOfConfig(() => meaningOfVariable('TESSERA_MQTT__PASWORD', [])).hint).toBe(
      'did you mean TESSERA_MQTT__PASSWORD?',
    );
    expect(meaningOfVariable('TESSERA_SERVICE_HOST', [])).toEqual({ kind: 'other', suggestion: undefined });
    expect(meaningOfVariable('TESSERA_CONFIG', [])).toEqual({ kind: 'other', suggestion: undefined });
    expect(meaningOfVariable('TESSERA_MQTT_PASSWORD', [])).toEqual({
      kind: 'other',
      suggestion: 'TESSERA_MQTT__PASSWORD',
    });
    expect(meaningOfVariable('PATH', [])).toEqual({ kind: 'other', suggestion: undefined });
  });
});

describe('showing a configuration', () => {
  it('hides secrets, also those in URLs', () => {
    const resolved = resolveConfig([
      settingsOfTree({ mqtt: { password: 'hunter2', server: 'mqtt://u:hunter2@cam:1' } }, 'f'),
    ]);
    const text = JSON.stringify(shownSettings(resolved));
    expect(text).not.toContain('hunter2');
    expect(text).toContain('mqtt://u:***@cam:1');
  });

  it('hides them in errors too', () => {
    for (const mqtt of [
      { password: 12345678 },
      { server: 'mqtt:/u:12345678@host' },
      { server: ':12345678@host' },
      { server: 'http://u:12345678@host' },
      { server: 'u:12345678@host' },
      { server: ['mqtt://u:12345678@host'] },
    ]) {
      const { message, hint } = failureOfConfig(() => resolveConfig([settingsOfTree({ mqtt }, 'f')]));
      expect(`${message} ${hint}`).toMatch(/mqtt\.(password|server)/);
      expect(`${message} ${hint}`).not.toContain('12345678');
    }
  });

  it('hides them in suggestions', () => {
    for (const tree of [{ mqtt: 'mqtt://u:12345678@host' }, { broker: { listen: 'mqtt://u:12345678@host' } }]) {
      const { message, hint } = failureOfConfig(() => resolveConfig([settingsOfTree(tree, 'f')]));
      expect(`${message} ${hint}`).not.toContain('12345678');
    }
  });

  it('has a value for every key of the schema that has a default', () => {
    const keys = shownSettings(resolveConfig([])).map(({ key }) => key);
    expect(keys).toContain('models.dir');
    for (const section of Object.keys(configSchema.shape))
      expect(keys.some((key) => key.split('.')[0] === section)).toBe(true);
  });
});
