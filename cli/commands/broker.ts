import type { Credentials } from '../../broker/credentials.ts';
import type { Role } from '../../broker/policy.ts';
import type { Config } from '../../shared/config/schema.ts';
import { TesseraError } from '../../shared/errors.ts';
import { defineCommand } from '../command.ts';
import { flagSetting, type Parser, string, values } from '../options.ts';

interface Invited {
  readonly role: Role;
  readonly name: string;
}

const ROLE_NAMES = ['central', 'node', 'camera', 'viewer', 'admin'];

/** `NAME` for a node, `ROLE:NAME` for the others. */
const invited: Parser<Invited> = (text, flag) => {
  const [role, name] = text.includes(':') ? (text.split(':', 2) as [string, string]) : ['node', text];
  if (ROLE_NAMES.includes(role) && name !== '') return { role: role as Role, name };
  throw new TesseraError('TESSERA_USAGE', `${flag.split(' ')[0]} is ${JSON.stringify(text)}`, {
    hint: `expected a node's id, or ROLE:NAME with a role of ${ROLE_NAMES.join(', ')}`,
  });
};

/** A listener as a URL; `HOST` and `HOST:PORT` mean mqtt://. */
const listener: Parser<string> = (text, flag) => {
  const address = string(text, flag);
  return address.includes('://') ? address : `mqtt://${address}`;
};

/** `tessera broker`: the embedded broker as a process of its own. */
export const command = defineCommand({
  description:
    'Runs the embedded MQTT broker (MQTT 3.1.1 over TCP, TLS or WebSocket) with access rules, packet limits and ' +
    'protection from slow readers. Beyond this machine everybody needs a secret: --invite makes one, and shows it once. ' +
    'Any other MQTT broker serves as well.',
  options: {
    listen: values(
      '--listen <address>',
      'HOST[:PORT], or a mqtt://, mqtts://, ws:// or wss:// URL; several are fine',
      listener,
    ),
    invite: values(
      '--invite <name>',
      'make a secret for a node, or for ROLE:NAME (central, camera, viewer, admin), unless there is one; it is shown once',
      invited,
    ),
  },
  examples: [
    ['broker', 'listens on mqtt://127.0.0.1:1883, for this machine'],
    ['broker --listen 0.0.0.0 --invite pi-1', 'listens for others too, and prints the command that joins pi-1'],
    ['broker --listen 127.0.0.1 --listen ws://127.0.0.1:9001', 'also for browsers on this machine'],
  ],
  async run({ options, out, signal, config: loadConfig }) {
    const flags = options.listen.length === 0 ? [] : [flagSetting('broker.listen', '--listen', options.listen)];
    const { config } = await loadConfig(flags);
    const [{ startBroker }, { openLog, pem }, { untilStopped }] = await Promise.all([
      import('../../broker/broker.ts'),
      import('../connect.ts'),
      import('../signals.ts'),
    ]);
    const { listen, anonymous, cert, key } = config.broker;
    const log = await openLog(config, 'broker');
    const credentials = await openCredentials(config, options.invite.length > 0);
    const tls = { cert: await pem('broker.cert', cert), key: await pem('broker.key', key) };
    const broker = await startBroker({
      listen,
      base: config.mqtt.base_topic,
      anonymous,
      credentials,
      tls: tls.cert === undefined || tls.key === undefined ? undefined : { cert: tls.cert, key: tls.key },
      maximumPacketSize: config.mqtt.maximum_packet_size,
      log,
    });
    out.note(`broker: ${broker.urls.join(', ')}`);
    try {
      for (const one of options.invite) {
        for (const line of await invite(one, credentials!, broker.urls, config.mqtt.base_topic)) out.line(line);
      }
      if (credentials?.users().length === 0) {
        out.note('nobody beyond this machine has a secret yet: start with --invite NAME to make one');
      }
      await untilStopped(signal);
    } finally {
      await broker.stop();
    }
    return 0;
  },
});

/** Secrets are needed beyond this machine, and where somebody is invited or was before. */
async function openCredentials({ broker }: Config, inviting: boolean): Promise<Credentials | undefined> {
  const { isLoopback, parseListen } = await import('../../broker/listen.ts');
  const beyond = broker.listen.some((address) => !isLoopback(parseListen(address).host));
  if (!beyond && !inviting && broker.anonymous === 'loopback') return undefined;
  const { createCredentials } = await import('../../broker/credentials.ts');
  const { makeStateDirectory } = await import('../../shared/runtime/state-directory.ts');
  const { join } = await import('node:path');
  return createCredentials(join(await makeStateDirectory(), 'broker'));
}

/** Lines that tell how to come in with a new secret. */
async function invite(
  { role, name }: Invited,
  credentials: Credentials,
  urls: readonly string[],
  base: string,
): Promise<string[]> {
  const known = credentials.users().find((user) => user.role === role && user.name === name);
  if (known !== undefined) return [`${role} ${name} has a secret already (user ${known.user})`];
  const { user, password } = await credentials.issue(role, name);
  if (role !== 'node') return [`${role} ${name}: user ${user}, password ${password}`];
  const { makeJoinToken } = await import('../../shared/config/join.ts');
  return [`tessera agent --join ${makeJoinToken({ server: await reachable(urls), user, password, base })}`];
}

/** The address of the first listener that other machines reach, or the first of all. */
async function reachable(urls: readonly string[]): Promise<string> {
  const { isLoopback, reachableHost, urlHost } = await import('../listen.ts');
  const all = urls.map((url) => new URL(url));
  const url = all.find(({ hostname }) => !isLoopback(hostname)) ?? all[0]!;
  return `${url.protocol}//${urlHost(reachableHost(url.hostname.replace(/^\[|\]$/g, '')))}:${url.port}`;
}
