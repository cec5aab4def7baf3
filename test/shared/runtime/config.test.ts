import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../shared/runtime/config.ts';
import { stateDirectory } from '../../../shared/runtime/state-directory.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-config-'));
});
afterEach(() => rm(folder, { recursive: true }));

const file = async (name: string, text: string): Promise<string> => {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
};

describe('loading the configuration', () => {
  it('finds ./tessera.yaml, and prefers $TESSERA_CONFIG, and prefers --config', async () => {
    await file('tessera.yaml', 'mqtt: {user: here}');
    const other = await file('other.yaml', 'mqtt: {user: there}');
    const third = await file('third.yaml', 'mqtt: {user: flag}');
    const user = async (sources: object) => (await loadConfig({ cwd: folder, env: {}, ...sources })).config.mqtt.user;
    expect(await user({})).toBe('here');
    expect(await user({ env: { TESSERA_CONFIG: other } })).toBe('there');
    expect(await user({ env: { TESSERA_CONFIG: other }, file: third })).toBe('flag');
  });

  it('refuses a missing file, and says where its name was set', async () => {
    await expect(loadConfig({ cwd: folder, env: { TESSERA_CONFIG: 'none.yaml' } })).rejects.toMatchObject({
      code: 'TESSERA_CONFIG',
      hint: '$TESSERA_CONFIG names this file',
    });
  });

  it('reads environment values as YAML where the key is not text, and files for _FILE', async () => {
    const secret = await file('secret', '12345\n');
    const { config, origins } = await loadConfig({
      cwd: folder,
      env: {
        TESSERA_MQTT__PASSWORD_FILE: secret,
        TESSERA_MQTT__USER: '0042',
        TESSERA_NODE__THREADS: '2',
        TESSERA_BROKER__LISTEN: '[mqtt://127.0.0.1:1884, ws://127.0.0.1:9001]',
        TESSERA_MQTT__REJECT_UNAUTHORIZED: 'false',
      },
    });
    expect(config.mqtt).toMatchObject({ password: '12345', user: '0042', reject_unauthorized: false });
    expect(config.node.threads).toBe(2);
    expect(config.broker.listen).toHaveLength(2);
    expect(origins.get('mqtt.password')).toBe('environment TESSERA_MQTT__PASSWORD_FILE');
  });

  it('refuses both a value and a file for the same key', async () => {
    const env = { TESSERA_MQTT__PASSWORD: 'a', TESSERA_MQTT__PASSWORD_FILE: await file('secret', 'b') };
    await expect(loadConfig({ cwd: folder, env })).rejects.toMatchObject({
      message: 'environment TESSERA_MQTT__PASSWORD and TESSERA_MQTT__PASSWORD_FILE both set mqtt.password',
    });
  });

  it("resolves paths in a file from the file's folder, not from where the program was started", async () => {
    await mkdir(join(folder, 'etc'));
    const path = await file('etc/t.yaml', 'models: {dir: models}\nmqtt: {ca: /abs/ca.pem}');
    const { config } = await loadConfig({ cwd: '/', env: {}, file: path });
    expect(config.models.dir).toBe(join(folder, 'etc', 'models'));
    expect(config.mqtt.ca).toBe('/abs/ca.pem');
  });

  it('gives line and column of broken YAML, with the code of the configuration', async () => {
    const path = await file('t.yaml', 'mqtt:\n  user: a\n user: b\n');
    await expect(loadConfig({ cwd: folder, env: {}, file: path })).rejects.toMatchObject({
      code: 'TESSERA_CONFIG',
      message: expect.stringMatching(/t\.yaml:3:/),
    });
  });

  it('warns of a variable that was probably meant for Tessera', async () => {
    const { warnings } = await loadConfig({
      cwd: folder,
      env: { TESSERA_MQTT_USER: 'x', TESSERA_PORT: 'tcp://1.2.3.4' },
    });
    expect(warnings).toEqual(['TESSERA_MQTT_USER is ignored; did you mean TESSERA_MQTT__USER?']);
  });
});

describe('the state directory', () => {
  it("is the one from systemd, else the system's for root, else the user's", () => {
    expect(stateDirectory({ STATE_DIRECTORY: '/var/lib/private/t:/other' })).toBe('/var/lib/private/t');
    const root = process.getuid?.() === 0;
    expect(stateDirectory({})).toBe(root ? '/var/lib/tessera' : join(homedir(), '.local', 'state', 'tessera'));
  });
});
