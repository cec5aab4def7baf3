import { TesseraError } from '../errors.ts';

/** The known cause of a failed connection: a system or TLS error code, or the broker's reason code. */
export interface ConnectionFault {
  readonly message: string;
  /** `ECONNREFUSED`, `CERT_HAS_EXPIRED`, ... or the number of a CONNACK or DISCONNECT. */
  readonly code?: string | number | undefined;
}

/**
 * CONNACK codes for "unsupported version of MQTT": 1 in MQTT 3.1.1 (section 3.2.2.3), 132 in MQTT 5 (section 3.2.2.2).
 */
export const isVersionRefusal = (code: string | number | undefined): boolean => code === 1 || code === 132;

/** Whether retrying cannot help: wrong credentials, wrong certificate, wrong client id. */
export function isPermanent(code: string | number | undefined): boolean {
  if (typeof code === 'number') return [2, 4, 5, 133, 134, 135, 138].includes(code);
  // The clock of a machine without a battery is behind until the network has told it the time.
  if (code === 'CERT_NOT_YET_VALID') return false;
  return (
    code !== undefined && (code === 'EPROTO' || /^(ERR_(TLS|SSL|OSSL)|CERT_|DEPTH_|SELF_SIGNED|UNABLE_TO_)/.test(code))
  );
}

/**
 * CONNACK codes that refuse this user: "bad user name or password", "not authorised" (MQTT 3.1.1 section 3.2.2.3; MQTT
 * 5 section 3.2.2.2), "banned".
 */
export const isUserRefusal = (code: string | number | undefined): boolean =>
  typeof code === 'number' && [4, 5, 134, 135, 138].includes(code);

/** The reason in an OpenSSL message, `NUMBER:error:CODE:SSL routines:FUNCTION:WORDS:FILE:LINE:`. */
export const tlsReason = (message: string): string =>
  /:(?:SSL|x509 certificate|PEM) routines:[^:]*:([^:\n]+)/.exec(message)?.[1] ?? message.trim();

/** A coded error with a hint, for a failed connection to `where`. */
export function brokerError(fault: ConnectionFault, where: string): TesseraError {
  const [what, hint] = explained(fault, where);
  return new TesseraError('TESSERA_BROKER', `${what} (${where})`, { hint, cause: fault });
}

function explained({ code, message }: ConnectionFault, where: string): [string, string] {
  switch (code) {
    case 'ECONNREFUSED':
      return ['nothing listens at the broker address', 'start the broker (`tessera broker`) or correct --broker'];
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return ['the name of the broker is not known', 'check the spelling, or use its IP address'];
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'TIMEOUT':
      return ['the broker does not answer', 'check the address, the network and firewalls on the way'];
    case 'EACCES':
      return ['this process may not open that connection', 'check the address and the permissions of the service'];
    case 1:
    case 132:
      return ['the broker does not speak this version of MQTT', 'use a broker that speaks MQTT 3.1.1 or 5'];
    case 2:
    case 133:
      return ['the broker refuses the client id', 'choose another --id; with a join token keep the id that it names'];
    case 3:
    case 136:
      return ['the broker is not available', 'look at its log and try again'];
    case 4:
    case 134:
      return ['user name or password is wrong', 'check --user and --password-file, or get a new join token'];
    case 5:
    case 135:
      return ['the broker does not authorise this client', 'give --user and --password-file, or --join TOKEN'];
    case 138:
      return ['the broker has banned this client', 'ask the operator of the broker'];
    case 'CLOSED':
    case 'ECONNRESET':
      return [
        'the broker closed the connection before accepting it',
        where.startsWith('mqtts') || where.startsWith('wss')
          ? 'check that TLS is served at this port, and that the broker trusts the authority of mqtt.cert, if it asks for one'
          : 'check that MQTT is served at this port; a TLS port needs mqtts:// or wss://',
      ];
  }
  if (code === 'CERT_NOT_YET_VALID')
    return [
      "the broker's certificate is not valid yet",
      'the clock of this machine is behind: it gets the time from the network (timedatectl), or set it',
    ];
  const alert = String(code);
  if (/^ERR_SSL_.*(CERTIFICATE_REQUIRED|ALERT_HANDSHAKE_FAILURE)$/.test(alert)) {
    return ['the broker asks for a client certificate', 'name one with mqtt.cert, and its key with mqtt.key'];
  }
  if (/^ERR_SSL_.*ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_\w+|UNSUPPORTED_CERTIFICATE)$/.test(alert)) {
    const hint = 'mqtt.cert must be valid now, and signed by the authority that the broker trusts';
    return [`the broker does not accept the client certificate: ${tlsReason(message)}`, hint];
  }
  if (alert.startsWith('ERR_OSSL')) {
    const hint = 'mqtt.ca, mqtt.cert and mqtt.key name PEM files; the key must be that of the certificate';
    return [`the certificate cannot be used: ${tlsReason(message)}`, hint];
  }
  if (isPermanent(code)) {
    return [
      `TLS failed: ${tlsReason(message)}`,
      'name the certificate authority with mqtt.ca, or check host name and validity of the certificate',
    ];
  }
  return [`no connection to the broker: ${message}`, 'check the address and the log of the broker'];
}
