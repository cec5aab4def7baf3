import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseSource, type SourceName, secretsOf } from '../../shared/camera/source-name.ts';
import { hideSecrets, hideUserInfo } from '../../shared/redact.ts';

/** Lost if these fail: passwords of brokers and cameras stand in logs, errors and payloads. */

test('passwords in URLs are hidden, also those that should have been escaped', () => {
  for (const [text, shown] of [
    ['rtsp://me:pl4nted@cam:554/live', 'rtsp://me:***@cam:554/***'],
    ['cannot read rtsp://me:pl4/nt@ed@cam/live now', 'cannot read rtsp://me:***@cam/*** now'],
    ['"rtsp://cam/user=me_password=pl4nted_channel=1.sdp"', '"rtsp://cam/***"'],
    ['HTTPS://cam/pl4nted/snap.jpg?size=9', 'HTTPS://cam/***'],
    ['no file cam/user=me_password=pl4nted_channel=1', 'no file cam/user=me_password=***_channel=1'],
    ['"mqtt//me:pl4nted@broker"', '"mqtt//me:***@broker"'],
    ['http://cam/snap.cgi?user=me&pwd=pl4nted#x', 'http://cam/***'],
    ['mqtt://broker:1883 and http://cam/', 'mqtt://broker:1883 and http://cam/'],
    ['wss://broker/mqtt?token=pl4nted', 'wss://broker/mqtt?token=***'],
    ['wss://broker/mqtt and http://cam', 'wss://broker/mqtt and http://cam'],
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

test('no secret in the path or query of a camera survives', () => {
  const secret = fc.stringMatching(/^[A-Za-z0-9.~-]{6,20}$/).map((text) => `Q${text}Q`);
  const place = fc.constantFrom(
    (text: string) => `rtsp://cam/${text}/live`,
    (text: string) => `rtsps://cam:554/a/user=me&password=${text}&channel=1`,
    (text: string) => `http://cam/a_${text}`,
    (text: string) => `https://[fe80::1]/snap?${text}`,
    (text: string) => `http://cam/snap?x=1&y=${text}`,
    (text: string) => `http://cam/snap#${text}`,
  );
  const property = fc.property(secret, place, (text, put) => {
    const url = put(text);
    expect(hideUserInfo(`camera at ${url} failed`)).not.toContain(text);
    expect(
      hideSecrets(`cannot open ${new URL(url).pathname}${new URL(url).search}: no`, secretsOf(parsed(url))),
    ).not.toContain(text);
  });
  fc.assert(property, { numRuns: 500 });
});

function parsed(url: string): SourceName {
  const source = parseSource(url);
  if (typeof source === 'string') throw new Error(source);
  return source;
}

test('a secret is hidden wherever a program repeats it', () => {
  expect(hideSecrets('401 for pl4nted (pl4nted%21)', ['pl4nted%21', 'pl4nted'])).toBe('401 for *** (***)');
});
