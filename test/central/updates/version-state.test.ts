import { describe, expect, it } from 'vitest';
import { versionStateOf } from '../../../central/updates/version-state.ts';
import type { UpdateReport } from '../../../shared/protocol/messages/update.ts';
import { announced } from '../../support/update-manifest.ts';

const manifest = announced;
const idle: UpdateReport = { v: 1, version: '0.1.0', state: 'idle' };

describe('the version of a node', () => {
  it('is shown beside the one that is announced for it', () => {
    const loading: UpdateReport = { ...idle, state: 'downloading', bytes: 57, of: 100 };
    expect(versionStateOf('pi-1', '0.1.0', loading, manifest)).toEqual({
      v: 1,
      installed_version: '0.1.0',
      latest_version: '0.2.0',
      in_progress: true,
      update_percentage: 50,
    });
  });

  it('is up to date where nothing is announced for it, or it is no bundle', () => {
    const current = {
      installed_version: '0.1.0',
      latest_version: '0.1.0',
      in_progress: false,
      update_percentage: null,
    };
    expect(versionStateOf('pi-1', '0.1.0', idle, undefined)).toMatchObject(current);
    expect(versionStateOf('pi-1', '0.1.0', undefined, manifest)).toMatchObject(current);
    expect(versionStateOf('pi-1', '0.1.0', idle, { ...manifest, nodes: ['pi-2'] })).toMatchObject(current);
    expect(versionStateOf('pi-1', '0.1.0', idle, { ...manifest, action: 'rollback' })).toMatchObject(current);
    expect(versionStateOf('pi-1', '0.1.0', idle, { ...manifest, paused: true })).toMatchObject(current);
  });
});
