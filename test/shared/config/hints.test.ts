import { describe, expect, it } from 'vitest';
import { meaningOfVariable, resolveConfig, settingsOfTree } from '../../../shared/config/layers.ts';
import { otherWords } from '../../../shared/config/other-words.ts';
import { configSchema } from '../../../shared/config/schema.ts';
import { TesseraError } from '../../../shared/errors.ts';
import { loadConfig } from '../../../shared/runtime/config.ts';
import { utf8 } from '../../../shared/runtime/file.ts';
import { parseYaml } from '../../../shared/runtime/yaml.ts';

/** Hints for configurations that are written in another program's style. */
function told(yaml: string): string {
  try {
    resolveConfig([settingsOfTree(parseYaml(yaml, 't.yaml', 'TESSERA_CONFIG'), 'file t.yaml')]);
  } catch (error) {
    if (error instanceof TesseraError) return `${error.message}\n${error.hint}`;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('keys of other programs', () => {
  it.each([
    ['mqtt: {host: pi}', 'mqtt.server', 'mqtt://HOST:1883'],
    ['mqtt: {port: 1884}', 'mqtt.server', 'mqtt://HOST:PORT'],
    ['mqtt: {url: mqtt://pi}', 'mqtt.server', 'URL'],
    ['mqtt: {username: a}', 'mqtt.user'],
    ['mqtt: {pass: a}', 'mqtt.password'],
    ['mqtt: {topic_prefix: a}', 'mqtt.base_topic'],
    ['mqtt: {tls: true}', 'mqtt.server', 'mqtts://'],
    ['mqtt: {cafile: a}', 'mqtt.ca'],
    ['mqtt: {client_id: a}', 'made by Tessera'],
    ['broker: {port: 1883}', 'broker.listen'],
    ['broker: {allow_anonymous: true}', 'broker.anonymous'],
    ['node: {cores: 2}', 'node.threads'],
    ['cameras: {front: {fps: 5}}', 'cameras.front.max_fps'],
    ['logging: {level: debug}', 'log.level'],
    ['server: pi', 'mqtt.server'],
    ['mqtt: {sever: pi}', 'did you mean mqtt.server?'],
    ['mqtt: {frobnicate: 1}', 'mqtt has the keys server, user'],
  ])('%s is refused with the right key', (yaml, ...words) => {
    const text = told(yaml);
    expect(text).toMatch(/unknown key /);
    for (const word of words) expect(text).toContain(word);
  });

  it.each([
    ['dashboard: {enabled: true}', 'write http, as http: { enabled: true }'],
    ['http: {bind: 0.0.0.0}', 'did you mean http.host?'],
    ['cameras: {front: {motion: true}}', 'it needs a `source`, which this camera has not'],
    ['cameras: {front: {source: synthetic, heartbeat_s: 3}}', 'it needs `motion: true`'],
    ['cameras: {front: {source: "-"}}', 'standard input is for the command line'],
  ])('%s, which would have no effect, is refused with that reason', (yaml, sentence) => {
    expect(told(yaml)).toContain(sentence);
  });

  it('name only existing keys', () => {
    const sections = ['mqtt', 'broker', 'central', 'node', 'models', 'log'] as const;
    for (const word of [
      'host',
      'user',
      'username',
      'cafile',
      'keyfile',
      'certfile',
      'name',
      'cores',
      'memory',
      'path',
      'level',
      'verbose',
      'key',
    ])
      for (const path of [[word], ...sections.map((section) => [section, word])]) {
        const key = otherWords(path)?.key;
        if (key === undefined) continue;
        const [section = '', name] = key.split('.');
        expect(Object.keys(configSchema.shape)).toContain(section);
        const keys = resolveConfig([]).config;
        if (name !== undefined && !['user', 'password', 'ca', 'cert', 'key', 'agreement', 'signing_key'].includes(name))
          expect(keys[section as 'mqtt']).toHaveProperty(name);
      }
  });
});

describe('values that are nearly right', () => {
  it.each([
    ['central: {standby: yes}', 'central.standby is "yes"', 'expected true or false', 'write true'],
    ['central: {standby: On}', 'write true'],
    ['mqtt: {reject_unauthorized: 0}', 'mqtt.reject_unauthorized is 0', 'write false'],
    ['accept_unlisted_cameras: "false"', 'write false without quotes'],
    ['mqtt: {user: 0042}', 'expected text', 'into quotes'],
    ['mqtt: {password: 12345}', 'mqtt.password is not what is expected', 'into quotes'],
    ['mqtt: {server: "pi:1883"}', 'write mqtt://pi:1883'],
    ['mqtt: {server: "tcp://pi"}', 'write mqtt://pi'],
    ['mqtt: {server: "ssl://pi"}', 'write mqtts://pi'],
    ['broker: {listen: "mqtt://0.0.0.0:1883"}', 'expected a list', 'write [mqtt://0.0.0.0:1883]'],
    ['broker: {anonymous: loopbak}', 'did you mean loopback?'],
    ['node: {threads: "4"}', 'expected "auto", or a number', 'write 4 without quotes'],
    ['node: {memory_mb: 500MB}', 'write 500 without "MB"'],
    ['broker: {keep_frames_s: 60s}', 'write 60 without "s"'],
    // The advice has the same meaning as the original.
    ['broker: {keep_frames_s: 5 min}', 'write 300 without "min"'],
    ['node: {memory_mb: 2GB}', 'write 2000 without "GB"'],
    ['central: {audit_share: 10%}', 'write 0.1 without "%"'],
    ['models: {agreement: "99%"}', 'write 0.99 without "%"'],
    ['broker: {keep_frames_s: 2 weeks}', 'write a number without "weeks"'],
    ['broker: {keep_frames_s: 99999}', 'expected at most 3600'],
    ['models: {agreement: 99}', 'expected at most 1', '99 % is 0.99'],
    ['cameras: [front, back]', 'cameras: { front: {}, back: {} }'],
    ['cameras: {front: {models: person}}', 'write [person]'],
    ['log: debug', 'log: { level: debug }'],
    ['mqtt: pi', 'mqtt: { server: mqtt://pi }'],
  ])('%s is refused with key, value, accepted values and a correction', (yaml, ...words) => {
    const text = told(yaml);
    for (const word of words) expect(text).toContain(word);
  });
});

describe('files that are nearly YAML', () => {
  it.each([
    ['mqtt:\n  user: a\n---\nlog: {}\n', ':3:1: a second document begins here', 'one YAML document'],
    ['mqtt:\n\tuser: a\n', ':2:1: the line is indented by a tab', 'by spaces'],
    ['log: {}\nlog: {level: info}\n', ':2:1: Map keys must be unique', 'keep one'],
  ])('%j is refused with its position and a fix', (yaml, ...words) => {
    const text = told(yaml);
    for (const word of words) expect(text).toContain(word);
  });

  it('are read as UTF-8, with or without a byte order mark; other encodings are named', () => {
    expect(utf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61))).toBe('a');
    expect(utf8(new TextEncoder().encode('Küche'))).toBe('Küche');
    expect(() => utf8(Uint8Array.of(0xff, 0xfe, 0x61, 0))).toThrow('UTF-16');
    expect(() => utf8(Uint8Array.of(0x61, 0x0a, 0x4b, 0xfc, 0x63))).toThrow('line 2; perhaps Latin-1');
  });
});

describe('environment variables that are nearly right', () => {
  it.each([
    ['TESSERA_MQTT_PASSWORD', 'TESSERA_MQTT__PASSWORD'],
    ['TESSERA_MQTT_PASSWORD_FILE', 'TESSERA_MQTT__PASSWORD_FILE'],
    ['TESSERA_MQTT_USERNAME', 'TESSERA_MQTT__USER'],
    ['TESSERA_PASSWORD', 'TESSERA_MQTT__PASSWORD'],
    ['TESSERA_LOG_LEVEL', 'TESSERA_LOG__LEVEL'],
    // Variables of a service named tessera or tessera-mqtt, as Kubernetes sets them.
    ['TESSERA_PORT', undefined],
    ['TESSERA_SERVICE_PORT', undefined],
    ['TESSERA_MQTT_SERVICE_HOST', undefined],
    ['TESSERA_MQTT_PORT', undefined],
    ['TESSERA_MQTT_PORT_1883_TCP', undefined],
  ])('%s is ignored, and %s named', (name, suggestion) => {
    expect(meaningOfVariable(name, [])).toEqual({ kind: 'other', suggestion });
  });

  it.each([
    ['TESSERA_MQTT__HOST', 'did you mean TESSERA_MQTT__SERVER?'],
    ['TESSERA_HTTP__BIND', 'did you mean TESSERA_HTTP__HOST?'],
  ])('%s is refused', (name, hint) => {
    expect(() => meaningOfVariable(name, [])).toThrow(
      expect.objectContaining({ code: 'TESSERA_CONFIG', hint: expect.stringContaining(hint) }),
    );
  });

  it('a missing file is named, with the variable', async () => {
    const env = { TESSERA_MQTT__PASSWORD_FILE: '/nonexistent/password' };
    await expect(loadConfig({ env, cwd: '/nonexistent' })).rejects.toMatchObject({
      code: 'TESSERA_CONFIG',
      message: 'TESSERA_MQTT__PASSWORD_FILE names /nonexistent/password, which cannot be read',
      hint: 'there is no such file: make it, or unset TESSERA_MQTT__PASSWORD_FILE',
    });
  });
});
