import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { parseProfile } from '../../central/planner/profile/parse.ts';
import type { Profile, ProfiledNode } from '../../central/planner/profile/schema.ts';

/** Lost if these fail: plans are made from times that nobody measured, or a fleet is measured for hours in vain. */

let folder: string;
let url: string;
const running: RunningCli[] = [];

function start(...args: string[]): RunningCli {
  const cli = new RunningCli(args, { cwd: folder, env: { STATE_DIRECTORY: join(folder, args.at(-1)!) } });
  running.push(cli);
  return cli;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-profile-'));
  const [, found] = await start('broker', '--listen', '127.0.0.1:0').printed(/broker: (mqtt:\S+)/);
  url = found!;
  await start('central', '--broker', url, '--model', 'scenes', '--id', 'c').printed(/central is online/);
});
afterAll(async () => {
  for (const one of running.toReversed()) await one.stop();
  await rm(folder, { recursive: true });
});

async function agent(id: string): Promise<RunningCli> {
  const cli = start('agent', '--broker', url, '--threads', '1', '--id', id);
  await cli.printed(/online/);
  return cli;
}

const read = async (file: string): Promise<Profile> =>
  parseProfile(JSON.parse(await readFile(join(folder, file), 'utf8')));
const sumOf = ({ block_ms }: ProfiledNode): number => block_ms.reduce((sum, ms) => sum + ms, 0);
const progressOf = (stderr: string): { event: string; done: number; of: number; what: string }[] =>
  stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === 'progress');

test('a private cluster is measured: every block, runs of blocks, and links both ways', async () => {
  const { code, stdout, stderr } = await runCli(['profile', '--repeats', '3', '--out', 'own.json'], { cwd: folder });
  expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('the profile is in own.json') });
  for (const node of ['node-1', 'node-2', 'central']) expect(stdout).toMatch(new RegExp(`^${node} .*measured$`, 'm'));
  const { nodes, blocks, layers, links, correction, frame } = await read('own.json');
  expect(frame!.open_ms).toBeGreaterThan(0);
  expect(frame!.finish_ms).toBeGreaterThan(0);
  expect(nodes.map(({ id }) => id).sort()).toEqual(['central', 'node-1', 'node-2']);
  expect(layers!.length).toBeGreaterThanOrEqual(blocks.length);
  for (const node of nodes) {
    const whole = node.runs!.find(({ blocks: [first, last] }) => first === 0 && last === blocks.length - 1)!;
    expect(whole.p10_ms).toBeGreaterThan(0);
    expect(whole.ms).toBeGreaterThanOrEqual(whole.p10_ms!);
    expect(whole.p90_ms).toBeGreaterThanOrEqual(whole.ms);
    expect(sumOf(node)).toBeGreaterThan(0);
    expect(node.message_ms).toBeGreaterThan(0);
    expect(node.part_ms).toBeGreaterThan(0);
    expect(node.codec_ms!.packed!.encode).toBeGreaterThan(0);
    expect(node.predicted).toBeUndefined();
  }
  expect(links).toHaveLength(6);
  expect(correction!.ratio).toBeGreaterThan(0);
  expect(existsSync(join(folder, 'own.json.part'))).toBe(false);
});

test('interrupted, it goes on; a node that is killed is named, and the rest goes on', async () => {
  const [, second] = [await agent('a-1'), await agent('a-2'), await agent('a-3')];
  const of = ['profile', '--broker', url, '--model', 'scenes', '--predict', 'a-3', '--tune'];
  const args = [...of, '--repeats', '3', '--out', 'fleet.json', '--json'];
  const first = new RunningCli(args, { cwd: folder });
  await first.printed(/"what":"a-1, block 5"/);
  const interrupted = await first.stop('SIGINT');
  expect(interrupted).toMatchObject({ code: 0, stderr: expect.stringContaining('the same command goes on') });
  expect(existsSync(join(folder, 'fleet.json'))).toBe(false);

  const again = new RunningCli(args, { cwd: folder });
  await again.printed(/"what":"a-2, block 5"/);
  second!.child.kill('SIGKILL');
  const { code, stderr } = await again.ended();
  expect({ code, stderr }).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/node a-2 is not measured any further/),
  });
  const [before, after] = [progressOf(interrupted.stderr)[0]!, progressOf(stderr)[0]!];
  expect(after.of).toBeLessThan(before.of);
  expect(interrupted.stderr).toMatch(/node a-1 takes .* with threads 1, graph/);
  expect(JSON.parse(await readFile(join(folder, 'a-1', 'runtime-settings.json'), 'utf8')).models).toEqual({
    [(await read('fleet.json')).sha256!]: expect.objectContaining({ threads: 1 }),
  });
  const profile = await read('fleet.json');
  const node = (id: string) => profile.nodes.find((one) => one.id === id)!;
  expect(node('a-1')).toMatchObject({ threads: 1 });
  expect(node('a-1').repeats).toBeGreaterThanOrEqual(3);
  expect(node('a-1').predicted).toBeUndefined();
  for (const id of ['a-2', 'a-3']) expect(node(id).predicted!.error).toBeGreaterThan(0);
  expect(profile.links.map(({ from, to }) => `${from} ${to}`).sort()).toEqual([
    'a-1 a-3',
    'a-1 central',
    'a-3 a-1',
    'a-3 central',
    'central a-1',
    'central a-3',
  ]);
  expect(stderr).toMatch(/central plans with it from now on: .*a-1/);
  expect(await read(join('c', 'profiles', `${profile.sha256}.json`))).toEqual(profile);
  // What was measured stays for the next time that the node is there.
  expect(existsSync(join(folder, 'fleet.json.part'))).toBe(true);
});

test('a node that is to be predicted must be there', async () => {
  const args = ['profile', '--broker', url, '--model', 'scenes', '--out', 'none.json', '--predict', 'a-9'];
  expect(await runCli(args, { cwd: folder })).toMatchObject({ code: 2, stderr: expect.stringContaining('a-9') });
});
