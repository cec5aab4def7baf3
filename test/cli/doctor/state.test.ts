import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { lookAtState } from '../../../cli/doctor/look-at-state.ts';
import { judgeState, type StateFacts } from '../../../cli/doctor/state.ts';

const healthy: StateFacts = {
  folder: '/var/lib/tessera',
  exists: true,
  problem: undefined,
  mode: 0o700,
  files: [{ path: 'broker/credentials.json', mode: 0o600, readable: true }],
  freeMb: 5000,
  temporary: { folder: '/tmp', problem: undefined },
  hasModes: true,
};
const find = (name: string, facts: Partial<StateFacts>) =>
  judgeState({ ...healthy, ...facts }).find((check) => check.name === name);

describe('the state directory', () => {
  it('without faults has nothing to fix', () => {
    expect(judgeState(healthy).map(({ status }) => status)).toEqual(['ok', 'ok', 'ok']);
  });

  it('whose secrets other users may read is a fault; a folder that only its owner may enter protects them all', () => {
    const files = [{ path: 'broker/credentials.json', mode: 0o644, readable: true }];
    expect(find('secrets', { mode: 0o755, files })).toMatchObject({
      status: 'fail',
      text: expect.stringContaining('credentials.json (0644)'),
      fix: expect.stringContaining('chmod'),
    });
    expect(find('secrets', { mode: 0o700, files })?.status).toBe('ok');
    expect(find('secrets', { mode: 0o755 })?.status).toBe('warn');
    expect(find('secrets', { mode: 0o755, files, hasModes: false })).toBeUndefined();
  });

  it('that cannot be written or read, or is full, has a finding', () => {
    expect(find('state directory', { problem: 'EACCES' })?.status).toBe('fail');
    expect(find('state files', { files: [{ path: 'node-id', mode: 0o600, readable: false }] })?.status).toBe('fail');
    expect(find('disk', { freeMb: 10 })?.status).toBe('warn');
    expect(find('temporary files', { temporary: { folder: '/none', problem: 'x' } })).toMatchObject({
      status: 'fail',
      fix: expect.stringContaining('TMPDIR'),
    });
    expect(judgeState({ ...healthy, exists: false }).map(({ status }) => status)).toEqual(['skip']);
  });

  it('is checked without leaving a file behind, and files of models are no secrets', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tessera-doctor-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    await chmod(folder, 0o750);
    await mkdir(join(folder, 'broker'));
    await mkdir(join(folder, 'blobs'));
    await writeFile(join(folder, 'broker', 'credentials.json'), '{}');
    await chmod(join(folder, 'broker', 'credentials.json'), 0o640);
    await writeFile(join(folder, 'blobs', 'abc'), '');
    const facts = await lookAtState(folder);
    expect(facts).toMatchObject({ exists: true, problem: undefined, mode: 0o750 });
    expect(facts.files).toEqual([{ path: join('broker', 'credentials.json'), mode: 0o640, readable: true }]);
    expect((await readdir(folder)).sort()).toEqual(['blobs', 'broker']);
    expect(await lookAtState(join(folder, 'not', 'there'))).toMatchObject({ exists: false, problem: undefined });
  });
});
