import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../../bench/testbed/run-cli.ts';
import type { UpdateReport } from '../../shared/protocol/messages/update.ts';
import { parseNodeTopic, topics } from '../../shared/protocol/topics.ts';
import { releaseName } from '../../shared/update/release.ts';
import { bundleArchive, HERE, installBundle, offered, releaseKey } from '../support/fake-bundle.ts';
import { RunningUp } from '../support/running-up.ts';

/** If it fails, an update of a cluster at work loses frames, or goes on although it harms the nodes. */

const lacks = [
  ...(spawnSync('which', ['zstd']).status === 0 ? [] : ['the program zstd']),
  ...(process.platform === 'linux' ? [] : ['Linux']),
];
const NODES = ['pi-1', 'pi-2', 'pi-3'];
const names = topics('tessera');
const key = releaseKey();

let root: string;
let program: string;
let cluster: RunningUp;
let page: string;
const agents: ChildProcess[] = [];
const reports = new Map<string, UpdateReport>();
/** States of nodes in the order in which they were reported. */
const steps: string[] = [];

/** Puts a release into the folder that central serves. */
async function provide(version: string, fault?: Parameters<typeof bundleArchive>[1]): Promise<void> {
  const archive = await bundleArchive(version, fault);
  const { text, signature } = offered({ version, url: 'http://none/' }, archive, key);
  const file = join(root, 'releases', releaseName(version, HERE));
  await writeFile(`${file}.tar.zst`, archive);
  await writeFile(`${file}.sha256`, text);
  await writeFile(`${file}.sha256.sig`, Buffer.from(signature, 'base64url'));
}

const tessera = async (...words: string[]) => {
  const { code, stdout, stderr } = await runCli([...words, '--broker', cluster.url]);
  expect(code, stderr).toBe(0);
  return stdout;
};

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 50));
}
const allRun = (version: string) => (): boolean =>
  NODES.every((node) => reports.get(node)?.version === version && reports.get(node)?.state === 'idle');

describe.skipIf(lacks.length > 0)(`a rollout${lacks.length > 0 ? ` (skipped: no ${lacks.join(', ')})` : ''}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'tessera-rollout-'));
    await mkdir(join(root, 'releases'));
    program = await installBundle(root, '0.1.0');
    const config = join(root, 'tessera.yaml');
    await writeFile(config, 'updates: { folder: releases }\n');
    cluster = await RunningUp.start('--config', config, '--nodes', '0');
    [, page = ''] = await cluster.up.printed(/window: (http:\S+)/);
    await cluster.bus.subscribe(names.nodeUpdateAll, 1, ({ topic, payload }) => {
      const { node } = parseNodeTopic('tessera', topic)!;
      const report = JSON.parse(Buffer.from(payload).toString()) as UpdateReport;
      if (report.state !== reports.get(node)?.state) steps.push(`${node} ${report.state}`);
      reports.set(node, report);
    });
    for (const node of NODES)
      agents.push(
        spawn(program, ['agent', '--broker', cluster.url, '--id', node, '--threads', '1'], {
          detached: true,
          stdio: 'ignore',
          env: {
            ...process.env,
            STATE_DIRECTORY: join(root, node),
            TESSERA_UPDATES__KEYS: JSON.stringify([key.publicKey]),
            TESSERA_UPDATES__TRIAL_S: '3',
          },
        }),
      );
    await until(allRun('0.1.0'));
  });
  afterAll(async () => {
    for (const agent of agents) {
      const ended = once(agent, 'exit');
      process.kill(-agent.pid!, 'SIGKILL');
      await ended;
    }
    await cluster?.stop();
    await rm(root, { recursive: true, force: true });
  });

  it('updates one node first, then the others one by one, and loses no frame', async () => {
    await provide('0.2.0');
    let isOver = false;
    const statuses: string[] = [];
    const camera = (async () => {
      while (!isOver) statuses.push((await cluster.frame('front', cluster.scene)).status);
    })();
    await tessera('update', '0.2.0', '--from', `${page}/updates`);
    await until(allRun('0.2.0'));
    isOver = true;
    await camera;
    expect(statuses.length).toBeGreaterThan(20);
    expect(new Set(statuses)).toEqual(new Set(['ok']));
    const switches = steps.filter((step) => / (switching|trial|idle)$/.test(step)).slice(NODES.length);
    // The first one kept it before another one switched, and never two were away.
    expect(switches[2]).toBe(`${switches[0]!.split(' ')[0]} idle`);
    const away = switches.filter((step) => !step.endsWith('idle'));
    for (const [k, step] of away.entries())
      if (step.endsWith('switching')) expect(away[k + 1]).toBe(step.replace('switching', 'trial'));
    const shown = JSON.parse(await tessera('update', '--json'));
    expect(shown.nodes.map(({ version }: { version: string }) => version)).toEqual(['0.2.0', '0.2.0', '0.2.0']);
  });

  it('halts at the first node that gives a version up, and goes back when it is told to', async () => {
    await provide('0.3.0', 'crashes');
    await tessera('update', '0.3.0', '--from', `${page}/updates`);
    await until(() => [...reports.values()].some(({ state }) => state === 'failed'));
    let paused: { update: { paused: boolean; reason: string } };
    do paused = JSON.parse(await tessera('update', '--json'));
    while (!paused.update.paused);
    expect(paused.update.reason).toMatch(/pi-\d gave it up: it ended by itself, with exit code 3/);
    expect([...reports.values()].map(({ version }) => version)).toEqual(['0.2.0', '0.2.0', '0.2.0']);

    await tessera('update', '0.2.0', '--rollback');
    await until(allRun('0.1.0'));
  });

  it('leaves a drained node without new work until it is resumed', async () => {
    await tessera('node', 'drain', 'pi-2');
    const from = cluster.results.length;
    for (let k = 0; k < 12; k++) await cluster.frame('front', cluster.scene);
    await tessera('node', 'resume', 'pi-2');
    const nodes = new Set(cluster.results.slice(from).flatMap((result) => result.nodes));
    expect(nodes).not.toContain('pi-2');
  });
});
