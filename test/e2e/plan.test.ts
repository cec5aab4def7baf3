import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from '../../bench/testbed/run-cli.ts';
import { drawScene, seedRanges } from '../../shared/camera/scenes/scene.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { bareProfile } from '../central/planner/profile/profiles.ts';

/** Lost if these fail: users cannot ask where to cut their network, nor try an idea of their own. */

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-plan-'));
  await writeFile(join(folder, 'small.json'), JSON.stringify(bareProfile()));
});
afterAll(() => rm(folder, { recursive: true }));

const plan = (...args: string[]) => runCli(['plan', '--profile', 'small.json', ...args], { cwd: folder });

test('people get a ranking, why the best is best, and what would change it', async () => {
  const { code, stdout } = await plan('--strategy', 'exhaustive', '--picture', 'plans.svg');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^1 +41 ms +1 kB +exhaustive +0-2 on box$/m);
  expect(stdout).toContain('box computes blocks 0 to 2');
  expect(stdout).toContain('another plan would be the best');
  expect(await readFile(join(folder, 'plans.svg'), 'utf8')).toContain('latency of a frame (ms)');
});

test('programs get the plans, with their blocks and the number that was compared', async () => {
  const asked = ['--strategy', 'exhaustive', '--top', '2', '--json', '--use', 'device', '--out', 'bare.json'];
  const { code, stdout, stderr } = await plan(...asked);
  expect(code).toBe(0);
  expect(stderr).toContain('so its plan cannot be deployed');
  const { pipelines, plans } = JSON.parse(stdout);
  // The device alone, with one of two others and two cuts each, or with both and one pair of cuts.
  expect(pipelines).toBe(1 + 2 * 2 + 1);
  expect(plans).toHaveLength(2);
  expect(plans[0]).toMatchObject({ latency_ms: 74, stages: [{ node: 'pi', blocks: [0, 0] }, { node: 'box' }] });
  expect(plans[0].plan.format).toBe('tessera-plan/1');
});

test('what cannot be asked is refused, and said with what to do', async () => {
  const refusals = [
    [['--strategy', 'tiles-fused'], 'tiles need the network itself', 'give --model too'],
    [['--strategy', 'exec:'], 'exec: names no program', 'python3'],
    [['--strategy', 'exec:echo "{\\"plans\\":[null]}"'], 'plan: stages: Too small', 'schema plan'],
    [['--min-agreement', '101%'], '--min-agreement is "101%"', 'such as 99%'],
    [['--min-agreement', '0.99'], '--min-agreement is "0.99"', 'such as 99%'],
    [['--tensor', '1x3x8x8'], 'there is no --model', ''],
    [
      ['--strategy', 'dp', '--max-memory', 'box=0'],
      'no plan of dp meets --max-memory box=0',
      'the best one without it',
    ],
  ] as const;
  for (const [args, message, hint] of refusals) {
    const { code, stderr } = await plan(...args);
    expect(code, stderr).not.toBe(0);
    expect(stderr).toContain(message);
    expect(stderr).toContain(hint);
  }
});

test('demands that contradict one another are named', async () => {
  const { code, stderr } = await plan('--use', 'cloud', '--avoid', 'vm', '--use', 'pi');
  expect(code).toBe(1);
  expect(stderr).toContain('no plan meets --use cloud and --avoid vm together');
});

const MINE = `
const stage = (problem, on) => ({ inputs: problem.graph.inputs, outputs: problem.graph.outputs, on: { mode: 'share', nodes: [on] } });
export const strategy = { name: 'mine', propose: (problem) => [{ stages: [stage(problem, problem.source)] }] };
`;
const PROGRAM = `
const { profile, constraints } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
const { graph, nodes } = profile;
const on = { mode: 'share', nodes: [nodes.at(-1)?.id] };
console.log(JSON.stringify(nodes.length === 3 && constraints.nodes === '*'
  ? { plans: [{ stages: [{ inputs: graph.inputs, outputs: graph.outputs, on }] }] }
  : { plans: { reason: 'I know three nodes only' } }));
`;

test('strategies of the user are a module or a program, and are checked as all others', async () => {
  await writeFile(join(folder, 'mine.mjs'), MINE);
  await writeFile(join(folder, 'program.cjs'), PROGRAM);
  expect((await plan('--strategy', 'mine.mjs')).stdout).toMatch(/^1 +140 ms +0 bytes +mine +0-2 on pi$/m);
  const program = `exec:"${process.execPath}" program.cjs`;
  expect((await plan('--strategy', program)).stdout).toMatch(/^1 +67 ms +1 kB +exec +0-2 on vm$/m);
  expect((await plan('--strategy', 'exec:exit 3')).stderr).toContain('exec:exit 3 ended with 3');
  expect((await plan('--strategy', 'exec:echo hello')).stderr).toContain('answered no JSON');

  await writeFile(join(folder, 'broken.mjs'), MINE.replace('problem.source', 'problem.nowhere.id'));
  expect((await plan('--strategy', 'broken.mjs')).stderr).toContain('strategy mine of broken.mjs failed: ');

  const checked = await plan('--check-strategy', program);
  expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining('strategy exec keeps all rules') });
  await writeFile(join(folder, 'bad.mjs'), MINE.replace('problem.source)', "'moon')"));
  const bad = await plan('--check-strategy', 'bad.mjs');
  expect(bad.code).toBe(1);
  expect(bad.stdout).toContain('stage 0 runs on "moon", which may not get work');
});

test('the best plan of a measured cluster runs', async () => {
  const measured = await runCli(['profile', '--repeats', '3', '--out', 'scenes.json'], { cwd: folder });
  expect(measured.code, measured.stderr).toBe(0);
  const asked = ['plan', '--profile', 'scenes.json', '--model', 'scenes', '--use', 'node-1', '--out', 'best.json'];
  const planned = await runCli([...asked, '--json'], { cwd: folder });
  expect(planned.code, planned.stderr).toBe(0);
  const [best] = JSON.parse(planned.stdout).plans;
  expect(JSON.parse(await readFile(join(folder, 'best.json'), 'utf8'))).toEqual(best.plan);
  const { rgb, width, height } = drawScene(seedRanges.heldOut.from);
  await writeFile(join(folder, 'scene.jpg'), await encodeJpeg(rgb, width, height, 90));
  const { code, stdout, stderr } = await runCli(
    ['infer', 'scene.jpg', '--nodes', '2', '--plan', 'best.json', '--json'],
    { cwd: folder },
  );
  expect(code, stderr).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ status: 'ok', plan: best.plan.id });
});
