import type { Credentials } from '../../broker/credentials.ts';
import type { EnrolmentService } from '../../broker/enrolment-service.ts';
import { bridgeOf } from '../bridge.ts';
import { announcementOf, BrokerAnnouncement } from '../broker-announcement.ts';
import { defineCommand } from '../command.ts';
import { INVITATION_S, inviteNode, newPassword } from '../invite.ts';
import { flagSetting, type Parser, string, value, values } from '../options.ts';
import type { Output } from '../output.ts';
import { IN_ITS_FOLDER } from '../own-command.ts';
import { type RoleName, roleName } from '../role-name.ts';
import { SecretOutput } from '../secret-output.ts';

/** A listener as a URL; `HOST` and `HOST:PORT` mean mqtt://. */
const listener: Parser<string> = (text, flag) => {
  const address = string(text, flag);
  return address.includes('://') ? address : `mqtt://${address}`;
};

import { serviceNotices } from '../service/notices.ts';

/** `tessera broker`: the embedded broker as a process of its own. */
export const command = defineCommand({
  description:
    'Runs the embedded MQTT broker (MQTT 3.1.1 over TCP, TLS or WebSocket) with access rules, packet limits and ' +
    'protection from slow readers. Clients on other machines need a secret: `tessera node invite` makes one ' +
    'while the broker runs, --invite at its start. Any other MQTT broker serves as well.',
  options: {
    listen: values(
      '--listen <address>',
      'HOST[:PORT], or a mqtt://, mqtts://, ws:// or wss:// URL; repeat it for several',
      listener,
    ),
    invite: values(
      '--invite <name>',
      'enrol a node by a join token, or ROLE:NAME (central, camera, viewer, home, admin) by a password, unless it is enrolled',
      roleName,
    ),
    bridge: value(
      '--bridge <url>',
      'another broker, as the Mosquitto of Home Assistant: results and states go there, settings of cameras come back',
      string,
    ),
    inviteFile: value(
      '--invite-file <file>',
      'file for the secrets of --invite; - prints them. Default: the terminal, or files in the state directory where there is none',
      string,
    ),
  },
  examples: [
    ['broker', 'listens on mqtt://127.0.0.1:1883, for this machine'],
    ['broker --listen 0.0.0.0 --invite pi-1', 'listens on the network, and prints the command that joins pi-1'],
    ['broker --invite central:central --invite-file central.txt', "writes central's password into a file of your own"],
    ['broker --bridge mqtt://192.168.1.5', 'Home Assistant at that broker sees everything'],
    ['broker --listen 127.0.0.1 --listen ws://127.0.0.1:9001', 'also for browsers on this machine'],
  ],
  async run({ options, out, signal, config: loadConfig }) {
    const flags = [
      ...(options.listen.length === 0 ? [] : [flagSetting('broker.listen', '--listen', options.listen)]),
      ...(options.bridge === undefined ? [] : [flagSetting('broker.bridge', '--bridge', options.bridge)]),
    ];
    const { config } = await loadConfig(flags);
    const [{ startBroker }, { createCredentials }, { EnrolmentService }, { brokerTls, openLog }, { untilStopped }] =
      await Promise.all([
        import('../../broker/broker.ts'),
        import('../../broker/credentials.ts'),
        import('../../broker/enrolment-service.ts'),
        import('../connect.ts'),
        import('../signals.ts'),
      ]);
    const { makeStateDirectory } = await import('../../shared/runtime/state-directory.ts');
    const { join } = await import('node:path');
    const { listen, anonymous, keep_frames_s, keep_frames_mb, allowed_hosts, allowed_origins } = config.broker;
    const base = config.mqtt.base_topic;
    const log = await openLog(config, 'broker');
    const folder = join(await makeStateDirectory(), 'broker');
    const credentials = await createCredentials(folder);
    const tls = await brokerTls(config);
    const maximumPacketSize = config.mqtt.maximum_packet_size;
    const centralSession = { ms: keep_frames_s * 1000, bytes: keep_frames_mb * 1e6 };
    const broker = await startBroker({
      listen,
      base,
      prefix: config.homeassistant.prefix,
      anonymous,
      credentials,
      tls,
      maximumPacketSize,
      centralSession,
      allowedHosts: allowed_hosts,
      allowedOrigins: allowed_origins,
      sessionsFolder: join(folder, 'frames'),
      log,
    });
    const announcement = new BrokerAnnouncement(log);
    const enrolment = new EnrolmentService({
      broker,
      credentials,
      base,
      server: await reachable(broker.urls),
      tls,
      updateKeys: config.updates.keys,
      log,
      // Without a central there is nothing to join.
      onKeys: (keys) => {
        if (config.mdns) announcement.say(announcementOf(broker.urls, { role: 'broker', base, keys }));
      },
    });
    serviceNotices(signal);
    out.note(`broker: ${broker.urls.join(', ')}`);
    const secrets = new SecretOutput({
      file: options.inviteFile,
      folder: join(folder, 'invited'),
      isTerminal: process.stdout.isTTY === true,
      show: out.line,
      note: out.note,
    });
    let bridge: Awaited<ReturnType<typeof bridgeOf>>;
    try {
      bridge = await bridgeOf(config, broker, log);
      await enrolment.start();
      await Promise.all([untilStopped(signal), letIn(options.invite, credentials, enrolment, secrets, out, signal)]);
    } finally {
      await announcement.stop();
      await enrolment.stop();
      await bridge?.stop();
      await broker.stop();
    }
    return 0;
  },
});

/** Prints how invited users connect; for a node, once central has published the key that it is to trust. */
async function letIn(
  invited: readonly RoleName[],
  credentials: Credentials,
  enrolment: EnrolmentService,
  secrets: SecretOutput,
  out: Output,
  signal: AbortSignal,
): Promise<void> {
  const isKnown = ({ role, name }: RoleName): boolean =>
    credentials.users().some((user) => user.role === role && user.name === name);
  const [known, fresh] = [invited.filter(isKnown), invited.filter((one) => !isKnown(one))];
  for (const { role, name } of known) out.note(`${role} ${name} is enrolled already`);
  const ask = (asked: Parameters<EnrolmentService['invite']>[0]) => enrolment.invite(asked);
  for (const { role, name } of fresh.filter((one) => one.role !== 'node')) {
    const { user, password } = await newPassword(role, name, ask);
    await secrets.tell(user, `${role} ${name}: user ${user}, password ${password}`);
  }
  const nodes = fresh.filter(({ role }) => role === 'node');
  if (nodes.length === 0) return;
  out.note('nodes are invited as soon as central has published the key that they are to trust');
  await enrolment.untilKey(signal);
  if (signal.aborted) return;
  for (const { name } of nodes)
    await secrets.tell(name, `${IN_ITS_FOLDER} agent --join ${(await inviteNode(name, INVITATION_S, ask)).token}`);
}

/** The address of the first listener that other machines reach, or the first of all. */
async function reachable(urls: readonly string[]): Promise<string> {
  const { isLoopback } = await import('../../shared/loopback.ts');
  const { reachableHost, urlHost } = await import('../listen.ts');
  const all = urls.map((url) => new URL(url));
  const url = all.find(({ hostname }) => !isLoopback(hostname)) ?? all[0]!;
  return `${url.protocol}//${urlHost(reachableHost(url.hostname.replace(/^\[|\]$/g, '')))}:${url.port}`;
}
