import { Agent as PlainAgent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect } from 'node:tls';
import { TesseraError } from '../../errors.ts';

/** A camera that sends nothing for so long has failed, ms. */
export const SILENT_MS = 15_000;

/** The error of a camera that was silent. */
export const silent = (): Error => new Error(`it was silent for ${SILENT_MS / 1000} s`);

/** One connection at a time, kept for the next request. */
const KEPT = { keepAlive: true, maxSockets: 1 } as const;

/** The connections to a camera; `certificate` as in `SourceSettings`. Nothing is sent to one that is not who it should be. */
export function cameraAgent(protocol: string, certificate: string | undefined): PlainAgent {
  return protocol === 'https:' ? new CheckingAgent(certificate) : new PlainAgent(KEPT);
}

class CheckingAgent extends TlsAgent {
  readonly #certificate: string | undefined;

  constructor(certificate: string | undefined) {
    super(KEPT);
    this.#certificate = certificate;
  }

  override createConnection(
    { host, port, servername }: ConnectionOptions,
    onCreated: (error: Error | null, socket?: Duplex) => void,
  ): undefined {
    // What it presents is looked at here, so that an error can name it; a resumed session would present nothing.
    const socket = connect({ host, port, servername, rejectUnauthorized: false });
    socket.once('error', onCreated).setTimeout(SILENT_MS, () => socket.destroy(silent()));
    socket.once('secureConnect', () => {
      socket.off('error', onCreated).setTimeout(0);
      const presented = socket.getPeerCertificate().fingerprint256 ?? '';
      const wrong = this.#isWrong(presented, socket.authorized, socket.authorizationError);
      if (wrong === undefined) return onCreated(null, socket);
      socket.destroy();
      onCreated(wrong);
    });
    return undefined;
  }

  #isWrong(presented: string, isVouchedFor: boolean, why: Error | string | undefined): Error | undefined {
    const certificate = this.#certificate;
    if (certificate === 'any') return undefined;
    if (certificate === undefined && isVouchedFor) return undefined;
    if (certificate !== undefined && digits(certificate) === digits(presented)) return undefined;
    const text =
      certificate === undefined
        ? `nobody that this machine knows vouches for its certificate (${String(why)})`
        : 'it has another certificate than `certificate` says';
    return new TesseraError(
      'TESSERA_INPUT_INVALID',
      `${text}; where ${presented} is the camera's own, write that as its \`certificate\``,
    );
  }
}

const digits = (fingerprint: string): string => fingerprint.replaceAll(':', '').toUpperCase();
