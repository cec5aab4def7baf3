import { describe, expect, it } from 'vitest';
import { type ConfigurationFacts, judgeConfiguration, type NamedFile } from '../../../cli/doctor/configuration.ts';
import { lookAtConfiguration } from '../../../cli/doctor/look-at-configuration.ts';
import { loadConfig } from '../../../shared/runtime/config.ts';
import { folderWith } from '../../support/library.ts';

const now = 1_763_650_000;
const healthy: ConfigurationFacts = {
  file: 'tessera.yaml',
  failures: [],
  warnings: [],
  files: [],
  unknownModels: [],
  now,
};
const file: NamedFile = {
  key: 'mqtt.ca',
  path: 'ca.pem',
  problem: undefined,
  isKey: false,
  mode: 0o644,
  endsAt: now + 90 * 86_400,
};
const judgeFile = (facts: Partial<NamedFile>) =>
  judgeConfiguration({ ...healthy, files: [{ ...file, ...facts }] }).find(({ name }) => name === 'mqtt.ca')!;

describe('the configuration', () => {
  it('without faults has nothing to fix', () => {
    expect(judgeConfiguration({ ...healthy, files: [file] }).map(({ status }) => status)).toEqual(['ok', 'ok']);
  });

  it('names certificates that ended or will end, files that cannot be read, and keys that others may read', () => {
    expect(judgeFile({ endsAt: now - 86_400 }).status).toBe('fail');
    expect(judgeFile({ endsAt: now + 5 * 86_400 }).status).toBe('warn');
    expect(judgeFile({ problem: 'ENOENT' }).status).toBe('fail');
    expect(judgeFile({ isKey: true, endsAt: undefined }).status).toBe('warn');
    expect(judgeFile({ isKey: true, endsAt: undefined, mode: 0o600 }).status).toBe('ok');
  });

  it('that is wrong in several places has a finding for each, with its source; flags still apply', async () => {
    const folder = await folderWith({ 'tessera.yaml': 'mqtt: {server: nowhere}\nlog: {level: loud}\n' });
    const flags = [{ path: ['mqtt', 'server'], value: 'mqtt://10.0.0.1', origin: 'flag --broker' }];
    const load = () => loadConfig({ cwd: folder, env: {}, flags: [] });
    const { facts, loaded } = await lookAtConfiguration(load, flags);
    const checks = judgeConfiguration(facts).filter(({ status }) => status === 'fail');
    expect(checks.map(({ text }) => text)).toEqual([
      expect.stringMatching(/file .*tessera\.yaml: mqtt\.server is "nowhere"/),
      expect.stringMatching(/file .*tessera\.yaml: log\.level is "loud"/),
    ]);
    expect(checks.every(({ fix }) => fix !== undefined && fix !== '')).toBe(true);
    expect(loaded.config.mqtt.server).toBe('mqtt://10.0.0.1');
  });

  it('that names files and models that do not exist has a finding for each', async () => {
    const folder = await folderWith({
      'tessera.yaml': 'mqtt: {ca: ca.pem, key: key.pem}\ncameras: {front: {models: [nobody, scenes]}}\n',
      'key.pem': 'hello',
    });
    const { facts } = await lookAtConfiguration(() => loadConfig({ cwd: folder, env: {} }), []);
    expect(facts.files.map(({ key, problem }) => [key, problem])).toEqual([
      ['mqtt.ca', expect.stringContaining('ENOENT')],
      ['mqtt.key', expect.stringContaining('PEM')],
    ]);
    expect(facts.unknownModels).toEqual([{ camera: 'front', model: 'nobody' }]);
  });
});
