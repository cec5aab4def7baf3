import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { METRIC_FAMILIES } from '../central/http/metric-families.ts';
import { parseYaml } from '../shared/runtime/yaml.ts';
import { repositoryFile, repositoryPath } from './support/examples.ts';

/** docs/examples: files that somebody copies have to be valid, and have to name metrics that exist. */

const FOLDER = 'docs/examples/monitoring';
const yaml = (file: string): unknown => parseYaml(repositoryFile(`${FOLDER}/${file}`), file, 'TESSERA_CONFIG');

describe('docs/examples/monitoring', () => {
  it('is valid YAML, and mounts files that are there', () => {
    for (const file of ['prometheus.yaml', 'grafana/datasource.yaml', 'grafana/dashboards.yaml'])
      expect(yaml(file), file).toBeTypeOf('object');
    const { services } = yaml('compose.yaml') as { services: Record<string, { volumes?: string[] }> };
    expect(Object.keys(services)).toEqual(['mosquitto', 'tessera', 'prometheus', 'grafana']);
    const mounted = Object.values(services).flatMap(({ volumes = [] }) => volumes.map((one) => one.split(':')[0]!));
    for (const file of mounted.filter((one) => one.startsWith('./'))) repositoryFile(`${FOLDER}/${file}`);
  });

  it('has a dashboard of metrics that exist', () => {
    const names = new Set(METRIC_FAMILIES.map(({ name }) => `tessera_${name}`));
    names.add('tessera_frame_latency_seconds_bucket');
    const { panels } = JSON.parse(repositoryFile(`${FOLDER}/grafana/tessera.json`)) as {
      panels: { targets: { expr: string }[] }[];
    };
    const used = panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => expr.match(/tessera_\w+/g) ?? []));
    expect(used.length).toBeGreaterThan(panels.length);
    expect(used.filter((name) => !names.has(name))).toEqual([]);
  });

  const hasPromtool = spawnSync('promtool', ['--version']).error === undefined;
  it.skipIf(!hasPromtool)('has a configuration that Prometheus takes (Debian package prometheus)', () => {
    const file = repositoryPath(`${FOLDER}/prometheus.yaml`);
    expect(spawnSync('promtool', ['check', 'config', file]).status).toBe(0);
  });
});

describe('docs/examples/esp32-cam', () => {
  const hasCompiler = spawnSync('g++', ['--version']).error === undefined;
  it.skipIf(!hasCompiler)('compiles, and publishes each picture whole on the input topic (g++)', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tessera-esp32-'));
    try {
      const program = `#include "${repositoryPath('docs/examples/esp32-cam/esp32-cam.ino')}"\nint main() { setup(); loop(); loop(); }\n`;
      const args = [
        '-x',
        'c++',
        '-std=c++17',
        '-Wall',
        '-I',
        repositoryPath('test/data/arduino'),
        '-o',
        `${folder}/cam`,
      ];
      const compiled = spawnSync('g++', [...args, '-'], { input: program, encoding: 'utf8' });
      expect(compiled.stderr).toBe('');
      const frame = 'publish tessera/input/yard, 40000 bytes\nwrite 40000\nend\nreturned\ndelay 200\n';
      expect(spawnSync(`${folder}/cam`, { encoding: 'utf8' }).stdout).toBe(
        `wifi home\nserver 10.0.0.5:1883\nconnect camera-yard as camera-yard\n${frame}${frame}`,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
