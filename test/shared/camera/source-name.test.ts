import { expect, test } from 'vitest';
import { parseSource, type SourceName, secretsOf } from '../../../shared/camera/source-name.ts';

/** Lost if these fail: a source means another thing in another command, or its secrets are not known. */

test('every kind of source has one spelling', () => {
  const kinds = (text: string) => {
    const source = parseSource(text);
    return typeof source === 'string' ? `refused: ${source}` : source.kind;
  };
  for (const [text, kind] of [
    ['rtsp://cam/live', 'rtsp'],
    ['RTSPS://cam:322/live', 'rtsp'],
    ['https://cam/snap.jpg', 'http'],
    ['/dev/video2', 'usb'],
    ['/dev/v4l/by-id/usb-cam', 'usb'],
    ['rpicam', 'rpicam'],
    ['rpicam:1', 'rpicam'],
    ['mqtt:esp/cam/1', 'topic'],
    ['synthetic', 'synthetic'],
    ['-', 'stdin'],
    ['pictures/', 'path'],
    ['c.mp4', 'path'],
  ] as const)
    expect([text, kinds(text)]).toEqual([text, kind]);
  expect(kinds('mqtt:a/+/b')).toMatch(/^refused: .*without wildcards/);
  expect(kinds('mqtt://broker/x')).toBe('refused: mqtt:// is not read');
  expect(kinds('rtmp://cam/x')).toBe('refused: rtmp:// is not read');
  expect(kinds('rtsp://me:a/b@cam/x')).toMatch(/^refused: it is no URL/);
  expect(kinds('')).toBe('refused: it is empty');
});

test('secrets are known in every form in which a program may repeat them, longer ones first', () => {
  const secrets = (text: string) => secretsOf(parseSource(text) as SourceName);
  expect(secrets('http://me:a%40b@cam/?user=me&pwd=x%2Fy&res=big').slice(-4)).toEqual(['a%40b', 'x%2Fy', 'a@b', 'x/y']);
  const path = secrets('rtsp://cam/live/user=me_password=pl4nted_channel=1.sdp?t=1');
  expect(path).toEqual(expect.arrayContaining(['live/user=me_password=pl4nted_channel=1.sdp?t=1', 'pl4nted']));
  expect(path).not.toContain('live');
  expect(secretsOf({ kind: 'synthetic' })).toEqual([]);
});
