import { readdirSync } from 'node:fs';
import { describe, expect, type TestContext, test } from 'vitest';
import { Deployment, eventually, kill, pictures, type TestBroker } from '../../bench/testbed/deployment.ts';
import type { RunningCli } from '../../bench/testbed/run-cli.ts';
import { publishFrame } from '../../cli/frames.ts';
import type { Bus } from '../../shared/ports.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import { type SmallDisk, smallDisk } from '../support/small-disk.ts';

/**
 * Central's disk is full, before it starts or while frames arrive. If one of these fails, a full disk loses
 * acknowledged frames, gives them two ends, or is reported as a fault of Tessera.
 */

interface Scene {
  readonly deployment: Deployment;
  readonly broker: TestBroker;
  readonly disk: SmallDisk;
  readonly bus: Bus;
  readonly results: ResultObject[];
  startCentral(): RunningCli;
}

async function openScene({ onTestFinished, skip }: TestContext, size: string): Promise<Scene> {
  const disk = await smallDisk(size);
  if (disk === undefined) return skip('needs root and a tmpfs on Linux');
  const deployment = await Deployment.create();
  onTestFinished(async () => {
    await deployment.end();
    disk.remove();
  });
  const broker = (await deployment.broker('embedded'))!;
  const bus = await deployment.connect(broker.url, 'test');
  const results = await deployment.results(bus);
  const args = ['central', '--broker', broker.url, '--model', 'scenes'];
  return { deployment, broker, disk, bus, results, startCentral: () => deployment.start(args, disk.folder) };
}

async function film({ bus, deployment }: Scene, prefix: string, count: number): Promise<string[]> {
  const [picture] = await pictures(1);
  const ids = Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
  for (const id of ids)
    await publishFrame(bus, deployment.names, `camera-${id}`, id, { v: 1, format: 'jpeg', d: picture! });
  return ids;
}

const endsOf = ({ results }: Scene, id: string): string[] => [
  ...new Set(results.filter(({ frame }) => frame === id).map((result) => `${result.id} ${result.status}`)),
];
const allEnded = (scene: Scene, ids: readonly string[]): boolean => ids.every((id) => endsOf(scene, id).length > 0);

/** A central that has answered three frames, and thirty more that it gets while its disk is full. */
async function filmUntilFull(context: TestContext) {
  const scene = await openScene(context, '8m');
  const central = scene.startCentral();
  await central.printed(/central is online/);
  const before = await film(scene, 'before', 3);
  await eventually('results', () => allEnded(scene, before));
  const free = scene.disk.fill();
  const during = await film(scene, 'during', 30);
  return { scene, central, before, during, free };
}

describe('central on a disk that becomes full', () => {
  test('accepts nothing until there is space, logs that, and then ends every frame, once', async (context) => {
    const { scene, central, during, free } = await filmUntilFull(context);
    await central.printed(/the journal .* cannot be written: the disk is full \(ENOSPC\)/);
    free();
    await central.printed(/the journal .* is written again/);
    await eventually('results', () => allEnded(scene, during));
    expect(during.map((id) => endsOf(scene, id).length)).toEqual(during.map(() => 1));
  });

  test('and is killed then: its successor has every acknowledged frame, and no frame ends twice', async (context) => {
    const { scene, central, before, during, free } = await filmUntilFull(context);
    await central.printed(/the journal .* cannot be written/);
    await kill(central);
    free();
    await scene.startCentral().printed(/central is online/);
    await eventually('results', () => allEnded(scene, during));
    const all = [...before, ...during];
    expect(all.map((id) => endsOf(scene, id).length)).toEqual(all.map(() => 1));
  });
});

test('central started on a full disk names the folder, and leaves no file behind, however often', async (context) => {
  const scene = await openScene(context, '64k');
  scene.disk.fill();
  const filesOf = (): string[] => readdirSync(scene.disk.folder, { recursive: true, encoding: 'utf8' }).sort();
  let files: string[] | undefined;
  for (let i = 0; i < 3; i++) {
    const { code, stderr } = await scene.startCentral().ended();
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error TESSERA_STORAGE: .* cannot be (made|written): the disk is full \(ENOSPC\)\nhint: /m);
    expect(stderr).toContain(scene.disk.folder);
    expect(stderr).toContain('STATE_DIRECTORY');
    expect(stderr).not.toMatch(/fault of Tessera|\n {4}at /);
    files ??= filesOf();
    expect(filesOf()).toEqual(files);
  }
  expect(files?.filter((name) => name.endsWith('.new'))).toEqual([]);
});
