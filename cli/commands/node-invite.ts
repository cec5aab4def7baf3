import { defineCommand } from '../command.ts';
import { INVITATION_S } from '../invite.ts';
import { connectionOptions, connectionSettings, duration, oneOf, string, value, valueOr } from '../options.ts';
import { IN_ITS_FOLDER } from '../own-command.ts';
import { ROLE_NAMES } from '../role-name.ts';

/** `tessera node invite NAME`: lets a node in. */
export const command = defineCommand({
  arguments: '<name>',
  description:
    'Makes a join token for a node, valid once until it expires. The machine that runs the printed command makes a ' +
    'secret of its own, stores it, and needs the token no more. Works at the embedded broker, on its own machine or with ' +
    'the password of an admin. Another --role gets a user name and a password instead, which are shown once.',
  options: {
    ...connectionOptions,
    role: valueOr('--role <role>', ROLE_NAMES.join(', '), oneOf(...ROLE_NAMES), 'node'),
    expires: value('--expires <time>', 'validity of the token: 30m, 1h, 2d; default: 1h', duration),
    server: value('--server <url>', 'URL by which the node reaches the broker; default: guessed', string),
  },
  examples: [
    ['node invite pi-1', 'prints the command to run on pi-1 within an hour'],
    ['node invite pi-2 --expires 2d --server mqtt://broker.lan:1883', 'for a machine that is set up later'],
    ['node invite front_door --role camera', 'a user name and a password for a camera'],
  ],
  async run({ args, options, json, out, config: loadConfig }) {
    const name = args[0]!;
    const loaded = await loadConfig(await connectionSettings(options));
    const { config } = loaded;
    const [
      { connectCommand, openLog },
      { topics },
      { askRequest },
      { nodeInvited },
      { inviteNode, newPassword, serverForNodes },
    ] = await Promise.all([
      import('../connect.ts'),
      import('../../shared/protocol/topics.ts'),
      import('../../shared/runtime/requests.ts'),
      import('../../shared/protocol/messages/requests.ts'),
      import('../invite.ts'),
    ]);
    const { hideUserInfo } = await import('../../shared/redact.ts');
    const bus = await connectCommand(config, 'node', await openLog(config, 'node'));
    try {
      const ask = (asked: Record<string, unknown>) =>
        askRequest(bus, topics(config.mqtt.base_topic), 'node-invite', asked, nodeInvited);
      if (options.role !== 'node') {
        const { user, password } = await newPassword(options.role, name, ask);
        if (json) out.json({ role: options.role, name, user, password });
        else out.line(`${options.role} ${name}: user ${user}, password ${password}`);
        return 0;
      }
      const invitation = await inviteNode(
        name,
        options.expires ?? INVITATION_S,
        ask,
        options.server ?? serverForNodes(loaded),
      );
      const until = new Date(invitation.expires * 1000);
      if (json) out.json({ name, token: invitation.token, expires: invitation.expires });
      else out.line(`${IN_ITS_FOLDER} agent --join ${invitation.token}`);
      out.note(`for ${name}, once, until ${until.toISOString()}; asked at ${hideUserInfo(config.mqtt.server)}`);
      return 0;
    } finally {
      await bus.stop();
    }
  },
});
