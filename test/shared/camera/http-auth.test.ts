import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { authorization, challengeOf } from '../../../shared/camera/http-auth.ts';

/** Lost if these fail: cameras with a password, nearly all, cannot be read. */

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

test('the example of RFC 2617 section 3.5', () => {
  const challenge = challengeOf([
    'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"',
  ])!;
  const who = { user: 'Mufasa', password: 'Circle Of Life' };
  const header = authorization(challenge, who, '/dir/index.html', md5, '0a4f113b');
  expect(header).toContain('response="6629fae49393a05397450978507c4ef1"');
  expect(header).toContain('qop=auth, nc=00000001, cnonce="0a4f113b"');
  expect(header).toContain('opaque="5ccc069c403ebaf9f0171e9517f40e41"');
});

test('digest goes before basic, and basic is UTF-8', () => {
  expect(challengeOf(['Basic realm="x"', 'Digest realm="x", nonce="n"'])).toMatchObject({ scheme: 'digest' });
  expect(challengeOf(['Basic realm="x"', 'Digest realm="x", nonce="n", algorithm=SHA-256'])).toEqual({
    scheme: 'basic',
  });
  expect(challengeOf(['Bearer'])).toBeUndefined();
  expect(authorization({ scheme: 'basic' }, { user: 'é', password: 'p:w' }, '/', md5, '')).toBe('Basic w6k6cDp3');
});
