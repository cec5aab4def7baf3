import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../cli/commands.ts';
import { meaningOfVariable } from '../shared/config/layers.ts';
import { parseYaml } from '../shared/runtime/yaml.ts';
import { repositoryFile, repositoryPath } from './support/examples.ts';

/** Lost if these fail: an image without a part of the program, or a compose file that starts nothing. */

interface Service {
  readonly image: string;
  readonly command: readonly string[];
  readonly network_mode?: string;
  readonly depends_on?: Readonly<Record<string, unknown>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes: readonly string[];
}

describe.each(readdirSync(repositoryPath('config/compose')))('config/compose/%s', (name) => {
  const file = parseYaml(repositoryFile(`config/compose/${name}`), name, 'TESSERA_CONFIG') as {
    readonly services: Readonly<Record<string, Service>>;
    readonly volumes: Readonly<Record<string, unknown>>;
  };

  it('runs commands that exist, each with a volume of its own, and sets variables that mean something', () => {
    const own: string[] = [];
    for (const { image, command, environment = {}, volumes } of Object.values(file.services)) {
      expect(image).toBe('tessera');
      expect(COMMANDS.map(({ name }) => name)).toContain(command[0]);
      for (const variable of Object.keys(environment))
        expect(meaningOfVariable(variable, []), variable).toMatchObject({ path: expect.anything() });
      own.push(volumes[0]!.split(':')[0]!);
    }
    expect(own.toSorted()).toEqual(Object.keys(file.volumes).toSorted());
    expect(new Set(own).size).toBe(own.length);
  });

  it('names only services that it has', () => {
    const names = Object.keys(file.services);
    for (const { network_mode, depends_on = {} } of Object.values(file.services)) {
      if (network_mode !== undefined) expect(names).toContain(network_mode.replace('service:', ''));
      for (const other of Object.keys(depends_on)) expect(names).toContain(other);
    }
  });
});

it('the Containerfile copies everything that is compiled, and .dockerignore lets it through', () => {
  const copied = [...repositoryFile('Containerfile').matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, sources]) =>
    sources!.split(' '),
  );
  const { include } = JSON.parse(repositoryFile('tsconfig.build.json')) as { include: string[] };
  expect(copied).toEqual(expect.arrayContaining([...include, 'config', 'package.json', 'package-lock.json']));
  const ignored = repositoryFile('.dockerignore').trim().split('\n');
  expect(ignored.slice(1).toSorted()).toEqual(copied.map((source) => `!${source}`).toSorted());
});
