import { describe, expect, it } from 'vitest';
import { aimOf, type Standing } from '../../../node-agent/update/aim.ts';
import type { UpdateManifest } from '../../../shared/protocol/messages/update.ts';
import type { Release } from '../../../shared/update/release.ts';
import { announced } from '../../support/update-manifest.ts';

const PLATFORM = 'linux-arm64';
const SHA = 'a'.repeat(64);
const standing: Standing = {
  id: 'pi-1',
  running: '0.1.0',
  platform: PLATFORM,
  previous: undefined,
  minimum: '0.0.0',
  failed: undefined,
};
const manifest: UpdateManifest = {
  ...announced,
  releases: { [PLATFORM]: { text: '', signature: '', url: 'http://here/a' } },
};
const release: Release = {
  version: '0.2.0',
  platform: PLATFORM,
  minimum: '0.1.0',
  files: new Map([['tessera-0.2.0-linux-arm64.tar.zst', SHA]]),
};
const check = () => release;

describe('what a node does about an announcement', () => {
  it('is to install the release of its platform', () => {
    const aim = { kind: 'install', to: '0.2.0', url: 'http://here/a', sha256: SHA, minimum: '0.1.0' };
    expect(aimOf(manifest, standing, check)).toEqual(aim);
    expect(aimOf(manifest, { ...standing, minimum: '0.1.5' }, check)).toEqual({ ...aim, minimum: '0.1.5' });
  });

  it('is nothing where it is for others, or done', () => {
    expect(aimOf({ ...manifest, nodes: ['pi-2'] }, standing, check)).toEqual({ kind: 'none' });
    expect(aimOf(manifest, { ...standing, running: '0.2.0' }, check)).toEqual({ kind: 'none' });
  });

  it('is to refuse what is not signed, not for it, or too old', () => {
    const refusal = (said: Partial<UpdateManifest>, here: Partial<Standing> = {}, signed: () => Release = check) =>
      aimOf({ ...manifest, ...said }, { ...standing, ...here }, signed);
    const stranger = () => {
      throw new Error('a stranger');
    };
    expect(refusal({}, {}, stranger)).toMatchObject({ kind: 'refused', text: 'a stranger' });
    expect(refusal({ releases: {} })).toMatchObject({ kind: 'refused', text: 'there is no release for linux-arm64' });
    expect(refusal({ version: '0.3.0' })).toMatchObject({ kind: 'refused', to: '0.3.0' });
    expect(refusal({}, { minimum: '0.3.0' })).toMatchObject({
      text: '0.2.0 is older than 0.3.0, the oldest version that may run here',
    });
  });

  it('is not to try again what failed, unless it is announced again', () => {
    const failed = { version: '0.2.0', why: 'it crashed', since: 7 };
    expect(aimOf(manifest, { ...standing, failed }, check)).toEqual({
      kind: 'failed',
      to: '0.2.0',
      text: 'it crashed',
    });
    expect(aimOf({ ...manifest, since: 8 }, { ...standing, failed }, check).kind).toBe('install');
  });

  it('is to go back only from the version that is to be left, to one that is kept and not too old', () => {
    const back: UpdateManifest = { ...manifest, action: 'rollback' };
    const updated = { ...standing, running: '0.2.0', previous: '0.1.0' };
    expect(aimOf(back, updated, check)).toEqual({ kind: 'rollback', to: '0.1.0' });
    expect(aimOf(back, standing, check)).toEqual({ kind: 'none' });
    expect(aimOf(back, { ...updated, previous: undefined }, check)).toMatchObject({ kind: 'refused' });
    expect(aimOf(back, { ...updated, minimum: '0.2.0' }, check)).toMatchObject({ kind: 'refused', to: '0.1.0' });
  });
});
