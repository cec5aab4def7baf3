import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { programWords } from '../../../cli/service/program.ts';
import { SERVICES, type Service, unitName, unitText } from '../../../cli/service/unit.ts';

/** Above this `systemd-analyze security` is to be asked why: 0 is shut off, 10 is open. */
const MOST_EXPOSED = 3.0;

const NO_SYSTEMD = spawnSync('systemd-analyze', ['--version']).status === 0 ? undefined : 'no systemd-analyze';
const folder = mkdtempSync(join(tmpdir(), 'tessera-units-'));
afterAll(() => rmSync(folder, { recursive: true }));

function written(service: Service, joinFile?: string): string {
  const file = join(folder, unitName(service));
  writeFileSync(file, unitText({ service, command: ['/bin/true'], joinFile }));
  return file;
}

describe.skipIf(NO_SYSTEMD !== undefined)(
  `units, as systemd reads them${NO_SYSTEMD ? ` (skipped: ${NO_SYSTEMD})` : ''}`,
  () => {
    it.each(SERVICES)('%s: systemd finds no fault', (service) => {
      const { stdout, stderr, status } = spawnSync('systemd-analyze', ['verify', '--man=no', written(service)]);
      expect({ said: `${stdout}${stderr}`, status }).toEqual({ said: '', status: 0 });
    });

    it.each(SERVICES)('%s: reaches little of the machine', (service) => {
      const words = ['security', '--offline=true', '--no-pager', written(service, '/etc/tessera/agent.join')];
      const said = execFileSync('systemd-analyze', words, { encoding: 'utf8' });
      expect(Number(/exposure level for \S+: ([\d.]+)/.exec(said)?.[1])).toBeLessThanOrEqual(MOST_EXPOSED);
    });
  },
);

describe('a unit', () => {
  it('reads the token as a credential, which other users cannot, and only where there is one', () => {
    const text = unitText({ service: 'agent', command: ['/usr/bin/tessera'], joinFile: '/etc/tessera/agent.join' });
    expect(text).toContain('ExecStart=/usr/bin/tessera agent --join-file %d/join\n');
    expect(text).toContain('LoadCredential=join:/etc/tessera/agent.join\n');
    expect(unitText({ service: 'agent', command: ['/usr/bin/tessera'] })).not.toContain('join:');
  });

  it('may make code, which the compiler of JavaScript has to', () => {
    expect(unitText({ service: 'central', command: ['/usr/bin/tessera'] })).not.toContain('MemoryDenyWriteExecute');
  });
});

describe('the program of a unit', () => {
  it('is the command of a bundle', () => {
    expect(programWords({ TESSERA_LAUNCHER: '/usr/bin/tessera' })).toEqual(['/usr/bin/tessera']);
  });

  it.each(['/home/pi/tessera/bin/tessera', '/opt/my programs/tessera'])(
    'is not %s, which systemd would not start',
    (path) => {
      expect(() => programWords({ TESSERA_LAUNCHER: path })).toThrow(`a service cannot start ${path}`);
    },
  );
});
