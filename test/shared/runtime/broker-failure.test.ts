import { describe, expect, it } from 'vitest';
import { brokerError, isPermanent, isVersionRefusal, tlsReason } from '../../../shared/runtime/broker-failure.ts';

// Lost if these fail: users who start their first node read ECONNREFUSED instead of what to do.

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
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', /asks for a client certificate/, /mqtt\.cert/],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', /does not accept the client certificate/, /signed by the authority/],
    ['ERR_OSSL_X509_KEY_VALUES_MISMATCH', /certificate cannot be used/, /key must be that of the certificate/],
    ['CLOSED', /closed the connection before/, /mqtts:\/\//],
    ['EWHATEVER', /no connection to the broker: boom/, /log of the broker/],
  ])('%s', (code, message, hint) => {
    const error = brokerError({ message: 'boom', code }, 'mqtt://10.0.0.2:1883');
    expect(error.code).toBe('TESSERA_BROKER');
    expect(error.message).toMatch(message);
    expect(error.message).toContain('mqtt://10.0.0.2:1883');
    expect(error.hint).toMatch(hint);
  });

  it("explains OpenSSL's errors without its file names", () => {
    const message =
      '803CC77DE47F0000:error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:../deps/x.c:1601:SSL alert number 48\n';
    expect(tlsReason(message)).toBe('tlsv1 alert unknown ca');
    expect(tlsReason('error:05800074:x509 certificate routines::key values mismatch')).toBe('key values mismatch');
    expect(tlsReason('socket hang up\n')).toBe('socket hang up');
  });

  it('distinguishes faults that a retry can fix', () => {
    expect(['ECONNREFUSED', 'ENOTFOUND', 'ETIMEDOUT', 3, 136, undefined].some(isPermanent)).toBe(false);
    // A Raspberry Pi without a clock has to wait for the time, not to end.
    expect(isPermanent('CERT_NOT_YET_VALID')).toBe(false);
    expect([4, 5, 134, 135, 'CERT_HAS_EXPIRED', 'SELF_SIGNED_CERT_IN_CHAIN', 'EPROTO'].every(isPermanent)).toBe(true);
  });

  it('recognises a refused protocol version from brokers of both versions', () => {
    expect([1, 132].every(isVersionRefusal)).toBe(true);
    expect([0, 4, 'CLOSED', undefined].some(isVersionRefusal)).toBe(false);
  });
});
