import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** The reason of a skipped test. */
export const NO_OPENSSL = 'openssl is not installed';

/** A certificate and its key: their files, and their PEM texts. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority for one test. */
export interface Authority extends Certificate {
  /** Signs a certificate of this name; for 127.0.0.1 and localhost where `server` says so. */
  issue(name: string, server?: boolean): Promise<Certificate>;
  remove(): Promise<void>;
}

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/**
 * Makes an authority in a new folder; undefined where openssl is not installed, as Node.js cannot make certificates.
 */
export async function makeAuthority(name = 'test authority'): Promise<Authority | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'tessera-certificates-'));
  const openssl = (...args: string[]) => promisify(execFile)('openssl', args);
  const read = async (stem: string): Promise<Certificate> => {
    const [certFile, keyFile] = [join(folder, `${stem}.pem`), join(folder, `${stem}-key.pem`)];
    return { certFile, keyFile, cert: await readFile(certFile, 'utf8'), key: await readFile(keyFile, 'utf8') };
  };
  const [certFile, keyFile] = [join(folder, 'ca.pem'), join(folder, 'ca-key.pem')];
  try {
    const about = ['-days', '2', '-subj', `/CN=${name}`, '-keyout', keyFile, '-out', certFile];
    await openssl('req', '-x509', ...EC, ...about);
  } catch (error) {
    await rm(folder, { recursive: true });
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  let serial = 0;
  return {
    ...(await read('ca')),
    async issue(subject, server = false) {
      serial += 1;
      const stem = `issued-${serial}`;
      const at = (suffix: string) => join(folder, `${stem}${suffix}`);
      await openssl('req', ...EC, '-subj', `/CN=${subject}`, '-keyout', at('-key.pem'), '-out', at('.csr'));
      await writeFile(
        at('.ext'),
        server ? 'subjectAltName=IP:127.0.0.1,DNS:localhost\n' : 'basicConstraints=CA:FALSE\n',
      );
      const signer = ['-CA', certFile, '-CAkey', keyFile, '-set_serial', String(serial), '-days', '1'];
      await openssl('x509', '-req', '-in', at('.csr'), ...signer, '-extfile', at('.ext'), '-out', at('.pem'));
      return read(stem);
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
