import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hideSecrets, hideUserInfo } from '../../shared/redact.ts';

/** Lost if these fail: passwords of brokers and cameras stand in logs, errors and payloads. */

test('passwords in URLs are hidden, also those that should have been escaped', () => {
  for (const [text, shown] of [
    ['rtsp://me:pl4nted@cam:554/live', 'rtsp://me:***@cam:554/live'],
    ['cannot read rtsp://me:pl4/nt@ed@cam/live now', 'cannot read rtsp://me:***@cam/live now'],
    ['"mqtt//me:pl4nted@broker"', '"mqtt//me:***@broker"'],
    ['http://cam/snap.cgi?user=me&pwd=pl4nted#x', 'http://cam/snap.cgi?user=***&pwd=***#x'],
    ['mqtt://broker:1883 and http://cam/a.jpg', 'mqtt://broker:1883 and http://cam/a.jpg'],
  ] as const)
    expect(hideUserInfo(text)).toBe(shown);
});

test('no password of a URL survives, whatever it consists of', () => {
  const password = fc.stringMatching(/^[!#-~]{6,20}$/).map((text) => `Q${text}Q`);
  const property = fc.property(password, (secret) => {
    expect(hideUserInfo(`camera at rtsp://me:${secret}@cam.local/live failed`)).not.toContain(secret);
  });
  fc.assert(property, { numRuns: 500 });
});

test('a secret is hidden wherever a program repeats it', () => {
  expect(hideSecrets('401 for pl4nted (pl4nted%21)', ['pl4nted%21', 'pl4nted'])).toBe('401 for *** (***)');
});
