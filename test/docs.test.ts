import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseProfile } from '../central/planner/profile/parse.ts';
import { problemOfProfile } from '../central/planner/profile/problem.ts';
import { changesOf } from '../central/planner/query/changes.ts';
import { type Ask, rank } from '../central/planner/query/rank.ts';
import { exhaustive } from '../central/planner/strategies/exhaustive.ts';
import { COMMANDS } from '../cli/commands.ts';
import { reportLines } from '../cli/plan/report.ts';
import { SCHEMAS } from '../cli/schemas.ts';
import { resolveConfig, settingsOfTree } from '../shared/config/layers.ts';
import { configSchema } from '../shared/config/schema.ts';
import { ERROR_CODES } from '../shared/errors.ts';
import { parseCard } from '../shared/model/card.ts';
import { cardSchema, DECODERS } from '../shared/model/card-schema.ts';
import { BOX_FIELDS } from '../shared/model/heads/box-readers.ts';
import { NAMED_LABELS } from '../shared/model/named-labels.ts';
import { topics } from '../shared/protocol/topics.ts';
import { decode, encode } from '../shared/runtime/cbor.ts';
import { parseYaml } from '../shared/runtime/yaml.ts';
import { z } from '../shared/schema.ts';
import { examplesOf, markdownFiles, repositoryFile, repositoryPath } from './support/examples.ts';

/** Wrong documentation is worse than none: every example in it has to be accepted by the code. */

const FILES = ['config', 'model', 'plan', 'profile'];

describe.each([
  { file: 'docs/protocol.md', has: (name: string) => !name.startsWith('api-') },
  { file: 'docs/window.md', has: (name: string) => name.startsWith('api-') },
])('$file', ({ file, has }) => {
  const examples = examplesOf(file);

  it.each(examples)('line $line: the example of $schema is one', ({ schema, value }) => {
    const named = SCHEMAS[schema];
    expect(named, `schema ${schema}`).toBeDefined();
    const parsed = named!.schema.parse(value);
    // Equal: the schema knows every key of the example.
    expect(parsed).toEqual(value);
    if (named!.what.includes('CBOR')) expect(decode(encode(value), named!.schema, schema)).toEqual(value);
  });

  it('has an example of every payload under a heading of its name', () => {
    const text = repositoryFile(file);
    const shown = new Set(examples.map(({ schema }) => schema));
    for (const name of Object.keys(SCHEMAS).filter((name) => !FILES.includes(name) && has(name))) {
      expect(shown, name).toContain(name);
      expect(text, name).toContain(`\n### ${name}\n`);
    }
  });
});

describe('docs/protocol.md', () => {
  it('lists every topic', () => {
    const text = repositoryFile('docs/protocol.md');
    const named = topics('tessera');
    const shown = [
      named.status,
      named.centralStatus('<id>'),
      named.centralKey('<id>'),
      named.input('<camera>'),
      named.result('<camera>', '<model>'),
      named.label('<camera>', '<model>'),
      named.tensor('<camera>', '<model>'),
      named.snapshot('<camera>', '<model>'),
      named.crop('<camera>', '<model>'),
      named.count('<camera>', '<model>', '<label>'),
      named.objectEvent('<camera>'),
      named.setting('<camera>', '<setting>'),
      named.settingSet('<camera>', '<setting>'),
      named.cameraStatus('<camera>'),
      named.nodeStatus('<node>'),
      named.nodeInfo('<node>'),
      named.heartbeat('<node>'),
      named.nodeHealth('<node>'),
      named.nodeUpdate('<node>'),
      named.nodeVersion('<node>'),
      named.centralVersion('central'),
      named.centralDrained('<id>'),
      named.update,
      named.stats,
      named.plan('<model>'),
      named.trace('<camera>'),
      named.request('<command>'),
      named.response('<command>'),
      ...(['work', 'result', 'tensor', 'control', 'frame', 'blob-get', 'blob-part', 'echo'] as const).map((kind) =>
        named.wire('<to>', kind, '<from>'),
      ),
    ];
    for (const topic of shown) expect(text).toContain(`\`${topic}`);
  });
});

describe('README.md', () => {
  const text = repositoryFile('README.md');

  it('lists in its table exactly the commands that exist', () => {
    const rows = [...text.matchAll(/^\| (`[a-z ]+`(?:, `[a-z ]+`)*) \|/gm)];
    const listed = rows.flatMap(([, cell]) => [...cell!.matchAll(/`([a-z ]+)`/g)].map(([, name]) => name!));
    expect(listed.sort()).toEqual(COMMANDS.map(({ name }) => name).sort());
  });
});

describe('every document', () => {
  const documents = markdownFiles().map((file) => ({ file, text: repositoryFile(file) }));

  it('links to files that exist', () => {
    const dead = documents.flatMap(({ file, text }) =>
      [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)]
        .map(([, link]) => join(dirname(file), link!))
        .filter((path) => !existsSync(repositoryPath(path)))
        .map((path) => `${file}: ${path}`),
    );
    expect(dead).toEqual([]);
  });

  it('uses commands and options that exist', async () => {
    const wrong: string[] = [];
    for (const { file, text } of documents) {
      for (const [, line] of text.matchAll(/(?:npx tessera|(?<=[`$ ])tessera) ([a-z][^\n`|&)]*)/g)) {
        const problem = await problemOf(line!.split(' '));
        if (problem !== undefined) wrong.push(`${file}: tessera ${line}: ${problem}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

/** What is wrong with a command line in a document; undefined if nothing is. */
async function problemOf(words: readonly string[]): Promise<string | undefined> {
  const find = (name: string) => COMMANDS.find((entry) => entry.name === name);
  const entry = find(words.slice(0, 2).join(' ')) ?? find(words[0]!);
  if (entry === undefined) {
    return COMMANDS.some(({ name }) => name.startsWith(`${words[0]} `)) ? undefined : 'no such command';
  }
  const { command } = await entry.load();
  const known = Object.values(command.options).map(({ flags }) => flags.split(' ')[0]!);
  const options = words.filter((word) => word.startsWith('--')).map((word) => word.replace(/[^a-z]+$/, ''));
  return options.find((option) => !['--config', '--json', '--help', ...known].includes(option));
}

describe('config/tessera.example.yaml', () => {
  const text = repositoryFile('config/tessera.example.yaml');
  const settings = settingsOfTree(parseYaml(text, 'example', 'TESSERA_CONFIG'), 'file');

  it('has the defaults only, so that copying it changes nothing', () => {
    expect(resolveConfig([settings]).config).toEqual(resolveConfig([]).config);
  });

  it('shows every key', () => {
    const keys = (schema: object): string[] =>
      Object.entries((schema as { properties?: object }).properties ?? {}).flatMap(([key, child]) => [
        key,
        ...keys(child),
      ]);
    const schema = z.toJSONSchema(configSchema, { io: 'input' });
    const camera = (schema.properties!.cameras as { additionalProperties: object }).additionalProperties;
    for (const key of [...keys(schema), ...keys(camera)]) expect(text, key).toMatch(new RegExp(`\\b${key}:`));
  });
});

describe('docs/security.md', () => {
  it('shows valid configurations', () => {
    const blocks = [...repositoryFile('docs/security.md').matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(
      ([, text]) => text!,
    );
    expect(blocks.length).toBeGreaterThan(3);
    for (const text of blocks) resolveConfig([settingsOfTree(parseYaml(text, 'example', 'TESSERA_CONFIG'), 'example')]);
  });
});

describe('docs/calibration.md', () => {
  it('shows what model.yaml accepts', () => {
    const [, block] = /^```yaml\n([\s\S]*?)^```$/m.exec(repositoryFile('docs/calibration.md'))!;
    const shown = parseYaml(block!, 'example', 'TESSERA_MODEL_CARD') as object;
    expect(parseCard({ name: 'example', task: 'classify', ...shown }, 'example').calibrated).toHaveLength(1);
  });
});

describe('docs/models.md', () => {
  const text = repositoryFile('docs/models.md');
  type Described = { description?: string; properties?: Record<string, Described>; items?: Described };
  const schema = z.toJSONSchema(cardSchema, { io: 'input' }) as Described;
  const keys = (at: Described, path = ''): [string, Described][] =>
    Object.entries(at.properties ?? at.items?.properties ?? {}).flatMap(([key, child]) => [
      [`${path}${key}`, child] as [string, Described],
      ...keys(child, `${path}${key}.`),
    ]);

  it('shows valid cards, with every key', () => {
    const blocks = [...text.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, block]) => block!);
    const shown = blocks.map((block) => parseYaml(block, 'docs/models.md', 'TESSERA_MODEL_CARD') as object);
    expect(shown.length).toBeGreaterThan(8);
    for (const value of shown) parseCard({ name: 'example', task: 'classify', ...value }, 'docs/models.md');
    // sha256 is written by `model add`.
    const without = keys(schema).filter(
      ([path]) => !blocks.some((block) => block.includes(`${path.split('.').at(-1)}:`)),
    );
    expect(without.map(([path]) => path)).toEqual(['sha256']);
  });

  it('explains every key, decoder and field, and so does the schema', () => {
    const explained = (name: string) => text.includes(`\`${name}\``);
    const silent = keys(schema).filter(([path, { description }]) => {
      return description === undefined || !explained(path.split('.').at(-1)!);
    });
    expect(silent.map(([path]) => path)).toEqual([]);
    for (const name of [...DECODERS, ...BOX_FIELDS, ...Object.keys(NAMED_LABELS)])
      expect(text).toContain(`\`${name}\``);
  });
});

describe('docs/planning.md', () => {
  it('shows a profile, and what `tessera plan` answers to it', async () => {
    const [example] = examplesOf('docs/planning.md');
    const problem = problemOfProfile(parseProfile(example!.value), undefined, { top: 50 });
    const ask: Ask = async (of) => [
      { strategy: 'exhaustive', proposed: exhaustive.propose(of), compared: exhaustive.compared!(of) },
    ];
    const ranking = rank(problem, await ask(problem));
    const changes = await changesOf(problem, ranking.ranked.slice(0, 3), ask);
    const [, shown] = /^```text plan\n([\s\S]*?)^```$/m.exec(repositoryFile('docs/planning.md'))!;
    expect(reportLines(problem, ranking, 3, changes).join('\n')).toBe(shown!.trimEnd());
  });
});

describe('docs/compatibility.md', () => {
  it('lists every error code with its meaning, and whether to try again', () => {
    const text = repositoryFile('docs/compatibility.md');
    const listed = [...text.matchAll(/^\| `(TESSERA_[A-Z_]+)` \| (.+) \| (yes|no) \|$/gm)];
    const entries = listed.map(([, code, meaning, retry]) => [code, { text: meaning, retryable: retry === 'yes' }]);
    expect(Object.fromEntries(entries)).toEqual(ERROR_CODES);
  });
});
