import { describe, expect, it } from 'vitest';
import { refusesPage, type WebNames } from '../../broker/web-page.ts';

// Lost if these fail: any web page that is opened on the broker's machine has the rights of a local program.

const names = (more: Partial<WebNames> = {}): WebNames => ({
  listen: '127.0.0.1',
  hosts: ['pi'],
  origins: [],
  ...more,
});
const opens = (host: string | undefined, origin: string | undefined, more?: Partial<WebNames>): boolean =>
  refusesPage({ host, origin }, names(more)) === undefined;

describe('a WebSocket', () => {
  it.each([
    ['127.0.0.1:9001', undefined],
    ['127.0.0.1', undefined],
    ['localhost:9001', undefined],
    ['LOCALHOST.:9001', undefined],
    ['[::1]:9001', undefined],
    ['pi:9001', undefined],
    ['127.0.0.1:9001', 'http://127.0.0.1:9001'],
    // Node-RED and others: another port of the same machine.
    ['127.0.0.1:9001', 'http://localhost:1880'],
    ['pi:9001', 'https://pi'],
  ])('is opened for %s from %s', (host, origin) => {
    expect(opens(host, origin)).toBe(true);
  });

  it.each([
    ['127.0.0.1:9001', 'https://evil.example'],
    ['127.0.0.1:9001', 'null'],
    ['127.0.0.1:9001', ''],
    ['127.0.0.1:9001', 'nonsense'],
    ['127.0.0.1:9001', 'http://127.0.0.1.evil.example'],
    ['127.0.0.1:9001', 'http://localhost.evil.example'],
    ['127.0.0.1:9001', 'http://127.0.0.1@evil.example'],
    ['127.0.0.1:9001', 'http://pi'],
    // DNS rebinding: the name is the page's own.
    ['evil.example:9001', 'http://evil.example:9001'],
    ['evil.example:9001', undefined],
    ['127.0.0.1.evil.example', undefined],
    ['localhost.evil.example', undefined],
    ['evil.example:9001', 'http://127.0.0.1:9001'],
    ['192.168.1.9:9001', undefined],
    ['', undefined],
    [undefined, undefined],
    ['a b', undefined],
  ])('is refused for %s from %s', (host, origin) => {
    expect(opens(host, origin)).toBe(false);
  });

  it('is opened by any address of the machine if the broker listens on all, and by no other name', () => {
    const all = { listen: '0.0.0.0' };
    expect(opens('192.168.1.9:9001', 'http://192.168.1.9:1880', all)).toBe(true);
    expect(opens('[fd00::1]:9001', undefined, { listen: '::' })).toBe(true);
    expect(opens('evil.example', undefined, all)).toBe(false);
    expect(opens('192.168.1.9:9001', 'http://192.168.1.10', all)).toBe(false);
  });

  it('is opened by the names in the configuration and in the certificate, and from the allowed origins', () => {
    const more = { hosts: ['broker.lan', '*.home.example'], origins: ['https://dash.example', 'null'] };
    expect(opens('broker.lan:9001', undefined, more)).toBe(true);
    expect(opens('mqtt.home.example', undefined, more)).toBe(true);
    expect(opens('home.example', undefined, more)).toBe(false);
    expect(opens('a.b.home.example', undefined, more)).toBe(false);
    expect(opens('broker.lan:9001', 'https://dash.example', more)).toBe(true);
    expect(opens('broker.lan:9001', 'null', more)).toBe(true);
    expect(opens('broker.lan:9001', 'http://dash.example', more)).toBe(false);
  });

  it('that is refused gets a hint', () => {
    expect(refusesPage({ host: 'broker.lan' }, names())).toMatch(/"broker\.lan".*broker\.allowed_hosts/);
    expect(refusesPage({ host: 'pi', origin: 'https://a.example' }, names())).toMatch(/broker\.allowed_origins/);
  });
});
