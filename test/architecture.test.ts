import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/**
 * The import rules of docs/architecture.md. If they are broken, decisions cannot be replayed in a test, and the parts
 * of the code cannot be changed one by one.
 */

const root = fileURLToPath(new URL('..', import.meta.url));
const LAYERS = ['shared', 'broker', 'node-agent', 'central', 'cli', 'bench', 'bundle'] as const;

/** What each layer may import; its own files are always allowed. */
const MAY_IMPORT: Readonly<Record<(typeof LAYERS)[number], readonly string[]>> = {
  shared: [],
  broker: ['shared'],
  'node-agent': ['shared'],
  central: ['shared'],
  cli: ['shared', 'broker', 'node-agent', 'central'],
  bench: ['shared', 'broker', 'node-agent', 'central', 'cli', 'bundle'],
  bundle: ['shared'],
};

/** The one file that may import each outside library; bench/ and test/ may import what they measure and test. */
const LIBRARY_HOME: Readonly<Record<string, string>> = {
  mqtt: 'shared/runtime/mqtt-connection.ts',
  'multicast-dns': 'shared/runtime/mdns.ts',
  'cbor-x': 'shared/runtime/cbor.ts',
  'onnxruntime-node': 'shared/runtime/ort.ts',
  sharp: 'shared/runtime/image.ts',
  pino: 'shared/runtime/log.ts',
  yaml: 'shared/runtime/yaml.ts',
  zod: 'shared/schema.ts',
  '@bufbuild/protobuf': 'shared/onnx/protobuf.ts',
  aedes: 'broker/broker.ts',
  ws: 'broker/websocket-upgrades.ts',
  commander: 'cli/main.ts',
  'prom-client': 'central/http/metrics.ts',
  // The page, whose files are JavaScript.
  preact: 'central/http/page',
  htm: 'central/http/page',
  'node-os-utils': 'node-agent/system-metrics.ts',
};

/**
 * Other files that may read files: the module that all others use, and those that read /proc or the program's own
 * folder.
 */
const READS_ITSELF = ['shared/runtime/file.ts', 'cli/doctor/look-at-machine.ts', 'cli/doctor/look-at-ports.ts'];

/**
 * Pure files: plain functions over plain data. All of shared but its runtime, its threads and its cameras, and the
 * cores of the processes.
 */
const PURE = [
  /^shared\/(?!runtime\/|camera\/live\/|node\/(executor|executor-worker|stage-runner|frame-input|frame-holder)\.ts$)/,
  /^central\/(coordinator|scheduler|planner|tracking|home-assistant)\//,
  /^central\/updates\/(rollout|version-state)\.ts$/,
  /^central\/(leadership\/election(-events)?|journal\/frame-tracker|ingest\/pending)\.ts$/,
  /^broker\/policy\.ts$/,
  /^cli\/flash\/(card|cmdline|cloud-init|first-boot|firstrun|install-script|partition|preseed)\.ts$/,
  /^bundle\/(archive|content|debian|launcher)\.ts$/,
  /^node-agent\/update\/(aim|trial)\.ts$/,
];

/** Files that may import each other: the two halves of one definition. */
const CIRCLES = ['shared/tiling/receptive-field.ts, shared/tiling/taps.ts'];

/** Uses of the clock and of random numbers that need no import. */
const IMPURE_CALL =
  /\b(Date\.now|new Date\(\)|performance\.|Math\.random|setTimeout|setInterval|setImmediate|process\.|crypto\.)/;

interface Source {
  readonly file: string;
  readonly text: string;
  /** Module specifiers, `import type` ones left out where `types` says so. */
  readonly imports: readonly { readonly from: string; readonly typeOnly: boolean }[];
}

function filesOf(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name.split(sep).join('/')}`);
}

function read(file: string): Source {
  const text = readFileSync(join(root, file), 'utf8');
  const imports = [
    ...text.matchAll(
      /^(?:import|export)\s(type\s)?[^'"]*?from\s+['"]([^'"]+)['"]|^import\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm,
    ),
  ];
  return {
    file,
    text,
    imports: imports.map(([, type, from, bare, dynamic]) => ({
      from: (from ?? bare ?? dynamic)!,
      typeOnly: type !== undefined,
    })),
  };
}

const sources = LAYERS.flatMap(filesOf).map(read);

/** The repository path that a relative import means; undefined for packages. */
function target(file: string, from: string): string | undefined {
  if (!from.startsWith('.')) return undefined;
  return relative(root, resolve(root, dirname(file), from))
    .split(sep)
    .join('/');
}

/** Code without comments, as words in comments are no calls. */
function codeOf(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '');
}

/** `@scope/name/sub` and `name/sub` as the package's name. */
function packageOf(from: string): string {
  return from
    .split('/')
    .slice(0, from.startsWith('@') ? 2 : 1)
    .join('/');
}

describe('architecture', () => {
  it('finds the source files', () => {
    expect(sources.length).toBeGreaterThan(50);
    expect(sources.flatMap(({ imports }) => imports).length).toBeGreaterThan(100);
  });

  it('has layers that import in one direction only; broker, node-agent and central never import one another', () => {
    const wrong = sources.flatMap(({ file, imports }) => {
      const layer = file.split('/')[0] as (typeof LAYERS)[number];
      return imports.flatMap(({ from }) => {
        const other = target(file, from)?.split('/')[0];
        const allowed = other === undefined || other === layer || MAY_IMPORT[layer].includes(other);
        return allowed || from.endsWith('package.json') ? [] : [`${file} imports ${from}`];
      });
    });
    expect(wrong).toEqual([]);
  });

  it('has no circle of imports, those of types included', () => {
    const imports = new Map(
      sources.map(({ file, imports }) => [file, imports.flatMap(({ from }) => target(file, from) ?? [])] as const),
    );
    const open: string[] = [];
    const done = new Set<string>();
    const circles = new Set<string>();
    const visit = (file: string): void => {
      if (open.includes(file)) circles.add(open.slice(open.indexOf(file)).sort().join(', '));
      if (open.includes(file) || done.has(file)) return;
      open.push(file);
      for (const next of imports.get(file) ?? []) visit(next);
      open.pop();
      done.add(file);
    };
    for (const file of imports.keys()) visit(file);
    expect([...circles].filter((circle) => !CIRCLES.some((known) => circle.includes(known)))).toEqual([]);
  });

  it('has a pure shared: nothing outside shared/runtime imports shared/runtime from within shared', () => {
    const wrong = sources
      .filter(({ file }) => PURE.some((pure) => pure.test(file)))
      .flatMap(({ file, imports }) =>
        imports
          .filter(({ from, typeOnly }) => !typeOnly && target(file, from)?.startsWith('shared/runtime/') === true)
          .map(({ from }) => `${file} imports ${from}`),
      );
    expect(wrong).toEqual([]);
  });

  it('has pure folders that reach no file, socket, clock or chance', () => {
    const wrong = sources
      .filter(({ file }) => PURE.some((pure) => pure.test(file)))
      .flatMap(({ file, text, imports }) => [
        ...imports.filter(({ from }) => from.startsWith('node:')).map(({ from }) => `${file} imports ${from}`),
        ...[...codeOf(text).matchAll(new RegExp(IMPURE_CALL, 'g'))].map(([call]) => `${file} uses ${call}`),
      ]);
    expect(wrong).toEqual([]);
  });

  it('imports each outside library in one file', () => {
    const wrong = sources.flatMap(({ file, imports }) =>
      file.startsWith('bench/')
        ? []
        : imports
            .filter(({ from }) => !from.startsWith('.') && !from.startsWith('node:'))
            .filter(({ from }) => LIBRARY_HOME[packageOf(from)] !== file)
            .map(({ from }) => `${file} imports ${from}`),
    );
    expect(wrong).toEqual([]);
  });

  it('reads files named by users in one place, which refuses pipes and devices', () => {
    const wrong = sources
      .filter(({ file }) => !file.startsWith('bench/') && !READS_ITSELF.includes(file))
      .filter(({ text }) => /\b(readFile|createReadStream)\b/.test(codeOf(text)));
    expect(wrong.map(({ file }) => `${file}: use shared/runtime/file.ts`)).toEqual([]);
  });

  it('makes nested folders with makePath: mkdir with `recursive` never returns where a folder cannot be made', () => {
    const wrong = sources.filter(({ text }) => /\bmkdir(Sync)?\([^;]*recursive: true/.test(codeOf(text)));
    expect(wrong.map(({ file }) => file)).toEqual([]);
  });

  it('names every library of package.json, so that none is added unnoticed', () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    expect(Object.keys(dependencies).sort()).toEqual(Object.keys(LIBRARY_HOME).sort());
  });

  it('exports by name, and has no file that only passes on what others export', () => {
    const wrong = sources.filter(({ text }) => /^export default/m.test(text) || /^export \*/m.test(text));
    expect(wrong.map(({ file }) => file)).toEqual([]);
  });

  it('writes relative imports with .ts, as the sources are run by both Node and vitest', () => {
    const wrong = sources.flatMap(({ file, imports }) =>
      imports
        .filter(({ from }) => from.startsWith('.') && !/\.(ts|json)$/.test(from))
        .map(({ from }) => `${file} imports ${from}`),
    );
    expect(wrong).toEqual([]);
  });

  const everyFile = new Map([...sources, ...filesOf('test').map(read)].map((source) => [source.file, source]));

  /** The files that a file imports, and those that they import where `goesOn` says so. */
  function reachOf(from: string, goesOn: (file: string) => boolean, reached = new Set<string>()): Set<string> {
    for (const { from: specifier } of everyFile.get(from)?.imports ?? []) {
      const file = target(from, specifier);
      if (file === undefined || reached.has(file)) continue;
      reached.add(file);
      if (goesOn(file)) reachOf(file, goesOn, reached);
    }
    return reached;
  }

  it('has unit tests that lie where their subject lies: test/a/b/*.test.ts uses something of a/b', () => {
    const isHarness = (file: string): boolean => /^(test\/support|bench\/sim)\//.test(file);
    const wrong = [...everyFile.keys()]
      .filter((file) => file.endsWith('.test.ts') && LAYERS.some((layer) => file.startsWith(`test/${layer}/`)))
      .filter((file) => {
        const subject = `${dirname(file).slice('test/'.length)}/`;
        return ![...reachOf(file, isHarness)].some((used) => used.startsWith(subject));
      });
    expect(wrong).toEqual([]);
  });

  it('has pure files that a unit test reaches', () => {
    const tests = [...everyFile.keys()].filter((file) => /^test\/(?!integration\/|e2e\/).*\.test\.ts$/.test(file));
    const reached = new Set(tests.flatMap((file) => [...reachOf(file, () => true)]));
    const missed = sources.filter(({ file }) => PURE.some((pure) => pure.test(file)) && !reached.has(file));
    expect(missed.map(({ file }) => file)).toEqual([]);
  });
});
