import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeJoinToken, readJoinToken } from '../../../shared/config/join.ts';

describe('join tokens', () => {
  it('bring everything over as one word that needs no quotes in a shell', () => {
    const content = fc.record(
      {
        server: fc.webUrl(),
        user: fc.string({ maxLength: 20 }),
        password: fc.string({ unit: 'grapheme', maxLength: 20 }),
      },
      { requiredKeys: ['server'] },
    );
    fc.assert(
      fc.property(content, (invitation) => {
        const token = makeJoinToken(invitation);
        expect(token).toMatch(/^[A-Za-z0-9._-]+$/);
        expect(readJoinToken(token)).toEqual(invitation);
      }),
    );
  });

  it('that are damaged are refused without being repeated: they hold a password', () => {
    const token = makeJoinToken({ server: 'mqtt://10.0.0.2', password: 'hunter2' });
    for (const wrong of ['hunter2', token.slice(0, -3), `${token.slice(0, 20)}!${token.slice(20)}`, 'tessera1.']) {
      let message = '';
      try {
        readJoinToken(wrong);
      } catch (error) {
        message = String((error as Error).message);
      }
      expect(message).toMatch(/^the join token (is damaged|does not begin)/);
      expect(message).not.toContain('hunter2');
    }
  });
});
