import { describe, expect, it } from 'vitest';
import { readTokens } from '../../cli/join-tokens.ts';
import { makeJoinToken } from '../../shared/config/join.ts';

/** If it fails, somebody drives to a machine that could never have joined. */

describe('tokens', () => {
  const token = (user: string, server = 'mqtt://192.168.1.10:1883', expires = 2000) =>
    makeJoinToken({ server, user, code: 'c'.repeat(43), expires, keys: ['k'] });

  it('are one for each node', () => {
    const read = readTokens([token('pi-1'), token('pi-2')], 1000);
    expect(read.map(({ invitation }) => invitation.user)).toEqual(['pi-1', 'pi-2']);
    expect(() => readTokens([token('pi-1'), token('pi-1')], 1000)).toThrow('two tokens are for pi-1');
  });

  it('by which no node could join are refused', () => {
    expect(() => readTokens([token('pi-1')], 2000)).toThrow('the token of pi-1 expired');
    for (const host of ['localhost', '127.0.0.1', '[::1]'])
      expect(() => readTokens([token('pi-1', `mqtt://${host}:1883`)], 1000)).toThrow(
        'where the node would find itself',
      );
  });
});
