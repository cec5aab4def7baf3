import { describe, expect, it } from 'vitest';
import { brokerError, isPermanent, isVersionRefusal } from '../../../shared/runtime/broker-failure.ts';

// Lost if these fail: people who start their first node and read ECONNREFUSED instead of what to do.

describe('brokerError', () => {
  it.each([
    ['ECONNREFUSED', /nothing listens/, /tessera broker/],
    ['ENOTFOUND', /name of the broker is not known/, /IP address/],
    ['TIMEOUT', /does not answer/, /firewall/],
    [4, /password is wrong/, /--password-file/],
    [134, /password is wrong/, /--password-file/],
    [5, /does not authorise/, /--join/],
    [135, /does not authorise/, /--join/],
    [2, /client id/, /--id/],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', /TLS failed/, /mqtt\.ca/],
    ['ERR_TLS_CERT_ALTNAME_INVALID', /TLS failed/, /host name/],
    ['CLOSED', /closed the connection before/, /mqtts:\/\//],
    ['EWHATEVER', /no connection to the broker: boom/, /log of the broker/],
  ])('%s', (code, message, hint) => {
    const error = brokerError({ message: 'boom', code }, 'mqtt://10.0.0.2:1883');
    expect(error.code).toBe('TESSERA_BROKER');
    expect(error.message).toMatch(message);
    expect(error.message).toContain('mqtt://10.0.0.2:1883');
    expect(error.hint).toMatch(hint);
  });

  it('tells apart what trying again can mend', () => {
    expect(['ECONNREFUSED', 'ENOTFOUND', 'ETIMEDOUT', 3, 136, undefined].some(isPermanent)).toBe(false);
    expect([4, 5, 134, 135, 'CERT_HAS_EXPIRED', 'SELF_SIGNED_CERT_IN_CHAIN', 'EPROTO'].every(isPermanent)).toBe(true);
  });

  it('knows a refused version in both versions', () => {
    expect([1, 132].every(isVersionRefusal)).toBe(true);
    expect([0, 4, 'CLOSED', undefined].some(isVersionRefusal)).toBe(false);
  });
});
