import { join } from 'node:path';
import { createCredentials } from '../broker/credentials.ts';
import type { EnrolmentService } from '../broker/enrolment-service.ts';
import { parseListen as parseListenUrl } from '../broker/listen.ts';
import type { Config } from '../shared/config/schema.ts';
import { TesseraError } from '../shared/errors.ts';
import { isLoopback } from '../shared/loopback.ts';
import { silentLog } from '../shared/ports.ts';
import { hideUserInfo } from '../shared/redact.ts';
import type { ClusterOptions } from './cluster.ts';
import { brokerTls, busOptions, portOf } from './connect.ts';
import { INVITATION_S, inviteNode } from './invite.ts';
import { choosePort, isThisMachine, parseListen, reachableHost, urlHost } from './listen.ts';
import type { Output } from './output.ts';
import { IN_ITS_FOLDER } from './own-command.ts';
import { SecretOutput, type SecretOutputOptions } from './secret-output.ts';

/** The broker of `tessera up`: which one, where it listens, and how other machines come in. */

/** Time for central to announce its key, ms. */
const KEY_MS = 5000;
/** Where the embedded broker listens unless told otherwise. */
export const HERE = '127.0.0.1';

type RemoteAccess = NonNullable<ClusterOptions['remoteAccess']>;

/**
 * Whether `up` uses a broker that runs, rather than start one: `--broker`, or `server`, which is `mqtt.server` where the
 * configuration sets it, without any address to listen at. Throws TESSERA_USAGE, and TESSERA_CONFIG where the
 * configuration names one broker to use and another to start.
 */
export function usesOtherBroker(
  options: { readonly broker: string | undefined; readonly listen: string | undefined },
  configured: readonly string[] | undefined,
  server: string | undefined,
): boolean {
  if (options.broker !== undefined && options.listen !== undefined)
    throw new TesseraError('TESSERA_USAGE', '--broker and --listen exclude each other', {
      hint: '--broker uses a broker that runs; --listen says where the embedded one listens',
    });
  if (options.broker !== undefined) return true;
  if (options.listen !== undefined || server === undefined) return false;
  if (configured === undefined) return true;
  const ports = configured.map((url) => parseListenUrl(url).port);
  const url = new URL(server);
  if (isThisMachine(url.hostname) && (ports.includes(0) || ports.includes(portOf(url)))) return false;
  throw new TesseraError(
    'TESSERA_CONFIG',
    `mqtt.server is ${hideUserInfo(server)}, where no listener of broker.listen is: one broker to use, another to start`,
    { hint: 'omit one of them; or --broker uses a broker that runs, and --listen starts one' },
  );
}

/** The broker that `mqtt.server` names. */
export async function otherBroker(settings: Config): Promise<Pick<ClusterOptions, 'bus' | 'agentEnv'> & NoListener> {
  const { clientId: _, log: __, ...bus } = await busOptions(settings, '', silentLog);
  return { bus, agentEnv: tlsEnvironment(settings) };
}

interface NoListener {
  readonly remoteAccess?: undefined;
  readonly tls?: undefined;
}

/**
 * A broker to start: where it listens, by `--listen` or else by `configured`, and who may come in where the listener is
 * reachable.
 */
export async function ownBroker(
  asked: string | undefined,
  configured: readonly string[] | undefined,
  settings: Config,
  stateDir: string,
): Promise<Pick<ClusterOptions, 'agentEnv' | 'listen' | 'remoteAccess' | 'tls'>> {
  if (asked === undefined && configured !== undefined) return configuredBroker(configured, settings, stateDir);
  const address = parseListen(asked ?? HERE);
  const port = await choosePort(address);
  if (isLoopback(address.host)) return { listen: [`mqtt://${urlHost(address.host)}:${port}`] };
  const tls = await brokerTls(settings);
  const scheme = tls === undefined ? 'mqtt' : 'mqtts';
  const credentials = await createCredentials(join(stateDir, 'broker'));
  const server = `${scheme}://${urlHost(reachableHost(address.host))}:${port}`;
  // The cluster's own clients come over loopback, without a password; 0.0.0.0 is loopback too, unless it speaks TLS.
  const isEverywhere = address.host === '0.0.0.0' || address.host === '::';
  const local = tls !== undefined ? ['mqtt://127.0.0.1:0'] : isEverywhere ? [] : [`mqtt://127.0.0.1:${port}`];
  const listen = [...local, `${scheme}://${urlHost(address.host)}:${port}`];
  return { listen, remoteAccess: { credentials, server, updateKeys: settings.updates.keys }, tls };
}

/** The broker as `broker.listen` of the configuration says it. */
async function configuredBroker(
  urls: readonly string[],
  settings: Config,
  stateDir: string,
): Promise<Pick<ClusterOptions, 'listen' | 'remoteAccess' | 'tls'>> {
  const addresses = urls.map((url) => ({ url, ...parseListenUrl(url) }));
  const tls = await brokerTls(settings);
  // The cluster's own clients come over loopback, without a password.
  const isLocal = ({ scheme, host }: { scheme: string; host: string }): boolean =>
    scheme === 'mqtt' && (isLoopback(host) || host === '0.0.0.0' || host === '::');
  const local = addresses.find(isLocal);
  const others = addresses.filter((address) => address !== local).map(({ url }) => url);
  const listen = [local?.url ?? 'mqtt://127.0.0.1:0', ...others];
  const open = addresses.filter(({ host }) => !isLoopback(host));
  const advertised =
    open.find(({ scheme }) => scheme === 'mqtts') ?? open.find(({ scheme }) => scheme === 'mqtt') ?? open[0];
  if (advertised === undefined) return { listen, tls };
  if (advertised.port === 0)
    throw new TesseraError(
      'TESSERA_CONFIG',
      `broker.listen: ${advertised.url} has no port that other machines could know`,
      {
        hint: 'name one: 1883, or 8883 for mqtts',
      },
    );
  const server = `${advertised.scheme}://${urlHost(reachableHost(advertised.host))}:${advertised.port}`;
  const credentials = await createCredentials(join(stateDir, 'broker'));
  return { listen, remoteAccess: { credentials, server, updateKeys: settings.updates.keys }, tls };
}

/** The certificates of a configuration for processes that may not see its file. */
function tlsEnvironment({ mqtt }: Config): Record<string, string> {
  const { ca, cert, key, reject_unauthorized } = mqtt;
  const said = { CA: ca, CERT: cert, KEY: key, REJECT_UNAUTHORIZED: String(reject_unauthorized) };
  return Object.fromEntries(
    Object.entries(said).flatMap(([name, value]) => (value === undefined ? [] : [[`TESSERA_MQTT__${name}`, value]])),
  );
}

/** Says how a second machine comes in. */
export async function inviteSecondMachine(
  enrolment: EnrolmentService,
  { credentials, server }: RemoteAccess,
  isTls: boolean,
  note: Output['note'],
  where: Pick<SecretOutputOptions, 'file' | 'folder' | 'isTerminal'>,
) {
  if (isTls) {
    note(
      `a second machine needs a certificate that broker.ca signed; then, in its folder of Tessera: ${IN_ITS_FOLDER} agent --broker ${server}`,
    );
    return;
  }
  await enrolment.untilKey(AbortSignal.timeout(KEY_MS));
  const known = new Set(credentials.users().map(({ user }) => user));
  let number = 2;
  while (known.has(`machine-${number}`)) number++;
  const { token } = await inviteNode(`machine-${number}`, INVITATION_S, (asked) => enrolment.invite(asked));
  const line = `${IN_ITS_FOLDER} agent --join ${token}`;
  const show = (text: string): void => note(`on a second machine, in its folder of Tessera, within the hour: ${text}`);
  await new SecretOutput({ ...where, show, note }).tell(`machine-${number}`, line);
}
