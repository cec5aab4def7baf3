import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeNodeId, newBootId, nodeIdentity } from '../../node-agent/identity.ts';
import { isNodeId } from '../../shared/protocol/topics.ts';

describe('makeNodeId', () => {
  it('gives boards flashed from one image different ids although they share host name and machine id', () => {
    const image = { host: 'raspberrypi', machineId: '9f1c' };
    expect(makeNodeId({ ...image, serial: '10000000f3a4c27b' }, 'ffff')).toBe('raspberrypi-c27b');
    expect(makeNodeId({ ...image, serial: '10000000f3a4c27c' }, 'ffff')).toBe('raspberrypi-c27c');
  });

  it('uses the machine id, then a random number, where a board has no serial number', () => {
    const byMachine = makeNodeId({ host: 'pc', serial: '0000000000000000', machineId: 'abc' }, 'ffff');
    expect(byMachine).toMatch(/^pc-[0-9a-f]{4}$/);
    expect(byMachine).toBe(makeNodeId({ host: 'pc', serial: undefined, machineId: 'abc' }, '0000'));
    expect(makeNodeId({ host: 'pc', serial: undefined, machineId: undefined }, 'beef')).toBe('pc-beef');
  });

  it('makes a valid node id of every host name, or else the node cannot be addressed', () => {
    expect(makeNodeId({ host: 'Küche_Cam.local', serial: undefined, machineId: undefined }, '0001')).toBe(
      'k-che-cam-0001',
    );
    fc.assert(
      fc.property(fc.string({ maxLength: 100 }), fc.option(fc.string(), { nil: undefined }), (host, serial) => {
        expect(isNodeId(makeNodeId({ host, serial, machineId: undefined }, '00ff'))).toBe(true);
      }),
    );
  });
});

describe('nodeIdentity', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tessera-id-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('keeps the id that it made, or else a node counts as new after every restart', async () => {
    const state = join(folder, 'new', 'state');
    const first = await nodeIdentity(undefined, state);
    expect(isNodeId(first)).toBe(true);
    expect(await nodeIdentity(undefined, state)).toBe(first);
    expect((await readFile(join(state, 'node-id'), 'utf8')).trim()).toBe(first);
  });

  it('prefers a given id and does not store it', async () => {
    await writeFile(join(folder, 'node-id'), 'kept-0001\n');
    expect(await nodeIdentity('given', folder)).toBe('given');
    expect(await nodeIdentity(undefined, folder)).toBe('kept-0001');
  });

  it('makes a new id where the stored one is damaged', async () => {
    await writeFile(join(folder, 'node-id'), '../../etc\n');
    expect(isNodeId(await nodeIdentity(undefined, folder))).toBe(true);
  });

  it.each(['central', 'Pi 4', 'a/b', '', 'x'.repeat(64)])('refuses "%s" with a hint', async (id) => {
    await expect(nodeIdentity(id, folder)).rejects.toMatchObject({ code: 'TESSERA_CONFIG', hint: expect.any(String) });
  });
});

it('a boot id differs from start to start, or else a restart cannot be told from a reconnect', () => {
  expect(new Set(Array.from({ length: 50 }, newBootId)).size).toBe(50);
});
