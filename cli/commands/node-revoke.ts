import { defineCommand } from '../command.ts';
import { connectionOptions, connectionSettings, oneOf, valueOr } from '../options.ts';
import { ROLE_NAMES } from '../role-name.ts';

/** `tessera node revoke NAME`: throws a node out. */
export const command = defineCommand({
  arguments: '<name>',
  description:
    'Revokes the access of a node to the embedded broker: its secret and invitation become invalid, its connections are closed ' +
    'at once, and its work goes to other nodes. Only a new invitation gives it access again.',
  options: {
    ...connectionOptions,
    role: valueOr('--role <role>', ROLE_NAMES.join(', '), oneOf(...ROLE_NAMES), 'node'),
  },
  examples: [
    ['node revoke pi-3', 'pi-3 has no access within a second'],
    ['node revoke front_door --role camera', 'the same for a camera'],
  ],
  async run({ args, options, json, out, config: loadConfig }) {
    const name = args[0]!;
    const { config } = await loadConfig(await connectionSettings(options));
    const [{ connectCommand, openLog }, { topics }, { askRequest }, { nodeRevoked }] = await Promise.all([
      import('../connect.ts'),
      import('../../shared/protocol/topics.ts'),
      import('../../shared/runtime/requests.ts'),
      import('../../shared/protocol/messages/requests.ts'),
    ]);
    const bus = await connectCommand(config, 'node', await openLog(config, 'node'));
    try {
      const body = { role: options.role, name };
      const { user, closed } = await askRequest(bus, topics(config.mqtt.base_topic), 'node-revoke', body, nodeRevoked);
      if (json) out.json({ role: options.role, name, user, closed });
      else out.note(`${options.role} ${name} is revoked (user ${user}, ${closed} connections closed)`);
      return 0;
    } finally {
      await bus.stop();
    }
  },
});
