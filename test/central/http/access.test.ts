import { describe, expect, it } from 'vitest';
import { refusesRequest } from '../../../central/http/access.ts';

// Lost if these fail: a web page that somebody opens reads the cameras of their home, or changes settings.

const asks = (host: string | undefined, method = 'GET', origin?: string, needsLogin = false) =>
  refusesRequest({ host, origin }, method, needsLogin);

describe('requests without a login', () => {
  it('are served under the names of this machine for itself', () => {
    for (const host of ['127.0.0.1:7373', 'localhost:7373', '[::1]:7373', '127.0.0.1'])
      expect(asks(host)).toBeUndefined();
  });

  it('are refused under any other name, which a page may have pointed at this machine', () => {
    for (const host of [
      'evil.example',
      'evil.example:7373',
      '192.168.1.2:7373',
      '127.0.0.1.evil.example',
      undefined,
      '',
    ])
      expect(asks(host)).toMatch(/name/);
  });
});

describe('requests that change something', () => {
  it('come from a program, or from the page itself', () => {
    expect(asks('127.0.0.1:7373', 'POST')).toBeUndefined();
    expect(asks('127.0.0.1:7373', 'POST', 'http://127.0.0.1:7373')).toBeUndefined();
    expect(asks('pi.lan:7373', 'POST', 'http://pi.lan:7373', true)).toBeUndefined();
  });

  it('are refused from pages of other origins, also of other ports of this machine', () => {
    for (const origin of ['http://evil.example', 'null', 'http://127.0.0.1:8080', 'http://localhost:7373'])
      expect(asks('127.0.0.1:7373', 'POST', origin)).toMatch(/a page from/);
    expect(asks('pi.lan:7373', 'POST', 'http://evil.example', true)).toMatch(/a page from/);
  });
});
