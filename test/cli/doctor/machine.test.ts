import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { tryNative } from '../../../cli/doctor/look-at-machine.ts';
import { isAtLeast, judgeMachine, type MachineFacts } from '../../../cli/doctor/machine.ts';

const healthy: MachineFacts = {
  node: '20.17.0',
  wantedNode: '>=20.17',
  platform: 'linux',
  arch: 'arm64',
  glibc: '2.36',
  onnxruntime: { kind: 'ok', said: 'fine' },
  sharp: { kind: 'ok', said: 'fine' },
  memoryMb: 4000,
  availableMb: 3000,
  memoryIsLimited: false,
  cores: 4,
  processors: 4,
  now: 1_763_650_000,
  synchronised: true,
};
const find = (name: string, facts: Partial<MachineFacts>) =>
  judgeMachine({ ...healthy, ...facts }).find((check) => check.name === name)!;

describe('a machine', () => {
  it('without faults has nothing to fix', () => {
    expect(new Set(judgeMachine(healthy).map(({ status }) => status))).toEqual(new Set(['ok']));
  });

  it('in a control group is judged by its limit', () => {
    const limited = { memoryMb: 300, availableMb: 100, memoryIsLimited: true, cores: 1 };
    expect(find('memory', limited)).toMatchObject({
      status: 'fail',
      text: '100 of 300 MB are available (limited by the control group)',
      fix: expect.stringContaining('MemoryMax='),
    });
    expect(find('cores', limited).text).toContain('1 of 4');
    expect(find('cores', {})).toBeUndefined();
  });

  it('needs the version of Node.js that the package requires', () => {
    expect(find('node', { node: '20.9.0' }).status).toBe('fail');
    expect(find('node', { node: '22.0.0' }).status).toBe('ok');
    expect(isAtLeast('20.17.0', '>=20.17')).toBe(true);
    expect(isAtLeast('20.16.9', '>=20.17')).toBe(false);
    expect(isAtLeast('v21', '>=20.17')).toBe(true);
  });

  it.each([
    ['32-bit Arm', { arch: 'arm' }, /32-bit/],
    ['musl', { glibc: undefined }, /musl/],
    ['an exotic processor', { arch: 'riscv64' }, /not built for linux-riscv64/],
  ])('with %s is told that ONNX Runtime does not exist for it, and what to use', (_, facts, text) => {
    const check = find('system', facts);
    expect(check.status).toBe('fail');
    expect(check.text).toMatch(text);
    expect(check.fix).not.toBe('');
  });

  it.each([
    ['SIGILL', /lacks an instruction/],
    ['SIGKILL', /memory/],
    ['SIGSEGV', /npm ci/],
  ])('whose runtime dies of %s is told what that means', (signal, fix) => {
    const check = find('onnx runtime', {
      onnxruntime: { kind: 'crashed', signal, code: null, stderr: 'a\nlast words\n' },
    });
    expect(check).toMatchObject({ status: 'fail', text: expect.stringMatching(`${signal}.*last words`) });
    expect(check.fix).toMatch(fix);
  });

  it('whose system is too old or of another kind for a native module has a finding', () => {
    const old = find('pictures', { sharp: { kind: 'failed', said: "version `GLIBC_2.34' not found" } });
    expect(old.fix).toMatch(/GLIBC_2\.34/);
    const other = find('onnx runtime', { onnxruntime: { kind: 'failed', said: 'libonnx.so: wrong ELF class' } });
    expect(other.fix).toMatch(/another kind of machine/);
  });

  it('with little memory, or a clock of 1970, has a finding', () => {
    expect(find('memory', { availableMb: 100 }).status).toBe('fail');
    expect(find('memory', { availableMb: 300 }).status).toBe('warn');
    expect(find('clock', { now: 100 })).toMatchObject({ status: 'fail', text: expect.stringMatching('1970') });
    expect(find('clock', { synchronised: false }).status).toBe('warn');
    expect(find('clock', { synchronised: undefined }).status).toBe('ok');
  });
});

describe('native code', () => {
  const script = async (text: string): Promise<string> => {
    const folder = await mkdtemp(join(tmpdir(), 'tessera-doctor-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, 'trial.mjs'), text);
    return join(folder, 'trial.mjs');
  };

  it('that kills its process is a finding, and this process lives', async () => {
    const trial = await tryNative(
      'sharp',
      await script('process.kill(process.pid, "SIGILL"); setInterval(() => {}, 1e6)'),
    );
    expect(trial).toMatchObject({ kind: 'crashed', signal: 'SIGILL' });
  });

  it('that ends without a message is distinguished from one that ends with an error', async () => {
    const silent = await tryNative('sharp', await script('console.error("oh"); process.exit(3)'));
    expect(silent).toEqual({ kind: 'crashed', signal: null, code: 3, stderr: 'oh\n' });
    const failed = await tryNative('sharp', await script('console.log(JSON.stringify({ ok: false, said: "no" }))'));
    expect(failed).toEqual({ kind: 'failed', said: 'no' });
  });
});
