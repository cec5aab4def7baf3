import { pbkdf2Sync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { mosquittoAcl, mosquittoPassword, usersOfPasswordFile } from '../../broker/mosquitto.ts';

// Lost if these fail: with Mosquitto, a camera could publish as a node. test/integration/access.test.ts runs it.

describe('mosquittoAcl', () => {
  const lines = mosquittoAcl(
    [
      { role: 'central', name: 'central' },
      { role: 'camera', name: 'front' },
      { role: 'node', name: 'pi-1' },
    ],
    'home/edge',
  );

  it('needs no section per node', () => {
    expect(lines.join('\n')).not.toContain('pi-1');
    expect(lines).toContain('pattern write home/edge/node/%u/#');
    expect(lines).toContain('pattern read home/edge-wire/+/%u/#');
  });

  it('denies other users what the patterns for nodes would allow', () => {
    const camera = lines.slice(lines.indexOf('user camera-front'), lines.indexOf('# Nodes.'));
    expect(camera).toContain('topic deny home/edge/node/camera-front/#');
    expect(camera).toContain('topic deny home/edge-wire/1/+/work/camera-front');
    expect(camera).toContain('topic deny home/edge/node/+/status');
    expect(camera).toContain('topic write home/edge/input/front/+');
  });

  it('does not let central publish requests', () => {
    const central = lines.slice(lines.indexOf('user central'), lines.indexOf('# camera front'));
    expect(central.filter((line) => /^topic write .*(request|edge\/#)/.test(line))).toEqual([]);
    expect(central.filter((line) => line.includes('deny'))).toEqual([]);
  });
});

describe('mosquittoPassword', () => {
  it('is PBKDF2 with SHA-512 in the form of mosquitto_passwd, and its user is found again', () => {
    const line = mosquittoPassword('pi-1', 'secret');
    const [, iterations, salt, hash] = /^pi-1:\$7\$(\d+)\$([A-Za-z0-9+/=]{16})\$([A-Za-z0-9+/=]{88})$/.exec(line)!;
    const again = pbkdf2Sync('secret', Buffer.from(salt!, 'base64'), Number(iterations), 64, 'sha512');
    expect(again.toString('base64')).toBe(hash);
    expect(usersOfPasswordFile(`# x:y\n\n${line}\nnobody\n:x\n`)).toEqual(['pi-1']);
  });
});
