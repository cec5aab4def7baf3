import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AGENT_ENVIRONMENT, LAUNCHER } from '../../bundle/launcher.ts';

describe('the command of a bundle', () => {
  it('starts its own Node from wherever it is called, and says by which absolute path', () => {
    const root = mkdtempSync(join(tmpdir(), 'tessera-launcher-'));
    try {
      mkdirSync(join(root, 'bin'));
      writeFileSync(join(root, 'bin/tessera'), LAUNCHER, { mode: 0o755 });
      const node = '#!/bin/sh\necho "$TESSERA_LAUNCHER|$1|$2|$NODE_OPTIONS"\n';
      writeFileSync(join(root, 'bin/node'), node, { mode: 0o755 });
      symlinkSync(join(root, 'bin/tessera'), join(root, 'link'));
      const env = { PATH: `${root}/bin:${process.env.PATH}` };
      const said = (program: string, word: string) => `${execFileSync(program, [word], { cwd: root, env })}`.trim();
      const main = `${root}/app/dist/cli/main.js`;
      expect(said(join(root, 'link'), 'up')).toBe(`${root}/link|${main}|up|`);
      expect(said('bin/tessera', 'up')).toBe(`${root}/bin/tessera|${main}|up|`);
      expect(said('tessera', 'agent').trim()).toBe(
        `${root}/bin/tessera|${main}|agent|${AGENT_ENVIRONMENT.NODE_OPTIONS}`,
      );
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  it('gives up a trial that leads to nothing', () => {
    const root = mkdtempSync(join(tmpdir(), 'tessera-launcher-'));
    try {
      mkdirSync(join(root, 'bin'));
      mkdirSync(join(root, 'releases'));
      writeFileSync(join(root, 'bin/tessera'), LAUNCHER, { mode: 0o755 });
      writeFileSync(join(root, 'bin/node'), '#!/bin/sh\necho "trial: $TESSERA_TRIAL"\n', { mode: 0o755 });
      symlinkSync(join(root, 'gone'), join(root, 'releases/trial'));
      const env = { PATH: process.env.PATH, STATE_DIRECTORY: root };
      expect(`${execFileSync(join(root, 'bin/tessera'), ['agent'], { env })}`).toBe('trial: \n');
      expect(readlinkSync(join(root, 'releases/failed'))).toBe(join(root, 'gone'));
      expect(readFileSync(join(root, 'releases/trial.why'), 'utf8')).toBe('it is not there\n');
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
