import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { joinPassword, makeJoinToken, readJoinPassword, readJoinToken } from '../../../shared/config/join.ts';

const CODE = 'c'.repeat(32);
const secret = fc.string({ unit: fc.constantFrom('a', 'Z', '0', '_', '-'), minLength: 32, maxLength: 64 });

describe('join tokens', () => {
  it('carry everything in one word that needs no quotes in a shell', () => {
    const content = fc.record(
      {
        server: fc.webUrl(),
        user: fc.string({ unit: 'grapheme', maxLength: 20 }),
        code: secret,
        expires: fc.nat(),
        base: fc.string({ maxLength: 20 }),
        ca: fc.string({ maxLength: 2000 }),
        keys: fc.array(fc.string({ maxLength: 50 }), { minLength: 1, maxLength: 4 }),
      },
      { requiredKeys: ['server', 'user', 'code', 'expires', 'keys'] },
    );
    fc.assert(
      fc.property(content, (invitation) => {
        const token = makeJoinToken(invitation);
        expect(token).toMatch(/^[A-Za-z0-9._-]+$/);
        expect(readJoinToken(token)).toEqual(invitation);
      }),
    );
  });

  it('that are damaged are refused without printing them: they may still be valid', () => {
    const token = makeJoinToken({ server: 'mqtt://10.0.0.2', user: 'pi-1', code: CODE, expires: 1, keys: ['k'] });
    for (const wrong of [CODE, token.slice(0, -3), `${token.slice(0, 20)}!${token.slice(20)}`, 'tessera1.']) {
      let message = '';
      try {
        readJoinToken(wrong);
      } catch (error) {
        message = String((error as Error).message);
      }
      expect(message).toMatch(/^the join token (is damaged|does not begin)/);
      expect(message).not.toContain(CODE);
    }
  });

  it('without a trusted key are refused: a node that joined must not run arbitrary models', () => {
    const token = makeJoinToken({ server: 'mqtt://10.0.0.2', user: 'pi-1', code: CODE, expires: 1, keys: [] });
    expect(() => readJoinToken(token)).toThrow(/is damaged/);
  });
});

describe('the password of a first connection', () => {
  it('carries code and secret', () => {
    fc.assert(
      fc.property(secret, secret, (code, own) => {
        expect(readJoinPassword(joinPassword(code, own))).toEqual({ code, secret: own });
      }),
    );
  });

  it('is distinguished from every other password, also where its secret is too short', () => {
    for (const other of ['', 'join1.', 'hunter2', joinPassword(CODE, 'short'), `${joinPassword(CODE, CODE)}.x`, CODE]) {
      expect(readJoinPassword(other), other).toBeUndefined();
    }
  });
});
